"""Commands on trained networks: figures and evaluate-run. Heavy imports wait inside, so that ``--help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from training.choices import Part, Regions
from training.cli_parts import FOLDER, BoxSource, Data, Options, Out, PartOf, boxes_from, images_of_runs, print_table

if TYPE_CHECKING:
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
    """Measure one trained network: every prediction, metrics of each image (CSV), a summary, whose path it prints."""
    from training.evaluate_run import SUMMARY
    from training.evaluate_run import evaluate_run as measure

    images = images_of_runs([run], data, part, option)
    print_table(_table(measure(run, images, out, regions, boxes_from(boxes, images))))
    typer.echo(out / SUMMARY)


def _table(rows: list[Score]) -> Table:
    from training.summary import sets

    table = Table("label", "images", "figure", "value", "95 % interval", "n")
    for label in dict.fromkeys(row.label for row in rows):
        for some in sets([row for row in rows if row.label == label]):
            for name, one in some.figures.items():
                interval = f"{one.low:.3f} to {one.high:.3f}"
                table.add_row(label, some.name, name, f"{one.value:.3f}", interval, str(one.images))
    return table
