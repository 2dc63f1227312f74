"""``breast-cascade-train evidence`` and ``card``: figures from shipped files, cards from figures.

Heavy imports wait inside: ``--help`` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service.engine import BUNDLED, pipeline_folders
from service.manifest import read_manifest
from training.cli_parts import FILE, FOLDER, print_table

EVIDENCE = Path("evidence")
app = typer.Typer()
Pipelines = Annotated[
    Path, typer.Option("--pipelines", help="Folder of NAME/VERSION; the bundled ones if left out.", **FOLDER)
]
Name = Annotated[str | None, typer.Option("--pipeline", help="All versions of this one alone.")]
Kept = Annotated[Path, typer.Option("--evidence", file_okay=False, help="Folder of the evidence.")]


@app.command()
def evidence(
    data: Annotated[Path, typer.Option("--data", help="Folder that holds a folder for each data set.", **FOLDER)],
    pipeline: Name = None,
    pipelines: Pipelines = BUNDLED,
    out: Annotated[Path, typer.Option("--out", "-o", file_okay=False, help="Folder of the evidence.")] = EVIDENCE,
    folder: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="A data set that lies elsewhere; repeatable.", show_default=False),
    ] = None,
    stress: Annotated[bool, typer.Option("--stress", help="Lesions on disturbed pictures, too.")] = False,
) -> None:
    """Measure pipelines anew from their ONNX files as they are served; prints the folder of the evidence.

    What is measured on which data set follows from the training blocks of a manifest. Each row of an evidence file is
    one picture. Then `card` writes the figures into manifests and cards.
    """
    from training.evidence.files import evidence_path, write_evidence
    from training.evidence.run import Sets, measure

    sets = Sets(data, dict(_named(one) for one in folder or ()))
    for place in _chosen(pipelines, pipeline):
        manifest = read_manifest(place)
        typer.echo(f"measuring {manifest.name} {manifest.version}", err=True)
        write_evidence(evidence_path(out, manifest), manifest, measure(place, sets, stress=stress))
    typer.echo(out)


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path or not Path(path).is_dir():
        raise typer.BadParameter(f"found {text!r}, wanted NAME=DIR of a folder that is there", param_hint="--folder")
    return name, Path(path)


def _chosen(pipelines: Path, name: str | None) -> list[Path]:
    every = [path for path, _ in pipeline_folders([pipelines])]
    found = [path for path in every if name in (None, path.parent.name)]
    if not found:
        known = ", ".join(sorted({path.parent.name for path in every}))
        raise typer.BadParameter(f"found {name!r}, wanted one of {known}", param_hint="--pipeline")
    return found


@app.command()
def card(
    evidence: Kept = EVIDENCE,
    pipeline: Name = None,
    pipelines: Pipelines = BUNDLED,
    limits: Annotated[
        Path | None, typer.Option(help="Markdown that ends the card; the present card's end if left out.", **FILE)
    ] = None,
) -> None:
    """Write the figures that follow from the evidence into manifest and card of every version; prints the figures.

    Fails where the evidence was measured on other weights than the manifest names.
    """
    from training.card import interval, render

    table = Table("pipeline", "figure", "value", "95 % interval", "n", "on")
    for place in _chosen(pipelines, pipeline):
        told = None if limits is None else limits.read_text(encoding="utf-8")
        for metric in render(place, evidence, told):
            named = f"{place.parent.name} {place.name}"
            table.add_row(named, metric.name, f"{metric.value:.3f}", interval(metric), str(metric.n), metric.on)
    print_table(table)


@app.command()
def oddness(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pipeline: NAME/VERSION.", **FOLDER)],
    data: Annotated[Path, typer.Option("--data", help="Folder that holds a folder for each data set.", **FOLDER)],
    places: Annotated[
        list[str] | None,
        typer.Option("--folder", metavar="NAME=DIR", help="A data set that lies elsewhere; repeatable."),
    ] = None,
    quantile: Annotated[
        float, typer.Option(min=0.5, max=1, help="Share of the training pictures that are not flagged.")
    ] = 0.99,
) -> None:
    """Fit the check that flags pictures unlike the training pictures; writes it into the manifest, prints the limit.

    It learns from the training part of each data set alone. The command evidence then measures how often it is wrong.
    """
    from training.card import write_manifest
    from training.evidence.oddness import fitted
    from training.evidence.run import Sets, training_folders

    manifest = read_manifest(folder)
    found = training_folders(manifest, Sets(data, dict(_named(one) for one in places or ())))
    check = fitted(manifest, found, quantile)
    write_manifest(manifest.model_copy(update={"oddness": check}), folder)
    typer.echo(check.threshold)
