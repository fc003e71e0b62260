"""The command `edge-stickers`: finds the verb, and turns every way to fail into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType, MappingProxyType

import click

from edge_stickers import __version__
from edge_stickers.cli.quiet import silence_libraries
from edge_stickers.errors import EdgeStickersError

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "animate": "edge_stickers.cli.animate",
        "build": "edge_stickers.cli.build",
        "convert": "edge_stickers.cli.convert",
        "quantize": "edge_stickers.cli.quantize",
        "prune": "edge_stickers.cli.prune",
        "verify": "edge_stickers.cli.verify",
        "inspect": "edge_stickers.cli.inspect",
        "evaluate": "edge_stickers.cli.evaluate",
        "train": "edge_stickers.cli.train",
        "data": "edge_stickers.cli.data",
    }
)
"""Where each verb lives; the file's `command` is the verb. It is imported when it is asked for."""

EXIT_BAD_INPUT = 2
EXIT_MISSING = 3
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_BROKEN_PIPE = 128 + 13  # SIGPIPE, which Windows has no name for


class Verbs(click.Group):
    """A group whose verbs are imported one by one, so that starting costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of a first day with the tool."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name, or None."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name]).command
        return command


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EPILOG = """\b
Examples:
  edge-stickers animate cat.png --prompt "the cat hops" -o cat.webp
  edge-stickers build --target executorch -o my-bundle
  edge-stickers verify my-bundle --junit parity.xml
\b
Exit codes: 0 done; 1 a check fell short; 2 bad usage or bad input; 3 something to install;
70 a bug in edge-stickers; 130 interrupted.
"""


@click.group(cls=Verbs, epilog=EPILOG, context_settings=SETTINGS)
@click.option("--debug", is_flag=True, help="Show tracebacks, and the warnings of the libraries underneath.")
@click.version_option(__version__, prog_name="edge-stickers", message="%(prog)s %(version)s")
def cli(debug: bool) -> None:
    """Animate stickers by diffusion on your own device: train, convert, verify, bundle, run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line, this process's own where None, and ends the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not _wants_debug(arguments):
        silence_libraries()
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: what stands after `edge-stickers`.

    Returns:
        The exit code.
    """
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
        return code
    except BaseException as error:
        code, line = explain(error)
        if _wants_debug(arguments) and not isinstance(error, SystemExit):
            import traceback

            traceback.print_exception(error)
        with contextlib.suppress(OSError):  # where standard error is full, the exit code must do
            if line:
                click.echo(line, err=True)
        _give_up_output()
        return code


def _invoke(arguments: Sequence[str]) -> int:
    try:
        with cli.make_context("edge-stickers", list(arguments)) as context:
            cli.invoke(context)
        return 0
    except click.exceptions.Exit as finished:
        return finished.exit_code


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code of an error, and the line to print, which is empty where there is nothing to say."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            return EXIT_BAD_INPUT, error.format_message()
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "edge-stickers"
            message = " ".join(error.format_message().split()).rstrip(".")
            return EXIT_BAD_INPUT, f"error: {message}; see: {path} --help"
        case EdgeStickersError():
            return error.exit_code, _one_line(str(error))
        case KeyboardInterrupt() | click.Abort():
            return EXIT_INTERRUPTED, "interrupted"
        case SystemExit():
            return error.code if isinstance(error.code, int) else EXIT_BUG, ""
        case BrokenPipeError():
            return EXIT_BROKEN_PIPE, ""
        case ModuleNotFoundError() if not (error.name or "").startswith("edge_stickers"):
            return EXIT_MISSING, f"error: {error.name} is not installed; run: pip install 'edge-stickers[all]'"
        case OSError() if error.errno is not None:
            return EXIT_BAD_INPUT, _one_line(_disk_message(error))
        case click.ClickException():
            return EXIT_BAD_INPUT, _one_line(error.format_message())
    reason = " ".join(str(error).split())[:200]
    told = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return EXIT_BUG, f"error: a bug in edge-stickers ({told}); for the traceback run: edge-stickers --debug …"


def _wants_debug(arguments: Sequence[str]) -> bool:
    """Whether `--debug` stands before the verb; needed before anything is parsed, for usage errors have tracebacks."""
    for argument in arguments:
        if not argument.startswith("-"):
            return False
        if argument == "--debug":
            return True
    return False


def _one_line(message: str) -> str:
    return "error: " + " ".join(message.split())


def _disk_message(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename is not None else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return f"{where}the disk is full; free some space and try again"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{where}{error.strerror}; expected a place that you may read and write; choose another"
        case errno.ENOENT | errno.ENOTDIR:
            return f"{where}{error.strerror}; check the path"
        case _:
            return f"{where}{error.strerror or error}; check the path and the disk"


def _give_up_output() -> None:
    """Drops what cannot be written to standard output, or Python would try, and complain, once more."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """Lets half-written files be removed."""
    raise SystemExit(EXIT_TERMINATED)


if __name__ == "__main__":
    main()
