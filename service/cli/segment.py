"""``breast-cascade segment``: pictures in, answers out, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.progress import Progress

from service import batch
from service.answers.body import answer_body
from service.answers.outputs import OFFERED, wanted_format
from service.answers.parameters import read_parameters
from service.api.state import open_engine
from service.choices import check_choices
from service.cli.terminal import FAILED_INPUT, stderr, stdout, table, usage
from service.decoding.pool import Decoders
from service.errors import InputError
from service.settings import read_settings

SEGMENT_HELP = f"""Segment pictures, or every picture of a folder, without a server.

Example: **breast-cascade segment scans/ -o out --format overlay** writes out/NAME.overlay.png for each picture
NAME.png in scans/. Formats: {", ".join(OFFERED)}. A mask's pixel values are label ids.

With --json each picture gives one line on stdout: {{"file", "output", "answer"}}, or {{"file", "problem"}} where it
failed. Without it stdout gets a table.
"""


def segment(
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="PATH", help="Pictures and folders of them.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", file_okay=False, help="Folder for the answers.")
    ] = None,
    format_name: Annotated[str, typer.Option("--format", metavar="FORMAT", help="What to write there.")] = "mask",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per picture on stdout.")] = False,
    pipeline: Annotated[str, typer.Option(help="Needed where several are installed.")] = "",
    version: Annotated[str, typer.Option(metavar="VERSION", help="Of the pipeline, else its default one.")] = "",
    stage: Annotated[
        str, typer.Option(metavar="NAME", help="Whose mask is wanted, else of the last that segments.")
    ] = "",
    threshold: Annotated[str, typer.Option(metavar="0..1", help="Takes the place of the pipeline's own.")] = "",
    box: Annotated[
        list[str] | None, typer.Option(metavar="L,T,R,B", help="Takes the place of stage 1; may be repeated.")
    ] = None,
    points: Annotated[
        list[str] | None, typer.Option(metavar="X,Y,0|1", help="For a stage that is prompted; may be repeated.")
    ] = None,
    slice_number: Annotated[str, typer.Option("--slice", metavar="N", help="Look at this slice of a volume.")] = "",
    phase: Annotated[str, typer.Option(metavar="N", help="Which volume of several, from 0.")] = "",
    spacing: Annotated[
        str,
        typer.Option(metavar="MM|Y,X|Z,Y,X", help="Millimetres per pixel, in place of what the file says."),
    ] = "",
    roi: Annotated[
        str, typer.Option(metavar="REGION", help="Where a later stage looks, e.g. breast, fibroglandular or full.")
    ] = "",
    enhance: Annotated[
        str,
        typer.Option(metavar="METHOD", help="none, clahe or adaptive_clahe, in place of what weights learned with."),
    ] = "",
    mask_outside_region: Annotated[
        bool, typer.Option("--mask-outside-region", help="Black out all but the ultrasound region, text included.")
    ] = False,
    seg_type: Annotated[str, typer.Option(metavar="TYPE", help="Of dicom-seg: binary or labelmap.")] = "",
) -> None:
    """Documented by SEGMENT_HELP."""
    settings = read_settings()
    pairs = [("pipeline", pipeline), ("threshold", threshold), *(("box", one) for one in box or [])]
    pairs += (("points", one) for one in points or [])
    pairs += [("slice", slice_number), ("phase", phase), ("spacing", spacing), ("seg_type", seg_type)]
    pairs += [("roi", roi), ("enhance", enhance)]
    pairs += [("version", version), ("stage", stage), ("mask_outside_region", "true" if mask_outside_region else "")]
    parameters = usage(lambda: read_parameters(pairs))
    wanted = usage(lambda: wanted_format(format_name, None, parameters.seg_type))
    tasks = usage(lambda: batch.plan(paths, output, wanted.suffix))
    engine = open_engine(settings)
    if parameters.pipeline:
        named = usage(lambda: engine.pipeline(pipeline, parameters.version))
        usage(lambda: check_choices(named.manifest, parameters.roi, parameters.enhance))
    # A file that crashes its decoder must not end the others. As in a job nobody waits behind a long volume.
    with closing(Decoders(settings.job_decoder_bounds)) as decoders:
        outcomes = batch.run(engine, batch.Wish(parameters, wanted, settings.job_limits, decoders.read), tasks)
        failures = _report(outcomes, len(tasks), as_json=as_json)
    raise typer.Exit(FAILED_INPUT if failures else 0)


def _report(outcomes: Iterable[batch.Outcome], count: int, *, as_json: bool) -> int:
    """Print each outcome as it comes, or a table at the end; the number of failures."""
    failures, listing = 0, table("file", "status", "findings", "ms", "written")
    for outcome in _with_progress(outcomes, count):
        failures += outcome.error is not None
        if as_json:
            typer.echo(_line(outcome))
        else:
            listing.add_row(*_row(outcome))
        if outcome.error is not None:
            stderr.print(f"{outcome.task.source}: {outcome.error}", markup=False)
    if not as_json:
        stdout().print(listing)
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
