"""``breast-cascade``: serve, segment, pipelines, doctor. Progress on stderr, data on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from service import __version__, batch, doctor, log
from service.answers.body import answer_body
from service.answers.outputs import OFFERED, wanted_format
from service.answers.parameters import read_parameters
from service.api import server
from service.api.catalogue import pipeline_body
from service.api.state import open_engine
from service.decoding.pool import Decoders
from service.errors import InputError, SetupError
from service.settings import read_settings

Result = TypeVar("Result")

# 2 is the shell's own for a command that was written wrongly.
FAILED_INPUT, FAILED_SETUP = 1, 3
PIPE_WIDTH = 1000
HELP = """Outline lesions and tissue in breast images in two stages: localise, then segment.

Research use only: not a medical device. Nothing here needs a network.

Try: **breast-cascade segment picture.png -o out** writes the mask of one picture, and **breast-cascade serve** puts the
page at http://127.0.0.1:8000.

Exit codes: 0 all well; 1 some picture failed, the others are done; 2 the command was wrong; 3 the installation is.
Settings come from the environment: BREAST_CASCADE_DATA_DIR, _PIPELINES_DIR, _DEVICE, _ACCESS and more.
"""
SEGMENT_HELP = f"""Segment pictures, or every picture of a folder, without a server.

Example: **breast-cascade segment scans/ -o out --format overlay** writes out/NAME.overlay.png for each picture
NAME.png in scans/. Formats: {", ".join(OFFERED)}. A mask's pixel values are label ids.

With --json each picture gives one line on stdout: {{"file", "output", "answer"}}, or {{"file", "problem"}} where it
failed. Without it stdout gets a table.
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


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


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 finds a free one, which is printed.")] = 8000,
) -> None:
    """Start the web service and its page.

    Example: **breast-cascade serve --port 0**. The address is printed on stdout; the log, in JSON lines, on stderr.
    Stop it with Ctrl-C: it ends what it has begun.
    """
    settings = read_settings()
    log.to_stderr()
    server.serve(settings, host, port, lambda url: typer.echo(f"Breast Cascade on {url} (research use only)"))


@app.command(help=SEGMENT_HELP)
def segment(
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="PATH", help="Pictures and folders of them.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", file_okay=False, help="Folder for the answers.")
    ] = None,
    format_name: Annotated[str, typer.Option("--format", metavar="FORMAT", help="What to write there.")] = "mask",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per picture on stdout.")] = False,
    pipeline: Annotated[str, typer.Option(help="Needed where several are installed.")] = "",
    threshold: Annotated[str, typer.Option(metavar="0..1", help="Takes the place of the pipeline's own.")] = "",
    box: Annotated[
        list[str] | None, typer.Option(metavar="L,T,R,B", help="Takes the place of stage 1; may be repeated.")
    ] = None,
    points: Annotated[
        list[str] | None, typer.Option(metavar="X,Y,0|1", help="For a stage that is prompted; may be repeated.")
    ] = None,
    slice_number: Annotated[str, typer.Option("--slice", metavar="N", help="Look at this slice of a volume.")] = "",
    phase: Annotated[str, typer.Option(metavar="N", help="Which volume of several, from 0.")] = "",
    spacing: Annotated[str, typer.Option(metavar="[Z,]Y,X", help="Millimetres, where the file has none.")] = "",
    seg_type: Annotated[str, typer.Option(metavar="TYPE", help="Of dicom-seg: binary or labelmap.")] = "",
) -> None:
    """Documented by SEGMENT_HELP."""
    settings = read_settings()
    pairs = [("pipeline", pipeline), ("threshold", threshold), *(("box", one) for one in box or [])]
    pairs += (("points", one) for one in points or [])
    pairs += [("slice", slice_number), ("phase", phase), ("spacing", spacing), ("seg_type", seg_type)]
    parameters = _usage(lambda: read_parameters(pairs))
    wanted = _usage(lambda: wanted_format(format_name, None, parameters.seg_type))
    tasks = _usage(lambda: batch.plan(paths, output, wanted.suffix))
    engine = open_engine(settings)
    if parameters.pipeline:
        _usage(lambda: engine.pipeline(pipeline))
    # Nobody waits behind a long volume here.
    limits = replace(settings.limits, max_slices=sys.maxsize)
    # One file is decoded at a time, and one that crashes its decoder must not end the others.
    with closing(Decoders(replace(settings.decoder_bounds, processes=1))) as decoders:
        outcomes = batch.run(engine, batch.Wish(parameters, wanted, limits, decoders.read), tasks)
        failures = _report(outcomes, len(tasks), as_json=as_json)
    raise typer.Exit(FAILED_INPUT if failures else 0)


