"""The commands put together, and how the process ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service import __version__
from service.cli.batch import BATCH_HELP, batch
from service.cli.installed import doctor, pipelines
from service.cli.jobs import app as jobs
from service.cli.keys import app as keys
from service.cli.segment import SEGMENT_HELP, segment
from service.cli.serve import serve
from service.cli.terminal import FAILED_SETUP, stderr
from service.errors import SetupError

HELP = """Outline lesions and tissue in breast images in two stages: localise, then segment.

Research use only: not a medical device. Nothing here needs a network.

Try: **breast-cascade segment picture.png -o out** writes the mask of one picture, and **breast-cascade serve** puts the
page at http://127.0.0.1:8000.

Exit codes: 0 all well; 1 some picture failed, the others are done; 2 the command was wrong; 3 the installation is.
Settings come from the environment: BREAST_CASCADE_DATA_DIR, _PIPELINES_DIR, _DEVICE, _ACCESS and more.
"""
PLAIN = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=PLAIN,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Documented by HELP."""


app.command()(serve)
app.command(help=SEGMENT_HELP)(segment)
app.command(help=BATCH_HELP)(batch)
app.command()(pipelines)
app.command()(doctor)
app.add_typer(jobs, name="jobs")
app.add_typer(keys, name="keys")


def main() -> None:
    """Entry point of the command; ends the process."""
    try:
        app(prog_name="breast-cascade")
    except SetupError as error:
        stderr.print(f"The installation must be mended. {error}", markup=False)
        sys.exit(FAILED_SETUP)
