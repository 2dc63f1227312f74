"""The command export-all. Heavy imports wait inside, so that ``--help`` is quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from training.cli_parts import RecipeFiles, print_table

if TYPE_CHECKING:
    from training.export_all import Exported

FAILED = 1
app = typer.Typer()


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
