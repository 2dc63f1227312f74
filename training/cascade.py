"""Both stages of a pipeline as one run: stage 1, its regions on pictures it never saw, stage 2 on them, the pipeline.

The recipe of a cascade is the template of its pipeline: each stage names the recipe of its network. Everything lies in
one folder: ``recipes/`` (what was trained, changes included), ``checkpoints/<stage>`` (run folders), the regions for
stage 2 as ``boxes_folds.json`` or ``boxes_held_out.json``, and ``pipelines/<name>/<version>``. Stopped and started
again, it goes on after the last finished epoch.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from service.stages import Stage
from service.yaml12 import read_yaml
from training.choices import Source
from training.datasets.case import Case
from training.export import StageTemplate, Template, deployable, export_network, export_pipeline
from training.fit import BEST
from training.localiser import Found, boxes_on, open_stage
from training.recipe import Recipe, merged, read_recipe
from training.regions import write_boxes
from training.sampling import parts_of
from training.trained import EVENTS, finish, finished
from training.yolo import ONNX, is_yolo, train_yolo

RECIPES, PIPELINES, GRAPH = "recipes", "pipelines", "network.onnx"


@dataclass(frozen=True)
class Plan:
    """A cascade to be trained.

    Attributes:
        template: of the pipeline.
        data: folder of the data set.
        out: folder to write to.
        source: of the regions for stage 2.
        changes: of the first, second, ... stage's recipe, as `training.recipe.merged` lays them over it.
        checkpoints: folder of the run folders, None for ``out/checkpoints``.
        logs: folder that gets a copy of each stage's TensorBoard events; they always lie in the run folder, too.
        fold: kept for testing by all stages, None for the recipes' own.
    """

    template: Path
    data: Path
    out: Path
    source: Source = Source.folds
    changes: Sequence[Mapping[str, Any]] = ()
    checkpoints: Path | None = None
    logs: Path | None = None
    fold: int | None = None

    @cached_property
    def stages(self) -> tuple[StageTemplate, ...]:
        """The template's stages. Raises pydantic's ValidationError, and ValueError where there are not two."""
        template = Template.model_validate(read_yaml(self.template.read_text(encoding="utf-8")))
        stages = template.stages
        if len(stages) < 2 or (stages[1].model_extra or {}).get("on") != stages[0].name:
            raise ValueError(
                f"Found {', '.join(stage.name for stage in stages)} in {self.template}; wanted a second stage on the "
                "first one. Give the template of a cascade."
            )
        return stages

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        """The stages' recipes with their changes."""
        read = [read_recipe(self.template.parent / stage.recipe) for stage in self.stages]
        changes = [*self.changes, *([{}] * len(read))]
        fold = {} if self.fold is None else {"test_fold": self.fold}
        return tuple(
            Recipe.model_validate(merged(one.model_dump(mode="json"), {**change, **fold}))
            for one, change in zip(read, changes, strict=False)
        )

    @property
    def boxes(self) -> Path:
        """The file of the regions for stage 2, its name by where they come from."""
        return (self.out / f"boxes_{self.source}.json").resolve()

    def run(self, name: str) -> Path:
        """The run folder of a stage."""
        return (self.checkpoints or self.out / "checkpoints") / name


def fit_cascade(plan: Plan, only: int | None = None) -> Path:
    """Train what is not trained yet; returns the pipeline's folder, or with ``only`` the weights of that stage, 1 or 2.

    Stage 1 alone ends with the regions for stage 2; stage 2 alone, which takes further stages with it, needs them.

    Raises FileNotFoundError for stage 2 without the regions of stage 1, and what training and export raise.
    """
    if only != 2:
        _first(plan)
        _regions(plan)
    if only == 1:
        return _weights(plan, 0)
    _rest(plan)
    return _weights(plan, 1) if only == 2 and not _done(plan, 0) else _pipeline(plan)


def _first(plan: Plan) -> None:
    _train(plan, plan.recipes[0], plan.stages[0].name)


