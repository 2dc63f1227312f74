"""The commands fit-cascade and regions. Heavy imports wait inside, so that ``--help`` is quick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.choices import Source
from training.cli_parts import FILE, FOLDER, Data, Fold, Out

if TYPE_CHECKING:
    from training.kinship import Corpus
    from training.out_of_fold import Boxes, Looking
    from training.phases import Chain
    from training.recipe import Recipe

app = typer.Typer()
OF_STAGE = "STAGE=, a name or number, for one stage alone."


def _each(metavar: str, about: str, *flags: str) -> Any:
    return typer.Option(*flags, metavar=f"[STAGE=]{metavar}", help=f"{about} Repeatable; {OF_STAGE}")


Texts = list[str] | None
Template = Annotated[Path, typer.Argument(metavar="TEMPLATE", help="The pipeline: stages and recipes.", **FILE)]


@app.command("fit-cascade")
def fit_cascade(
    template: Template,
    out: Out,
    data: Annotated[Texts, _each("DIR", "Folder of the data set.")] = None,
    stage: Annotated[str | None, typer.Option(metavar="1|2|NAME", help="One of the first two stages alone.")] = None,
    regions_from: Annotated[
        Source, typer.Option(help="folds: a stage 1 without each fold; held_out: stage 1's validation part, cheaper.")
    ] = Source.folds,
    epochs: Annotated[Texts, _each("N[,N...]", "Epochs, one number or one for each phase.")] = None,
    learning_rate: Annotated[Texts, _each("X[,X...]", "Greatest learning rate, likewise.", "--lr")] = None,
    batch: Annotated[Texts, _each("N[,N...]", "Batch, likewise.")] = None,
    size: Annotated[Texts, _each("N|HxW", "Input of the network, a square's side or height x width.")] = None,
    l1_lambda: Annotated[Texts, _each("X[,X...]", "Weight of L1, one number or one for each phase.")] = None,
    checkpoints: Annotated[Texts, _each("DIR", "Run folder of a stage; without STAGE, the folder of all.")] = None,
    logs: Annotated[Texts, _each("DIR", "Further folder for TensorBoard, in the same way.")] = None,
    fold: Fold = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny networks on drawn phantoms; needs no --data.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Of the pipeline; else TEMPLATE's, with _own behind a name that ships.")
    ] = None,
    version: Annotated[str | None, typer.Option(metavar="X.Y.Z", help="Of the pipeline; else TEMPLATE's.")] = None,
) -> None:
    """Train all stages of a pipeline, the second on regions of the first, and export it; prints the pipeline's folder.

    A stage alone prints its weights; stage 1 ends with the regions, which stage 2 needs.

    Example: breast-cascade-train fit-cascade training/recipes/mammography_pipeline.yaml --data tissue=segmentation_data
    --data lesion=mammograms --epochs lesion=50 -o cascade
    """
    from training import smoke as small
    from training.cascade import fit_cascade as run
    from training.cascade_plan import Plan
    from training.stage_options import settings_in

    options = {"epochs": epochs, "learning_rate": learning_rate, "batch": batch, "size": size, "l1_lambda": l1_lambda}
    folders = {"data": data, "checkpoints": checkpoints, "logs": logs}
    only = _number(template, stage)
    plan = Plan(template, out, settings_in(template, options | folders), regions_from, fold, smoke, name, version)
    if smoke:
        typer.echo(small.NOTE, err=True)
    made = run(plan, only)
    if made.is_dir():
        typer.echo(f"To serve it: BREAST_CASCADE_PIPELINES_DIR={made.parents[1]} breast-cascade serve", err=True)
    typer.echo(made)


def _number(template: Path, text: str | None) -> int | None:
    """Which of the first two stages is meant."""
    from training.stage_options import stage_names, stage_of

    if text is None:
        return None
    names = stage_names(template)[:2]
    return names.index(stage_of(text, names, "stage")) + 1


@app.command()
def regions(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", exists=True, help="Finished run folders of stage 1, or recipes to train."),
    ],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", dir_okay=False, help="File to write (JSON).")],
    recipe: Annotated[
        Path | None, typer.Option("--for", help="Recipe that will read it; without, stage 1's own data set.", **FILE)
    ] = None,
    trained_on: Annotated[
        Path | None, typer.Option(help="Where SOURCE learns or learned, if not in --data.", **FOLDER)
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="Pipeline whose first stage says what counts as found.", **FILE)
    ] = None,
    label: Annotated[str | None, typer.Option(help="Around which label, where stage 1 has several.")] = None,
    runs: Annotated[Path | None, typer.Option(file_okay=False, help="Folder of runs that are trained.")] = None,
    fold: Fold = None,
) -> None:
    """Write a localiser's boxes for --boxes, each by a network that did not learn from the picture; prints the file.

    Run folders: each picture is looked at by the first run that was neither trained nor validated on it; where there is
    none, nothing is written. Recipes (several are phases): trained once, and once more without each fold.

    Example: breast-cascade-train regions training/recipes/ultrasound_localiser.yaml --data Dataset_BUSI_with_GT
    -o runs/boxes.json
    """
    from training.kinship import corpus_of
    from training.recipe import read_recipe

    learners = _learners(sources, fold)
    wanted = corpus_of(learners[-1] if recipe is None else read_recipe(recipe), data)
    look = _looking(learners[-1], template, label)
    if sources[0].is_dir():
        boxes = _of_runs(sources, wanted, look, trained_on)
    else:
        from training.out_of_fold import boxes_of_chain

        boxes = boxes_of_chain(_chain(learners, wanted, trained_on, runs or out.with_suffix("")), look, wanted)
    typer.echo(boxes.write(out))


def _learners(sources: Sequence[Path], fold: int | None) -> list[Recipe]:
    """The recipes of stage 1: of its runs, or those to be trained."""
    from training.kinship import learner
    from training.recipe import read_recipe

    if len({source.is_dir() for source in sources}) > 1:
        raise typer.BadParameter("found run folders beside recipes, wanted one of both", param_hint="SOURCE")
    if sources[0].is_dir():
        if fold is not None:
            raise typer.BadParameter("found it beside run folders, which have theirs", param_hint="--fold")
        return [learner(source) for source in sources]
    read = [read_recipe(source) for source in sources]
    return read if fold is None else [one.model_copy(update={"test_fold": fold}) for one in read]


def _looking(learner: Recipe, template: Path | None, label: str | None) -> Looking:
    from training.out_of_fold import Looking, natural_look
    from training.template import read_template

    if template is None:
        return natural_look(learner, label)
    read = read_template(template)
    first, *others = read.stages
    second = next((one for one in others if one.on == first.name), None)
    wanted = label or (second.label if second else None)
    region = second.region if second and not label else ()
    return Looking(first.block, wanted, first.mirror, first.train.checkpoint, region, read.canonical_side)


def _of_runs(runs: Sequence[Path], wanted: Corpus, look: Looking, trained_on: Path | None) -> Boxes:
    from training.out_of_fold import boxes_of_runs

    return boxes_of_runs(runs, look, wanted, trained_on)


def _chain(learners: Sequence[Recipe], wanted: Corpus, trained_on: Path | None, runs: Path) -> Chain:
    from training.phases import Chain

    if trained_on is None and learners[-1].dataset.path != wanted.dataset:
        raise typer.BadParameter(
            f"found none, wanted the folder of {learners[-1].dataset.path}: --data is of {wanted.dataset}",
            param_hint="--trained-on",
        )
    return Chain(tuple(learners), trained_on or wanted.folder, runs / learners[-1].name)
