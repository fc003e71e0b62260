"""Keeps the libraries underneath from talking, so that a command that succeeds prints its result and nothing else."""

from __future__ import annotations

import logging
import os
import warnings

_SETTINGS = {
    "DIFFUSERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def silence_libraries() -> None:
    """Turns off warnings, log messages and progress bars of other libraries in this process and in its children.

    Called before any of them is imported, for that is when they read their settings; what the user has set is kept.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)  # as a whole: torch and coremltools set their loggers' levels when imported
