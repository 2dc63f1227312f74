"""``breast-cascade-train``: fit, export and evaluate what the service runs. The last line on stdout is the result.

Heavy imports wait inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from service.errors import BreastCascadeError
from service.manifest import Metric
from training import cascade_cli, compare_cli, data_cli, evidence_cli, export_cli, figures_cli, phantoms_cli

if TYPE_CHECKING:
    from training.evidence.files import Evidence as Kept
    from training.recipe import Recipe

FAILED = 1
PIPE_WIDTH = 200
# What a user can mend; the texts say how. Anything else is a defect and keeps its traceback.
MENDABLE = (OSError, ValueError, ImportError, FloatingPointError, yaml.YAMLError, BreastCascadeError)

app = typer.Typer(
    help="Train the networks of Breast Cascade and turn them into pipelines.\n\n"
    "Usual order: fit each stage's recipe, export the pipeline, evaluate it on the fold it never saw.\n\n"
    "Example: breast-cascade-train fit training/recipes/ultrasound_localiser.yaml "
    "--data Dataset_BUSI_with_GT -o runs/localiser\n\n"
    "Exit codes: 0 all well; 1 it failed, the last line on stderr says why; 2 the command was wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", exists=True, dir_okay=False, help="Recipe (YAML).")]
DATA = typer.Option("--data", exists=True, file_okay=False, help="Folder of the data set.")
Data = Annotated[Path, DATA]
MaybeData = Annotated[Path | None, DATA]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")]
Start = Annotated[
    Path | None,
    typer.Option("--start", exists=True, dir_okay=False, help="Weights to start from where names and shapes match."),
]
Boxes = Annotated[
    Path | None,
    typer.Option("--boxes", exists=True, dir_okay=False, help="A localiser's boxes on cases it never saw (JSON)."),
]
Fold = Annotated[int | None, typer.Option("--fold", min=0, help="Fold kept for testing, in place of the recipe's.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that prepare batches.")]


class Part(StrEnum):
    """Which part of the split is measured."""

    test = "test"
    validation = "validation"


@app.command()
def fit(
    recipe: RecipeFile,
    out: Out,
    data: MaybeData = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A tiny run on drawn phantoms; needs no --data.")] = False,
    resume: Resume = False,
    start: Start = None,
    boxes: Boxes = None,
    fold: Fold = None,
    workers: Workers = 1,
) -> None:
    """Train one network; prints the path of the weights that validated best, OUT/best.pt.

    A recipe of YOLO goes to the command yolo. On several GPUs: torchrun --nproc-per-node N -m training.cli fit ...
    """
    from training.fit import fit as run
    from training.yolo import is_yolo, train_yolo

    changes = {"start": start, "boxes": boxes, "test_fold": fold}
    read, data = _chosen(
        recipe, {name: value for name, value in changes.items() if value is not None}, data, out, smoke
    )
    if is_yolo(read):
        typer.echo(train_yolo(read, data, out, resume=resume))
        return
    best = run(read, data, out, resume=resume, workers=0 if smoke else workers)
    # Of the processes that torch's launcher started, one speaks.
    if os.environ.get("RANK", "0") == "0":
        typer.echo(best)


def _chosen(path: Path, changes: dict[str, Any], data: Path | None, out: Path, small: bool) -> tuple[Recipe, Path]:
    """The recipe with what the command line changes, and the data it is trained on."""
    from training import smoke
    from training.recipe import read_recipe

    recipe = read_recipe(path).model_copy(update=changes)
    if small:
        typer.echo(smoke.NOTE, err=True)
        return smoke.smoke(recipe), smoke.phantoms_of(out)
    if data is None:
        raise typer.BadParameter("found none, wanted the folder of the data set, or --smoke", param_hint="--data")
    return recipe, data


@app.command()
def yolo(
    recipe: RecipeFile,
    out: Out,
    data: MaybeData = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A tiny run on drawn phantoms; needs no --data.")] = False,
    resume: Resume = False,
    fold: Fold = None,
) -> None:
    """Train YOLO11n as localiser and export it; prints the path of the graph, OUT/yolo.onnx.

    Needs the extra "yolo". It brings ultralytics, which is AGPL-3.0, and whose makers claim the weights that it trains
    under that licence too: a manifest that names them must say so.
    """
    from training.yolo import is_yolo, train_yolo

    read, data = _chosen(recipe, {} if fold is None else {"test_fold": fold}, data, out, smoke)
    if not is_yolo(read):
        raise ValueError(f"Found network {read.network.path}; wanted YOLO. Use the command fit.")
    typer.echo(train_yolo(read, data, out, resume=resume))


@app.command()
def export(
    template: Annotated[Path, typer.Argument(metavar="TEMPLATE", exists=True, dir_okay=False, help="Template (YAML).")],
    weights: Annotated[
        list[str],
        typer.Option(metavar="STAGE=PATH", help="best.pt of a stage; repeated for a stage: the mean of all."),
    ],
    out: Out,
    name: Annotated[str | None, typer.Option(help="Of the pipeline; else TEMPLATE's.")] = None,
    version: Annotated[str | None, typer.Option(metavar="X.Y.Z", help="Of the pipeline; else TEMPLATE's.")] = None,
) -> None:
    """Export every stage to ONNX, check it against torch, write the manifest; prints the pipeline's folder.

    A pipeline called as one that ships, in name and version, is served in its place.
    """
    members: dict[str, list[Path]] = {}
    for stage, path in map(_pair, weights):
        members.setdefault(stage, []).append(path)
    from training.export import export_pipeline

    typer.echo(export_pipeline(template, members, out, name, version))


def _pair(text: str) -> tuple[str, Path]:
    stage, _, path = text.partition("=")
    if not stage or not path:
        raise typer.BadParameter(f"found {text!r}, wanted STAGE=PATH", param_hint="--weights")
    if not Path(path).is_file():
        raise typer.BadParameter(f"found no file {path!r}, wanted the weights of {stage}", param_hint="--weights")
    return stage, Path(path)


@app.command()
def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="Pipeline: NAME/VERSION.")
    ],
    data: Data,
    part: Annotated[Part, typer.Option(help="Part of the split.")] = Part.test,
    limits: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Markdown that ends the card; writes manifest and card."),
    ] = None,
    evidence: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for the per-image scores.")] = None,
) -> None:
    """Measure a pipeline on the fold it never saw, as it is served; with --limits, write the figures into its card."""
    from training import card
    from training.evaluate import Bench, parts_of
    from training.evidence.files import evidence_path, write_evidence

    bench = Bench.open(folder)
    manifest = bench.pipeline.manifest
    name, split = parts_of(manifest, data)
    chosen = split.test if part is Part.test else split.validation
    kept = _measured(bench, chosen, name if part is Part.test else f"validation part beside {name}", data)
    measured = kept.figures()
    _print(measured)
    if limits is not None:
        card.publish(folder, manifest, measured, limits.read_text(encoding="utf-8"))
    if evidence is not None:
        write_evidence(evidence_path(evidence, manifest), manifest, kept)


def _measured(bench: Any, cases: Sequence[Any], name: str, data: Path) -> Kept:
    """Rows of the cases as they are and of their simulated screenshots. Raises ValueError without cases."""
    from training.evaluate import scores
    from training.evidence.files import Evidence, index_digest

    if not cases:
        raise ValueError(
            f"Found no case in {name}; wanted at least one. Check the data set and the recipes' test fold."
        )
    kept, index = Evidence(), index_digest(data)
    for kind, on in (("lesions", name), ("screenshots", f"{name}, simulated screenshots")):
        rows = scores(bench, _counted(cases, on), shifted=kind == "screenshots")
        kept.add(on, rows, {"kind": kind, "index": index})
    return kept


def _counted(cases: Sequence[Any], name: str) -> Iterable[Any]:
    return track(cases, name, console=Console(stderr=True))


def _print(measured: Iterable[Metric]) -> None:
    from training.card import interval

    table = Table("figure", "value", "95 % interval", "n", "on")
    for metric in measured:
        table.add_row(metric.name, f"{metric.value:.3f}", interval(metric), str(metric.n), metric.on)
    # In a pipe nothing is folded to the width of a terminal that is not there.
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


for commands in (figures_cli, compare_cli, cascade_cli, export_cli, phantoms_cli, evidence_cli):
    app.add_typer(commands.app)
app.add_typer(data_cli.app, name="data")


def main() -> None:
    """Entry point of the console script: what the user can mend ends as one line on stderr and exit code 1."""
    try:
        with _telling():
            app()
    except MENDABLE as error:
        typer.echo(f"breast-cascade-train: {one_line(error)}", err=True)
        sys.exit(FAILED)


@contextmanager
def _telling() -> Iterator[None]:
    """What training has to say goes to stderr."""
    logger, handler = logging.getLogger("breast_cascade.training"), logging.StreamHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def one_line(error: Exception) -> str:
    """The error's text without line breaks; of a file's fields, the first that is wrong."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        return f"{error.title}: field {where} = {first['input']!r:.80}: {first['msg']}. Mend this field."
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main()
