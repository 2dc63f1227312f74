"""Commands on trained networks: figures, evaluate-run, export-run. Heavy imports wait inside: ``--help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from training.choices import Part, Regions
from training.cli_parts import FOLDER, BoxSource, Data, Options, Out, PartOf, boxes_from, images_of_runs, print_table

if TYPE_CHECKING:
    from training.class_scores import Classified
    from training.evaluate_run import Boxes, Images
    from training.scores import Score

app = typer.Typer()


@app.command()
def figures(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of fit.", **FOLDER)],
    data: Data,
    out: Out,
    worst: Annotated[int, typer.Option(min=0, help="Worst cases in a panel.")] = 4,
    best: Annotated[int, typer.Option(min=0, help="Best cases in a panel.")] = 4,
    part: PartOf = Part.test,
    boxes: BoxSource = None,
    option: Options = None,
) -> None:
    """Draw trained networks as papers do: panels, architectures, localisation, curves, cost, reliability.

    Prints the folder.
    """
    from training.figures.of_runs import figures as draw

    images = images_of_runs(runs, data, part, option)
    for path in draw(runs, images, out, (worst, best), boxes_from(boxes, images)):
        typer.echo(path, err=True)
    typer.echo(out)


@app.command("evaluate-run")
def evaluate_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of fit.", **FOLDER)],
    data: Data,
    out: Out,
    part: PartOf = Part.test,
    regions: Annotated[Regions | None, typer.Option(help="Where it looks; as it was trained if left out.")] = None,
    boxes: BoxSource = None,
    option: Options = None,
) -> None:
    """Measure one trained network: every prediction, metrics of each image (CSV), a summary, whose path it prints.

    Of a classifier: accuracy, confusion matrix, AUROC, calibration with its plot, and the scores of each image (CSV).
    """
    from training.evaluate_run import SUMMARY
    from training.trained import recipe_of

    images = images_of_runs([run], data, part, option)
    classifies = recipe_of(run).task == "classify"
    (_classes if classifies else _masks)(run, images, out, regions, boxes_from(boxes, images))
    typer.echo(out / SUMMARY)


@app.command("export-run")
def export_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of fit.", **FOLDER)], out: Out
) -> None:
    """Write the network of a run as ONNX files and check them against torch; prints the folder.

    SAM and MedSAM: encoder, decoder of boxes and, where the recipe prompts by points, decoder of points.
    """
    from training.export_run import export_run as write

    for one in write(run, out):
        typer.echo(f"{one.path.name}: differs by {one.difference:.1e}", err=True)
    typer.echo(out)


def _masks(run: Path, images: Images, out: Path, regions: Regions | None, boxes: Boxes | None) -> None:
    from training.evaluate_run import evaluate_run as measure

    print_table(_table(measure(run, images, out, regions, boxes)))


def _classes(run: Path, images: Images, out: Path, regions: Regions | None, boxes: Boxes | None) -> None:
    from training.evaluate_classifier import evaluate_classifier

    found = evaluate_classifier(run, images, out, regions, boxes)
    print_table(_class_table(found))
    print_table(_confusion(found))


def _class_table(found: Classified) -> Table:
    table = Table("figure", "value", "95 % interval", "n")
    for name, one in found.figures.items():
        table.add_row(name, f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f}", str(one.images))
    table.add_row("calibration error", f"{found.calibration.error:.3f}", "", str(len(found.known)))
    return table


def _confusion(found: Classified) -> Table:
    from training.class_scores import NOTHING

    table = Table("truth", *(f"guess {name}" for name in found.names), NOTHING)
    for name, counts in zip(found.names, found.confusion, strict=True):
        table.add_row(name, *map(str, counts))
    return table


def _table(rows: list[Score]) -> Table:
    from training.summary import sets

    table = Table("label", "images", "figure", "value", "95 % interval", "n")
    for label in dict.fromkeys(row.label for row in rows):
        for some in sets([row for row in rows if row.label == label]):
            for name, one in some.figures.items():
                interval = f"{one.low:.3f} to {one.high:.3f}"
                table.add_row(label, some.name, name, f"{one.value:.3f}", interval, str(one.images))
    return table
