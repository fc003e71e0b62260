"""The errors this package raises on purpose; each knows the exit code a command ends with.

A message says what was got, what was expected and what to do, in one line.
"""

from __future__ import annotations


class EdgeStickersError(Exception):
    """Base of every deliberate error. `exit_code` is what the command line returns."""

    exit_code: int = 2


class InputError(EdgeStickersError, ValueError):
    """The user's input cannot be used: an image, a prompt, a folder, an option."""


class BundleError(EdgeStickersError, ValueError):
    """A bundle or a model folder is damaged, incomplete, or of a version not known here."""


class MissingDependencyError(EdgeStickersError, RuntimeError):
    """Something has to be installed first; the message names the extra or the program."""

    exit_code = 3


class ConversionError(EdgeStickersError, RuntimeError):
    """A component could not be exported or lowered to a target."""

    exit_code = 1


class RuntimeFailedError(EdgeStickersError, RuntimeError):
    """A runtime refused or crashed on a program that was handed to it."""

    exit_code = 1


class Cancelled(EdgeStickersError, RuntimeError):
    """The caller's callback asked to stop. Nothing was written."""

    exit_code = 1
