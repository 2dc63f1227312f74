"""``breast-cascade-train``: fit, export and evaluate what the service runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Train the networks of Breast Cascade and turn them into pipelines.\n\n"
    "Usual order: fit each stage's recipe, export the pipeline, evaluate it on the fold it never saw.\n\n"
    "Example: breast-cascade-train fit training/recipes/ultrasound_localiser.yaml "
    "--data Dataset_BUSI_with_GT -o runs/localiser",
    no_args_is_help=True,
    add_completion=False,
)
Data = Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder of the data set.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")]


class Part(StrEnum):
    """Which part of the split is measured."""

    test = "test"
    validation = "validation"


@app.command()
def fit(
    recipe: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Recipe (YAML).")],
    data: Data,
    out: Out,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    start: Annotated[Path | None, typer.Option(help="Weights to start from where names and shapes match.")] = None,
) -> None:
    """Train one network; the weights that validated best are kept in OUT/best.pt."""
    from training.fit import fit as run
    from training.recipe import read_recipe

    read = read_recipe(recipe)
    read = read.model_copy(update={"start": start or read.start})
    typer.echo(run(read, data, out, resume=resume))


@app.command()
def export(
    template: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Pipeline template (YAML).")],
    weights: Annotated[list[str], typer.Option(help="STAGE=PATH of a best.pt; repeated for a stage: the mean of all.")],
    out: Out,
) -> None:
    """Export every stage to ONNX, check it against torch and write the manifest; prints the pipeline's folder."""
    from training.export import export_pipeline

    members: dict[str, list[Path]] = {}
    for stage, path in map(_pair, weights):
        members.setdefault(stage, []).append(path)
    typer.echo(export_pipeline(template, members, out))


def _pair(text: str) -> tuple[str, Path]:
    stage, _, path = text.partition("=")
    if not stage or not path:
        raise typer.BadParameter(f"found {text!r}, wanted STAGE=PATH")
    return stage, Path(path)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Pipeline folder NAME/VERSION.")],
    data: Data,
    part: Annotated[Part, typer.Option(help="Part of the split.")] = Part.test,
    limits: Annotated[Path | None, typer.Option(help="Markdown that ends the card; writes manifest and card.")] = None,
    evidence: Annotated[Path | None, typer.Option(help="Folder for the per-image scores.")] = None,
) -> None:
    """Measure a pipeline on the fold it never saw, as it is served; with --limits, write the figures into its card."""
    from training import card
    from training.datasets.busi import cases
    from training.evaluate import Bench, metrics, scores
    from training.split import split

    bench = Bench.open(folder)
    manifest = bench.pipeline.manifest
    training = manifest.stages[0].training
    parts = split(cases(data), int(training.get("test_fold", 0)), float(training.get("validation", 0.12)))
    chosen = parts.test if part is Part.test else parts.validation
    name = "BUSI fold 0" if part is Part.test else "BUSI validation part"
    rows = {name: scores(bench, chosen), f"{name}, simulated screenshots": scores(bench, chosen, shifted=True)}
    measured = [metric for on, some in rows.items() for metric in metrics(some, on)]
    _print(measured)
    if limits is not None:
        card.publish(folder, manifest, measured, limits.read_text(encoding="utf-8"))
    if evidence is not None:
        card.write_evidence(evidence / manifest.name / f"{manifest.version}.json", manifest, rows)


def _print(measured: list) -> None:  # type: ignore[type-arg]
    table = Table("figure", "value", "95 % interval", "n", "on")
    for metric in measured:
        low, high = metric.interval
        table.add_row(metric.name, f"{metric.value:.3f}", f"{low:.3f} to {high:.3f}", str(metric.n), metric.on)
    Console().print(table)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
