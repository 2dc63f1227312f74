"""``breast-cascade-train phantoms``: draw sets of phantoms. Heavy imports wait inside: ``--help`` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from training.cli_parts import Options, Out, options_in


@dataclass(frozen=True)
class Set:
    """Dotted path of a writer, ``write(folder, seeds, **options) -> folder``, and what reads what it wrote."""

    writer: str
    reader: str


SETS: Mapping[str, Set] = {
    "mammogram": Set("training.phantoms.mammogram_set.write", "tissue (index.csv) or unified_csv (unified.csv)"),
    "inserted": Set("training.phantoms.mammogram_set.write_inserted", "unified_csv"),
    "mri": Set("training.phantoms.mri_set.write", "data prepare mri mama_mia"),
    "photo": Set("training.phantoms.photo.write", "photographs (recipes photo_*.yaml)"),
    "ultrasound": Set("training.phantoms.ultrasound_set.write", "busi"),
}
Kind = StrEnum("Kind", {name: name for name in SETS})

app = typer.Typer()


@app.command()
def phantoms(
    kind: Annotated[Kind, typer.Argument(help="What is drawn; inserted: simulated masses in real mammograms.")],  # type: ignore[valid-type]
    out: Out,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the first; each next takes the next.")] = 0,
    option: Options = None,
) -> None:
    """Draw phantoms with their exact truth in the layout of a data set that training reads; prints the folder.

    Equal seeds give equal pictures. Every picture says in its name and its metadata that it is a phantom. Options:
    mammogram view, density, look, masses, clusters, side; inserted data (the folder of the real set), dataset, kind,
    count; mri plane, lesions, kind, phases; photo pose; ultrasound framed.

    Example: breast-cascade-train phantoms mri -n 40 -o phantoms_mri --option plane=axial
    """
    from training.recipe import Part, check_arguments, misfit, resolve

    chosen = SETS[str(kind)]
    part = Part(path=chosen.writer, arguments=options_in(option))
    writer = resolve(part)
    seeds = track(range(seed, seed + number), "drawing", console=Console(stderr=True))
    try:
        check_arguments(writer, out, seeds, **part.arguments)
    except TypeError as error:
        raise ValueError(misfit(part, "phantoms", error, "Mend --option.")) from error
    out.mkdir(parents=True, exist_ok=True)
    folder = writer(out, seeds, **part.arguments)
    typer.echo(f"read it with {chosen.reader}", err=True)
    typer.echo(folder)
