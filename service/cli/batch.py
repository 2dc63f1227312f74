"""``breast-cascade batch``: a folder as one job, without a server; whatever ends it, the same command goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.answers.parameters import Parameters, read_parameters
from service.api.job_schemas import summary_of
from service.batch import pictures
from service.choices import check_choices
from service.cli.signals import Told, heeding
from service.cli.terminal import FAILED_INPUT, FAILED_SETUP, job_bar, pair, stderr, usage
from service.engine import pipeline_folders
from service.errors import BadParameter, CapacityError, UnknownPipeline
from service.jobs.attend import work_off
from service.jobs.folder import HOME, Asked, File, FolderJob, folder_job
from service.jobs.item_outputs import wanted_outputs
from service.jobs.model import JobRow, parameters_by_name
from service.manifest import Manifest, read_manifest
from service.settings import Settings, read_settings

BATCH_HELP = f"""Segment all pictures and volumes of a folder as one job, without a server.

Example: **breast-cascade batch scans/ -o out --outputs json,mask,overlay** writes out/00000_NAME/ for each picture,
volume or DICOM series, and for all of them out/findings.csv and out/report.json.

It may be stopped or killed at any moment: the same command goes on where it was, and does nothing where all is done.
What it needs for that lies in out/{HOME}. Where files were added, changed or removed, or results are missing, only what
is new or missing is done, and what workers died of is tried again; other options, another pipeline or other software do
everything anew, in the place of the earlier results.
"""
INTERRUPTED = 130

Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any parameter of POST /segment.")]


def batch(
    folder: Annotated[Path, typer.Argument(exists=True, metavar="DIR", help="Pictures, volumes, series, zips.")],
    output: Annotated[Path, typer.Option("-o", "--output", file_okay=False, help="Folder for the results.")],
    outputs: Annotated[str, typer.Option(metavar="FORMAT,...", help="Formats of each answer.")] = "json,mask",
    pipeline: Annotated[str, typer.Option(help="Needed where several are installed.")] = "",
    parameters: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="The job as one JSON line on stdout.")] = False,
) -> None:
    """Documented by BATCH_HELP."""
    settings = read_settings()
    pairs = [("pipeline", pipeline), *map(pair, parameters or [])]
    wish = usage(lambda: read_parameters(pairs))
    formats = usage(lambda: wanted_outputs([outputs]))
    manifest = usage(lambda: _pipeline(settings, wish))
    files = usage(lambda: _files(folder, output))
    asked = Asked(tuple(files), manifest, formats, parameters_by_name(pairs))
    job = _run(output, settings, asked)
    if as_json:
        typer.echo(summary_of(job).model_dump_json())
    else:
        typer.echo(f"{job.done - job.failed} of {job.total} items done, {job.failed} failed: {output / 'findings.csv'}")
    raise typer.Exit(FAILED_INPUT if job.failed else 0)


def _run(output: Path, settings: Settings, asked: Asked) -> JobRow:
    try:
        with heeding(), folder_job(output, settings) as folder:
            return _worked_off(folder, asked)
    except BadParameter as error:
        raise typer.BadParameter(str(error)) from error
    except KeyboardInterrupt as error:
        stderr.print("Stopped. The same command goes on from here.")
        raise typer.Exit(error.status if isinstance(error, Told) else INTERRUPTED) from None
    except CapacityError as error:
        stderr.print(str(error), markup=False)
        raise typer.Exit(FAILED_SETUP) from error


def _worked_off(folder: FolderJob, asked: Asked) -> JobRow:
    job = folder.accept(asked)
    if said := _reused(job, folder.kept):
        stderr.print(said)
    try:
        with job_bar() as show:
            show(job.done, job.total, job.stage)
            job = work_off(folder, job, lambda now: show(now.done, now.total, now.stage))
    finally:
        folder.unpack(folder.row(job))
    for item in folder.items(job):
        if item.problem is not None:
            stderr.print(f"{item.name}: Found {item.problem.found}; wanted {item.problem.wanted}.", markup=False)
    return job


def _reused(job: JobRow, kept: int | None) -> str:
    """What need not be done again; nothing where all of it is to be done."""
    if kept is None:
        return f"{job.done} of {job.total} items were done before." if job.done else ""
    return f"{kept} of {job.total} items are unchanged and keep their results." if kept else ""


def _files(folder: Path, output: Path) -> list[File]:
    """(name, file) of what begins like a picture in a folder, or the one file that was named."""
    found = [(place.as_posix(), file) for file, place in pictures(folder, output, several=False)]
    if not found:
        raise BadParameter("no picture in the folder", "at least one", "Name a folder that holds pictures.")
    return found


def _pipeline(settings: Settings, wish: Parameters) -> Manifest:
    """The manifest of the pipeline that was named, or of the only one. Its weights are checked by who runs it."""
    found = [(read_manifest(path), default) for path, default in pipeline_folders(settings.pipeline_roots)]
    names = sorted({manifest.name for manifest, _ in found})
    if wish.pipeline is None and len(names) > 1:
        raise BadParameter("no pipeline", f"one of: {', '.join(names)}", "Name it: --pipeline NAME.")
    name = wish.pipeline or names[0]
    for manifest, default in found:
        if manifest.name == name and (default if wish.version is None else manifest.version == wish.version):
            check_choices(manifest, wish.roi, wish.enhance)
            return manifest
    known = ", ".join(f"{manifest.name} {manifest.version}" for manifest, _ in found)
    raise UnknownPipeline(f"pipeline {name} {wish.version or ''}".strip()[:80], f"one of: {known}", "Name one of them.")
