"""What the commands share: exit codes, where text goes, and how input errors become errors of the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Table

from service.errors import InputError

Result = TypeVar("Result")

# 2 is the shell's own for a command that was written wrongly.
FAILED_INPUT, FAILED_SETUP = 1, 3
PIPE_WIDTH = 1000

stderr = Console(stderr=True, highlight=False, soft_wrap=True)

# rich would lead stdout to the terminal of stderr, and data for a pipe would never reach it.
QUIET: Any = {"console": stderr, "redirect_stdout": False, "redirect_stderr": False}


def usage(look: Callable[[], Result]) -> Result:
    """What ``look`` gives; an input error in it is one of the command line itself."""
    try:
        return look()
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def pair(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` apart. Raises BadParameter of the command line."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"Found --set {text}; wanted NAME=VALUE. Write for example --set threshold=0.4.")
    return name, value


def stdout() -> Console:
    """For tables. In a pipe nothing is folded to the width of a terminal that is not there."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def table(*headings: str) -> Table:
    """An empty table."""
    empty = Table(box=SIMPLE_HEAD)
    for heading in headings:
        empty.add_column(heading, overflow="fold")
    return empty


@contextmanager
def bar(title: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; the function is told how much has been done since it was told last."""
    with Progress(**QUIET) as progress:
        task = progress.add_task(title, total=total, completed=done)
        yield lambda more: progress.advance(task, more)


@contextmanager
def job_bar() -> Iterator[Callable[[int, int, str | None], None]]:
    """A progress bar of a job on stderr: the function is told items done, items in all, and the stage it is in."""
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[stage]}"), **QUIET) as progress:
        task = progress.add_task("Segmenting", total=None, stage="")

        def show(done: int, total: int, stage: str | None) -> None:
            progress.update(task, completed=done, total=total, stage=stage or "")

        yield show
