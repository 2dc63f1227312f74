"""``breast-cascade pipelines`` and ``doctor``: what is installed here and whether it is sound."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from service import doctor as examiner
from service.api.catalogue import pipeline_body
from service.api.state import open_engine
from service.cli.terminal import FAILED_SETUP, stdout, table
from service.settings import read_settings


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
    listing = table("pipeline", "version", "default", "modality", "evidence", "labels", "stages")
    for body in bodies:
        labels, stages = (", ".join(one.name for one in part) for part in (body.labels, body.stages))
        default = "yes" if body.default else ""
        listing.add_row(body.name, body.version, default, body.modality, body.evidence, labels, stages)
    stdout().print(listing)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per check on stdout.")] = False,
) -> None:
    """Check this installation: versions, device in use, threads, data directory, every pipeline's digests.

    Example: **breast-cascade doctor**. Exit code 0 when all is well, 3 when something must be mended.
    """
    failed = False
    for check in examiner.examine(read_settings()):
        failed = failed or check.verdict == "failed"
        typer.echo(json.dumps(asdict(check)) if as_json else f"{check.verdict:8} {check.name}: {check.found}")
        if check.verdict != "ok" and not as_json:
            typer.echo(f"{'':8} {check.remedy}")
    raise typer.Exit(FAILED_SETUP if failed else 0)