def _train(plan: Plan, recipe: Recipe, name: str) -> Path:
    """Finish one run; returns its folder."""
    run = plan.run(name)
    if is_yolo(recipe):
        train_yolo(recipe, plan.data, run, resume=run.is_dir())
    else:
        finish(recipe, plan.data, run)
    if plan.logs is not None:
        (plan.logs / name).mkdir(parents=True, exist_ok=True)
        for events in run.glob(EVENTS):
            shutil.copy2(events, plan.logs / name)
    return run


def _regions(plan: Plan) -> None:
    """Write the boxes of stage 1 on pictures that it was not trained on."""
    if plan.boxes.is_file():
        return
    parts = parts_of(plan.recipes[0], plan.data)
    stage, label = _stage(plan, plan.recipes[0], plan.stages[0].name), (plan.stages[1].model_extra or {}).get("label")
    found = boxes_on(stage, parts.test, label)
    if plan.source is Source.held_out:
        found |= boxes_on(stage, parts.validation, label)
    else:
        found |= _out_of_fold(plan, [*parts.train, *parts.validation], label)
    write_boxes(found, plan.boxes)


def _out_of_fold(plan: Plan, cases: Sequence[Case], label: str | None) -> Found:
    recipe, name = plan.recipes[0], plan.stages[0].name
    folds = sorted({case.fold for case in cases})
    if len(folds) < 2:
        raise ValueError(
            f"Found fold {folds} beside test fold {recipe.test_fold}; wanted at least two to train on one and look at "
            "the other. Take the regions from held_out."
        )
    found: Found = {}
    for fold in folds:
        changes = {"name": f"{recipe.name}_without_{fold}", "excluded": (*recipe.excluded, fold)}
        stage = _stage(plan, recipe.model_copy(update=changes), f"{name}_without_{fold}")
        found |= boxes_on(stage, [case for case in cases if case.fold == fold], label)
    return found


def _stage(plan: Plan, recipe: Recipe, name: str) -> Stage:
    """Stage 1 as it is served, by the weights of a run that is finished first."""
    run, template = _train(plan, recipe, name), plan.stages[0]
    graph = run / GRAPH
    if is_yolo(recipe):
        graph = train_yolo(recipe, plan.data, run, resume=True)
    elif not graph.is_file():
        export_network(deployable(recipe, [run / BEST], mirror=template.mirror), recipe, graph)
    block = template.model_dump(exclude={"recipe", "licence", "mirror"})
    return open_stage(block | {"input": recipe.input.model_dump(mode="json")}, graph)


def _rest(plan: Plan) -> None:
    if not plan.boxes.is_file():
        raise FileNotFoundError(f"Found no {plan.boxes}; wanted the regions of stage 1. Train it first: --stage 1.")
    second = plan.recipes[1].model_copy(update={"boxes": plan.boxes})
    _train(plan, second, plan.stages[1].name)
    for recipe, stage in zip(plan.recipes[2:], plan.stages[2:], strict=True):
        _train(plan, recipe, stage.name)


def _done(plan: Plan, number: int) -> bool:
    run = plan.run(plan.stages[number].name)
    return (run / ONNX).is_file() if is_yolo(plan.recipes[number]) else finished(run)


def _weights(plan: Plan, number: int) -> Path:
    run = plan.run(plan.stages[number].name)
    return run / (ONNX if is_yolo(plan.recipes[number]) else BEST)


def _pipeline(plan: Plan) -> Path:
    weights = {stage.name: [_weights(plan, number)] for number, stage in enumerate(plan.stages)}
    return export_pipeline(_written(plan), weights, plan.out / PIPELINES)


def _written(plan: Plan) -> Path:
    """The template and its recipes, changes included, as files of their own."""
    folder = plan.out / RECIPES
    folder.mkdir(parents=True, exist_ok=True)
    content = read_yaml(plan.template.read_text(encoding="utf-8"))
    for stage, recipe in zip(content["stages"], plan.recipes, strict=True):
        stage["recipe"] = f"{recipe.name}.yaml"
        text = yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False, width=120)
        (folder / stage["recipe"]).write_text(text, encoding="utf-8")
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    return path
