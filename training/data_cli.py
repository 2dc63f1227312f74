"""``breast-cascade-train data``: look a data set over, and turn public downloads into what training reads.

Heavy imports wait inside the commands, so that ``--help`` is quick. The last line on stdout is the result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

if TYPE_CHECKING:
    from training.data_check import Report
    from training.datasets.case import Case

Item = TypeVar("Item")
FAILED = 1
PIPE_WIDTH = 200
SHOWN = 20
DEPTH_WEIGHTS, DEPTH_LICENCE = "depth-anything/Depth-Anything-V2-Small-hf", "Apache-2.0 (Depth Anything V2 Small)"

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
Folder = Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Folder of that data set.")]
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


class Enhance(StrEnum):
    """What is done to mammograms, as at serving time."""

    none = "none"
    clahe = "clahe"
    adaptive_clahe = "adaptive_clahe"


@prepare.command()
def mammography(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    cbis: Folder = None,
    mini_ddsm: Folder = None,
    official: Annotated[bool, typer.Option(help="Keep CBIS-DDSM's published test part as the test part.")] = False,
    rescale: Annotated[bool, typer.Option(help="Rescale masks of another size and the same aspect.")] = False,
    enhance: Annotated[Enhance, typer.Option(help="clahe is median 3 x 3 and CLAHE 1.5 / 8 x 8.")] = Enhance.clahe,
    canonical: Annotated[bool, typer.Option(help="Mirror so that the chest wall is at the left.")] = False,
    longest: Annotated[int, typer.Option(min=0, help="Greatest side in pixels; 0 leaves the size.")] = 0,
    empty: Annotated[bool, typer.Option(help="Keep pictures without a lesion.")] = True,
    outliers: Annotated[float, typer.Option(min=0, max=0.5, help="Share of lesions to leave out as outliers.")] = 0,
    archive: Annotated[bool, typer.Option("--zip", help="Write OUT.zip, ready to train.")] = False,
) -> None:
    """Merge CBIS-DDSM and Mini-DDSM into one table of enhanced pictures; prints the path of the table, or of the zip.

    What cannot be read is left out and listed in OUT/left_out.csv. Train with the data set unified_csv on OUT.
    """
    from training.datasets import cbis_ddsm
    from training.datasets import mini_ddsm as mini
    from training.prepare.mammography import MammographyOptions, prepare_mammography, zipped

    sets = {}
    if cbis:
        sets["cbis_ddsm"] = cbis_ddsm.cases(cbis, official=official, rescale=rescale)
    if mini_ddsm:
        sets["mini_ddsm"] = mini.cases(mini_ddsm, rescale=rescale)
    if not sets:
        raise typer.BadParameter("found neither, wanted at least one", param_hint="--cbis, --mini-ddsm")
    options = MammographyOptions(enhance.value, canonical, longest, empty, outliers)
    table = prepare_mammography(sets, out, options, official=["cbis_ddsm"] if official else [], progress=_counted)
    typer.echo(zipped(out) if archive else table)


class Layout(StrEnum):
    """Whose download of MRI exams it is."""

    mama_mia = "mama_mia"
    qin = "qin"
    duke = "duke"


@prepare.command()
def mri(
    layout: Annotated[Layout, typer.Argument(help="mama_mia also reads CASE/image.nii.gz with CASE/mask.nii.gz.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    slices: Annotated[str, typer.Option(help="all, tumour_only, or ratio:K for K tumour-free a tumour slice.")] = "all",
    size: Annotated[int, typer.Option(min=8, help="Side of the pictures.")] = 224,
    stretch: Annotated[bool, typer.Option(help="Stretch to the square as the published method did.")] = False,
    subtraction: Annotated[bool, typer.Option(help="Write time point minus the one before contrast, too.")] = False,
    skip_broken: Annotated[bool, typer.Option(help="Leave broken volumes out, list them in OUT/broken.csv.")] = False,
    option: Options = None,
) -> None:
    """Cut MRI exams into slices with masks, boxes and YOLO labels, split by patient; prints the manifest's path.

    Options of the data sets: mama_mia phase, segmentations; qin segment, mat_from_last. Train with the data set
    mri_slices on OUT, or YOLO on OUT/yolo.yaml.
    """
    from importlib import import_module

    from training.prepare.mri import BROKEN, MriOptions, prepare_mri

    exams = import_module(f"training.datasets.{layout.value}").exams(data, **dict(map(_pair, option or [])))
    options = MriOptions(size=size, letterbox=not stretch, policy=slices, subtraction=subtraction)
    table = prepare_mri(exams, out, options, skip_broken=skip_broken, progress=_counted)
    _tell_skipped(out / BROKEN, len(exams))
    typer.echo(table)


@app.command()
def depth(
    data: Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder with images/.")],
    weights: Annotated[str, typer.Option(help="Local folder or file, or a name on the hub.")] = DEPTH_WEIGHTS,
    network: Annotated[str, typer.Option(help="Builder by dotted path.")] = "models.depth_anything.depth_anything",
    size: Annotated[
        tuple[int, int] | None, typer.Option(metavar="HEIGHT WIDTH", help="Input; else each photograph's aspect.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(file_okay=False, help="Also write depth.onnx and a map stage; size is 518 518 then.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the weights, for the map stage.")] = DEPTH_LICENCE,
) -> None:
    """Make the depth map of each photograph that has none; prints the folders they lie in, or the exported graph."""
    from training.depth_maps import SIDE, cache_depth, export_depth, photographs_in
    from training.recipe import Part, resolve

    images = photographs_in(data)
    built = resolve(Part(path=network))(weights=weights).eval()
    size = size or ((SIDE, SIDE) if export else None)
    maps = cache_depth(images, built, size, _counted)
    if export and size:
        typer.echo(export_depth(built, export, size, licence))
    else:
        typer.echo("\n".join(sorted({str(path.parent) for path in maps})))


def listed(dataset: str, data: Path, options: Sequence[str]) -> list[Case]:
    """The cases of a data set by short name or dotted path.

    Raises ImportError for what lists none, ValueError for options that it does not take, and what its listing raises.
    """
    from training.recipe import Part, check_arguments, misfit, resolve

    part = Part(path=_lister(dataset), arguments=dict(map(_pair, options)))
    lister = resolve(part, "Mend DATASET.")
    try:
        check_arguments(lister, data, **part.arguments)
    except TypeError as error:
        raise ValueError(misfit(part, "data set", error, "Mend --option.")) from error
    found: list[Case] = lister(data, **part.arguments)
    return found


def _lister(dataset: str) -> str:
    """Dotted path of what lists the cases of a data set, named by its module or itself."""
    from importlib import import_module

    module = dataset if "." in dataset else f"training.datasets.{dataset}"
    try:
        found = import_module(module)
    except ModuleNotFoundError:
        return module if "." in dataset else f"{module}.cases"
    if hasattr(found, "exams") and not hasattr(found, "cases"):
        raise ImportError(
            f"Found MRI exams in {module!r}; wanted cases. Prepare them first (data prepare mri) and check mri_slices."
        )
    return f"{module}.cases"


def _pair(text: str) -> tuple[str, Any]:
    from service.yaml12 import read_yaml

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"found {text!r}, wanted NAME=VALUE", param_hint="--option")
    return name, read_yaml(value)


def _tell_skipped(path: Path, volumes: int) -> None:
    """What was left out, in one line for each volume on stderr."""
    from training.datasets.tables import csv_rows

    rows = csv_rows(path, ("exam", "problem")) if path.is_file() else []
    for row in rows:
        typer.echo(f"Left out {row['exam']}: {row['problem']}", err=True)
    if rows:
        typer.echo(f"Left out {len(rows)} of {volumes} volumes, listed in {path}.", err=True)


def _counted(cases: Sequence[Item]) -> Iterable[Item]:
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
