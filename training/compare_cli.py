"""Commands that train and compare: compare and sweep. Heavy imports wait inside, so that ``--help`` is quick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.choices import Part
from training.cli_parts import (
    FOLDER,
    BoxSource,
    Data,
    Fold,
    Options,
    Out,
    PartOf,
    RecipeFile,
    RecipeFiles,
    options_in,
    regions_in,
)

if TYPE_CHECKING:
    from training.compare import Protocol, Trial
    from training.datasets.case import Case

app = typer.Typer()

Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs for all, in place of the recipes' own.")]
Minutes = Annotated[float | None, typer.Option(min=0.01, help="Training time of each method on this machine.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads when a method is timed.")]
RegionsOf = Annotated[
    str | None,
    typer.Option(help="Where networks look: none, detector, truth, or several with commas; else as trained."),
]
External = Annotated[
    list[str] | None,
    typer.Option(metavar="DATASET:DIR", help="A further data set, whole, with a table of its own; repeatable."),
]


@app.command()
def compare(
    data: Data,
    out: Out,
    recipes: RecipeFiles = None,
    runs: Annotated[
        list[Path] | None, typer.Option(help="A finished run, in place of recipes; repeatable.", **FOLDER)
    ] = None,
    regions: RegionsOf = None,
    fold: Fold = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting for all recipes, its key dotted; repeatable."),
    ] = None,
    part: PartOf = Part.test,
    boxes: BoxSource = None,
    external: External = None,
    threads: Threads = 1,
    option: Options = None,
) -> None:
    """Train recipes under one protocol, or take finished runs, and write one table; prints its path.

    With --regions a recipe is trained once on whole pictures and once on crops, as far as they need both. What is
    finished is not done again: stopped and started anew, it goes on after the last finished epoch.
    """
    from training import compare as one
    from training.recipe import read_recipe
    from training.sweep import changed

    if runs and recipes:
        raise typer.BadParameter("found recipes and runs, wanted one of both", param_hint="--runs")
    chosen, others, options = regions_in(regions), _externals(external or []), options_in(option)
    protocol = one.Protocol(data, out, part, chosen, fold, epochs, minutes, boxes, others, threads, options)
    if runs:
        typer.echo(one.compare_runs(_trials(runs, protocol), protocol, "Comparison of trained networks"))
        return
    read = [changed(read_recipe(path), settings or []) for path in recipes or []]
    typer.echo(one.compare([one.Entry(recipe.name, recipe) for recipe in read], protocol, "Comparison of methods"))


def _trials(runs: Sequence[Path], protocol: Protocol) -> list[Trial]:
    from training.compare import Trial

    return [Trial(run.resolve().name, run, regions) for regions in protocol.regions or (None,) for run in runs]


@app.command()
def sweep(
    recipe: RecipeFile,
    data: Data,
    out: Out,
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=A,B,C", help="Values of a setting, its key dotted; repeatable."),
    ],
    regions: RegionsOf = None,
    fold: Fold = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    part: PartOf = Part.test,
    boxes: BoxSource = None,
    external: External = None,
    threads: Threads = 1,
    option: Options = None,
) -> None:
    """Train a recipe with every combination of settings and write the table of compare; prints its path.

    Example: sweep RECIPE --set schedule.learning_rate=0.001,0.0001 --set "input.size=[128,128],[256,256]" ...
    """
    from training.compare import Protocol
    from training.compare import compare as run
    from training.recipe import read_recipe
    from training.sweep import variants

    chosen, others, options = regions_in(regions), _externals(external or []), options_in(option)
    protocol = Protocol(data, out, part, chosen, fold, epochs, minutes, boxes, others, threads, options)
    read = read_recipe(recipe)
    typer.echo(run(variants(read, settings), protocol, f"Settings of {read.name}"))


def _externals(texts: Sequence[str]) -> Mapping[str, Sequence[Case]]:
    from training.data_cli import listed

    found: dict[str, Sequence[Case]] = {}
    for text in texts:
        name, _, folder = text.partition(":")
        if not name or not Path(folder or " ").is_dir():
            raise typer.BadParameter(f"found {text!r}, wanted DATASET:DIR of a folder", param_hint="--external")
        found[f"{name.rsplit('.')[-1].upper()}, all of it"] = listed(name, Path(folder), [])
    return found
