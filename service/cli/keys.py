"""``breast-cascade keys``: who may use a service that other computers reach."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from service.api.keys import add_key, read_keys, remove_keys
from service.cli.terminal import FAILED_INPUT, stderr, usage

HELP = """Access keys of a service that other computers reach.

Example: **breast-cascade keys add anna --file keys.txt** prints a new key, once; the file holds only its digest. Then
**BREAST_CASCADE_ACCESS_KEYS=keys.txt breast-cascade serve --host 0.0.0.0** lets in whoever sends
`Authorization: Bearer KEY`. A running service notices changes of the file at once.
"""
KeyFile = Annotated[
    Path, typer.Option("--file", envvar="BREAST_CASCADE_ACCESS_KEYS", dir_okay=False, help="The file of digests.")
]
Name = Annotated[str, typer.Argument(help="Whose key: letters, digits, dots, dashes, underscores.")]

app = typer.Typer(help=HELP, no_args_is_help=True)


@app.command()
def add(name: Name, file: KeyFile) -> None:
    """Make a key for NAME and print it on stdout. It cannot be shown again.

    Somebody may hold several keys, so that one can be replaced without a gap. Jobs belong to the name, not to the key.
    """
    typer.echo(usage(lambda: add_key(file, name)))
    stderr.print(f"{name} has a new key. Keep it now: only its digest is in {file}.", markup=False)


@app.command(name="list")
def listing(file: KeyFile) -> None:
    """Print each name and how many keys it has, one a line."""
    for owner, count in sorted(Counter(entry.owner for entry in read_keys(file)).items()):
        typer.echo(f"{owner} {count}")


@app.command()
def remove(name: Name, file: KeyFile) -> None:
    """Take away all keys of NAME. Its jobs stay until their time is over."""
    if not remove_keys(file, name):
        stderr.print(f"{name} has no key.", markup=False)
        raise typer.Exit(FAILED_INPUT)
