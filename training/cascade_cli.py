"""The commands fit-cascade and export-all. Heavy imports wait inside, so that ``--help`` is quick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from training.choices import Source
from training.cli_parts import FILE, Data, Fold, Out, RecipeFiles, print_table

if TYPE_CHECKING:
    from training.export_all import Exported

FAILED = 1
app = typer.Typer()


def _epochs(stage: int) -> Any:
    return typer.Option(min=1, help=f"Epochs of stage {stage}.")


def _rate(stage: int) -> Any:
    return typer.Option(min=0, help=f"Learning rate of stage {stage}.")


def _batch(stage: int) -> Any:
    return typer.Option(min=1, help=f"Batch of stage {stage}.")


def _size(stage: int) -> Any:
    return typer.Option(min=1, help=f"Side of the square input of stage {stage}.")


@app.command("fit-cascade")
def fit_cascade(
    template: Annotated[Path, typer.Argument(metavar="TEMPLATE", help="The pipeline: stages and recipes.", **FILE)],
    data: Data,
    out: Out,
    stage: Annotated[int | None, typer.Option(min=1, max=2, help="One stage alone.")] = None,
    regions_from: Annotated[
        Source, typer.Option(help="folds: a stage 1 without each fold; held_out: stage 1's validation part, cheaper.")
    ] = Source.folds,
    epochs1: Annotated[int | None, _epochs(1)] = None,
    epochs2: Annotated[int | None, _epochs(2)] = None,
    lr1: Annotated[float | None, _rate(1)] = None,
    lr2: Annotated[float | None, _rate(2)] = None,
    batch1: Annotated[int | None, _batch(1)] = None,
    batch2: Annotated[int | None, _batch(2)] = None,
    size1: Annotated[int | None, _size(1)] = None,
    size2: Annotated[int | None, _size(2)] = None,
    l1_lambda: Annotated[float | None, typer.Option(min=0, help="Weight of L1, both stages.")] = None,
    fold: Fold = None,
    checkpoints: Annotated[Path | None, typer.Option(file_okay=False, help="Folder of the run folders.")] = None,
    logs: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for TensorBoard's events.")] = None,
) -> None:
    """Train both stages of a pipeline, the second on regions of the first, and export it; prints the pipeline's folder.

    A stage alone prints its weights; stage 1 ends with the regions, which stage 2 needs.
    """
    from training.cascade import Plan
    from training.cascade import fit_cascade as run

    both = _known(l1_lambda=l1_lambda)
    first = both | _changes(epochs1, lr1, batch1, size1)
    second = both | _changes(epochs2, lr2, batch2, size2)
    typer.echo(run(Plan(template, data, out, regions_from, (first, second), checkpoints, logs, fold), stage))


def _changes(epochs: int | None, rate: float | None, batch: int | None, size: int | None) -> dict[str, Any]:
    """What the command line changes of one stage's recipe."""
    schedule = _known(epochs=epochs, learning_rate=rate, batch=batch)
    return _known(schedule=schedule or None, input=None if size is None else {"size": [size, size]})


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@app.command("export-all")
def export_all(recipes: RecipeFiles = None) -> None:
    """Export the network of every recipe at its full size, random weights, and check it against torch; keeps nothing.

    Without RECIPE those that come with this project. The largest networks need some gigabytes of memory.
    """
    from training.export_all import export_all as run
    from training.export_all import recipes_in

    done = []
    for one in run(recipes or recipes_in()):
        said = f"differs by {one.difference.relative:.1e}" if one.difference else one.problem
        typer.echo(f"{one.network} at {one.size[0]} x {one.size[1]}: {said} ({one.seconds:.0f} s)", err=True)
        done.append(one)
    print_table(_table(done))
    equal = sum(not one.problem for one in done)
    typer.echo(f"{equal} of {len(done)} networks equal torch")
    if equal < len(done):
        raise typer.Exit(FAILED)


def _table(done: Sequence[Exported]) -> Table:
    """``difference`` is to max(1, largest output), ``of spread`` to how far a channel varies."""
    counts = ("parameters", "MB", "difference", "of spread", "seconds")
    table = Table("network", "recipes", "input", *counts, "problem")
    for one in done:
        size, difference = f"{one.size[0]} x {one.size[1]}", one.difference
        differs = (f"{difference.relative:.1e}", f"{difference.of_spread:.1e}") if difference else ("", "")
        counted = (f"{one.parameters:.2f} M", f"{one.megabytes:.1f}", *differs, f"{one.seconds:.0f}")
        table.add_row(one.network, ", ".join(one.recipes), size, *counted, one.problem[:80])
    return table
