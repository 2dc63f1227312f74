"""Options that several commands share, and what they make of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training.choices import Part, Regions

if TYPE_CHECKING:
    from training.evaluate_run import Boxes, Images

PIPE_WIDTH = 200
FOLDER: dict[str, Any] = {"exists": True, "file_okay": False}
FILE: dict[str, Any] = {"exists": True, "dir_okay": False}
Data = Annotated[Path, typer.Option("--data", help="Folder of the data set.", **FOLDER)]
Out = Annotated[Path, typer.Option("--out", "-o", file_okay=False, help="Folder to write to.")]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe (YAML).", **FILE)]
RecipeFiles = Annotated[list[Path] | None, typer.Argument(metavar="[RECIPE]...", help="Recipes (YAML).", **FILE)]
Fold = Annotated[int | None, typer.Option(min=0, help="Fold kept for testing, in place of the recipes' own.")]
PartOf = Annotated[Part, typer.Option(help="Part of the split.")]
BoxSource = Annotated[
    Path | None,
    typer.Option(
        "--boxes",
        exists=True,
        help="A localiser's boxes on cases it never saw (JSON), or a pipeline folder whose first stage localises.",
    ),
]

Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An argument of the data set when it is measured, such as policy=all for every slice; repeatable.",
    ),
]


def images_of_runs(runs: Sequence[Path], data: Path, part: Part, options: Sequence[str] | None) -> Images:
    """The part of the runs' split. Raises ValueError where they were trained on different ones."""
    from training.compare import check_one_split
    from training.evaluate_run import images_of
    from training.trained import recipe_of

    recipes = [recipe_of(run) for run in runs]
    check_one_split(recipes)
    return images_of(recipes[0], data, part, options_in(options))


def boxes_from(source: Path | None, images: Images) -> Boxes | None:
    """A localiser's boxes on the images, by case."""
    from training.localiser import boxes_on, first_stage
    from training.regions import read_boxes

    if source is None:
        return None
    return read_boxes(source) if source.is_file() else boxes_on(first_stage(source), images.cases)


def options_in(texts: Sequence[str] | None) -> dict[str, Any]:
    """``NAME=VALUE`` and the like, values as YAML. Raises typer's BadParameter."""
    from service.yaml12 import read_yaml

    pairs = [text.partition("=") for text in texts or ()]
    for (name, equals, _), text in zip(pairs, texts or (), strict=True):
        if not name or not equals:
            raise typer.BadParameter(f"found {text!r}, wanted NAME=VALUE", param_hint="--option")
    return {name: read_yaml(value) for name, _, value in pairs}


def regions_in(text: str | None) -> tuple[Regions, ...]:
    """``none,detector`` and the like. Raises typer's BadParameter."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    for name in names:
        if name not in list(Regions):
            raise typer.BadParameter(f"found {name!r}, wanted {', '.join(Regions)}", param_hint="--regions")
    return tuple(Regions(name) for name in dict.fromkeys(names))


def print_table(table: Table) -> None:
    """On stdout; in a pipe nothing is folded to the width of a terminal that is not there."""
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)
