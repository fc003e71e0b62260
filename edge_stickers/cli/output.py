"""What the verbs print: a report as JSON or as a table, and progress where a person watches."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

WIDTH_OF_A_PIPE = 160
"""Columns of a table that no terminal limits."""


def print_json(value: Any) -> None:
    """Prints plain JSON values, indented; not-a-number becomes null, for JSON has none."""
    click.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints rows under a title on standard output; columns after the first are right-aligned."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    print_tables([table])


def print_tables(tables: Iterable[Table]) -> None:
    """Prints tables of rich on standard output."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False, markup=False)
    for table in tables:
        console.print(table)


def megabytes(count: int) -> str:
    """A number of bytes for people, in units of 10^6."""
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count} B"


@contextmanager
def progress_bar(description: str, *, total: float | None = None) -> Iterator[Callable[[str, float | None], None]]:
    """A bar on standard error while the block runs, if a terminal is there to show it.

    Args:
        description: what is being done.
        total: units of work in all; None shows a pulse.

    Yields:
        A function of (what is done now, units done so far or None).
    """
    with _bar() as bar:
        task = bar.add_task(description, total=total)

        def update(now: str, done: float | None = None) -> None:
            bar.update(task, description=now or description, completed=done)

        yield update


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