@app.command()
def pipelines(
    as_json: Annotated[bool, typer.Option("--json", help="The same as GET /pipelines, as one JSON line.")] = False,
) -> None:
    """List the pipelines installed here, after checking their weights.

    Example: **breast-cascade pipelines**
    """
    bodies = [pipeline_body(loaded) for loaded in open_engine(read_settings()).pipelines()]
    if as_json:
        typer.echo(json.dumps({"pipelines": [body.model_dump(mode="json") for body in bodies]}))
        return
    table = _table("pipeline", "version", "default", "modality", "evidence", "labels", "stages")
    for body in bodies:
        labels, stages = (", ".join(one.name for one in part) for part in (body.labels, body.stages))
        default = "yes" if body.default else ""
        table.add_row(body.name, body.version, default, body.modality, body.evidence, labels, stages)
    _stdout().print(table)


@app.command(name="doctor")
def check_up(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per check on stdout.")] = False,
) -> None:
    """Check this installation: versions, device in use, threads, data directory, every pipeline's digests.

    Example: **breast-cascade doctor**. Exit code 0 when all is well, 3 when something must be mended.
    """
    failed = False
    for check in doctor.examine(read_settings()):
        failed = failed or check.verdict == "failed"
        typer.echo(json.dumps(asdict(check)) if as_json else f"{check.verdict:8} {check.name}: {check.found}")
        if check.verdict != "ok" and not as_json:
            typer.echo(f"{'':8} {check.remedy}")
    raise typer.Exit(FAILED_SETUP if failed else 0)


def main() -> None:
    """Entry point of the command; ends the process."""
    try:
        app(prog_name="breast-cascade")
    except SetupError as error:
        stderr.print(f"The installation must be mended. {error}", markup=False)
        sys.exit(FAILED_SETUP)


def _usage(look: Callable[[], Result]) -> Result:
    """What ``look`` gives; an input error in it is one of the command line itself."""
    try:
        return look()
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def _report(outcomes: Iterable[batch.Outcome], count: int, *, as_json: bool) -> int:
    """Print each outcome as it comes, or a table at the end; the number of failures."""
    failures, table = 0, _table("file", "status", "findings", "ms", "written")
    for outcome in _with_progress(outcomes, count):
        failures += outcome.error is not None
        if as_json:
            typer.echo(_line(outcome))
        else:
            table.add_row(*_row(outcome))
        if outcome.error is not None:
            stderr.print(f"{outcome.task.source}: {outcome.error}", markup=False)
    if not as_json:
        _stdout().print(table)
    return failures


def _with_progress(outcomes: Iterable[batch.Outcome], count: int) -> Iterator[batch.Outcome]:
    # rich would lead stdout to the terminal of stderr, and data for a pipe would never reach it.
    with Progress(console=stderr, redirect_stdout=False, redirect_stderr=False) as progress:
        yield from progress.track(outcomes, count, description="Segmenting")


def _line(outcome: batch.Outcome) -> bytes:
    names = {"file": str(outcome.task.source), "output": str(outcome.task.target) if outcome.task.target else None}
    if outcome.product is None:
        return orjson.dumps({**names, "problem": _problem(outcome.error)})
    body = answer_body(outcome.product.answer, outcome.product.clock)
    return orjson.dumps({**names, "answer": body.model_dump(mode="json")})


def _problem(error: InputError | None) -> dict[str, str]:
    return {name: getattr(error, name) for name in ("code", "found", "wanted", "remedy")}


def _row(outcome: batch.Outcome) -> tuple[str, ...]:
    if outcome.product is None:
        return escape(str(outcome.task.source)), "failed", "", "", ""
    answer = outcome.product.answer
    return (
        escape(str(outcome.task.source)),
        answer.result.status,
        str(len(answer.findings)),
        f"{outcome.product.clock.total:.0f}",
        escape(str(outcome.task.target or "")),
    )


def _stdout() -> Console:
    # In a pipe nothing is folded to the width of a terminal that is not there.
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


if __name__ == "__main__":
    main()
