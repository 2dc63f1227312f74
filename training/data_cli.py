"""``breast-cascade-train data``: look a data set over, and turn public downloads into what training reads.

Heavy imports wait inside the commands, so that ``--help`` is quick. The last line on stdout is the result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

if TYPE_CHECKING:
    from training.data_check import Report
    from training.datasets.case import Case

FAILED = 1
PIPE_WIDTH = 200
SHOWN = 20

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    help="Look data sets over and prepare public downloads for training.\n\n"
    "Example: breast-cascade-train data check busi --data Dataset_BUSI_with_GT --out manifest.csv\n\n"
    "Exit codes: 0 all well; 1 something is broken or leaks between the parts of the split; 2 the command was wrong.",
    no_args_is_help=True,
    context_settings=HELP,
)
prepare = typer.Typer(
    help="Turn a public download into what training reads. Each command can be stopped and run again.",
    no_args_is_help=True,
    context_settings=HELP,
)
app.add_typer(prepare, name="prepare")

Data = Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder of the data set.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="Option of the data set, its value as YAML; repeatable."),
]


@app.command()
def check(
    dataset: Annotated[
        str,
        typer.Argument(metavar="DATASET", help="Module in training.datasets (busi, cbis_ddsm, ...) or dotted path."),
    ],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", dir_okay=False, help="Manifest to write (CSV).")] = Path(
        "manifest.csv"
    ),
    option: Options = None,
    test_fold: Annotated[int, typer.Option(min=0, help="Fold that is the test part.")] = 0,
    validation: Annotated[float, typer.Option(min=0, max=1, help="Share of the other groups that validates.")] = 0.12,
) -> None:
    """Count, read every file, find duplicates and leakage, write the manifest; prints the manifest's path."""
    from training.data_check import check as run
    from training.data_check import write_manifest

    cases = listed(dataset, data, option or [])
    report = run(cases, source=dataset, test_fold=test_fold, validation=validation, progress=_counted)
    write_manifest(report, out, data)
    _print(report)
    typer.echo(out)
    if report.broken:
        raise typer.Exit(FAILED)


def listed(dataset: str, data: Path, options: Sequence[str]) -> list[Case]:
    """The cases of a data set by short name or dotted path. Raises ImportError, and what its listing raises."""
    from training.recipe import Part, resolve

    path = dataset if "." in dataset else f"training.datasets.{dataset}.cases"
    found: list[Case] = resolve(Part(path=path))(data, **dict(map(_pair, options)))
    return found


def _pair(text: str) -> tuple[str, Any]:
    from service.yaml12 import read_yaml

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"found {text!r}, wanted NAME=VALUE", param_hint="--option")
    return name, read_yaml(value)


def _counted(cases: Sequence[Case]) -> Iterable[Case]:
    return track(cases, "reading", console=Console(stderr=True))


def _print(report: Report) -> None:
    # In a pipe nothing is folded to the width of a terminal that is not there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    folds = sorted({entry.fold for entry in report.entries})
    table = Table("pictures of", *(f"fold {fold}" for fold in folds), "all")
    for name, counts in report.counts().items():
        table.add_row(name, *(str(counts[fold]) for fold in folds), str(counts.total()))
    console.print(table)
    problems = Table("problem", "breaks", "what")
    for problem in report.problems[:SHOWN]:
        problems.add_row(problem.kind, "yes" if problem.breaks else "no", problem.text)
    if len(report.problems) > SHOWN:
        problems.add_row("", "", f"and {len(report.problems) - SHOWN} more")
    if report.problems:
        console.print(problems)
