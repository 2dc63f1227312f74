"""All stages of a pipeline as one run: stage 1, its regions on pictures it never saw, stage 2 on them, the pipeline.

The recipe of a cascade is the template of its pipeline: each stage names the recipes of its network. Everything lies in
one folder: ``checkpoints/<stage>`` (run folders), the regions for stage 2 as ``boxes_folds.json`` or
``boxes_held_out.json`` (where stage 1 draws a map: ``maps_folds.json``, ``maps_held_out.json``), ``recipes/`` (what was
trained, changes included), and ``pipelines/<name>/<version>``. Stopped and started again, it goes on after the last
finished epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from service.yaml12 import read_yaml
from training.cascade_plan import Plan, PlannedStage
from training.choices import Source
from training.drawn_maps import Maps
from training.export import export_pipeline
from training.kinship import corpus_of
from training.out_of_fold import Asked, Boxes, ask_chain
from training.sampling import parts_of

RECIPES, PIPELINES = "recipes", "pipelines"
PHANTOMS = "drawn phantoms of a smoke run"
log = logging.getLogger("breast_cascade.training")


def fit_cascade(plan: Plan, only: int | None = None) -> Path:
    """Train what is not trained yet; returns the pipeline's folder, or with ``only`` the weights of that stage, 1 or 2.

    Stage 1 alone ends with the regions for stage 2; stage 2 alone, which takes further stages with it, needs them.

    Raises FileNotFoundError for stage 2 without the regions of stage 1, and what training and export raise.
    """
    first, second, *_ = plan.stages
    if only != 2:
        first.chain.train()
        _tell(plan)
    if only == 1:
        return first.weights
    _rest(plan)
    return second.weights if only == 2 and not first.chain.done else _pipeline(plan)


def _tell(plan: Plan) -> None:
    """Write what stage 1 tells of pictures that it did not learn from, boxes or maps."""
    if plan.told.is_file():
        return
    first, second, *_ = (one.chain for one in plan.stages)
    wanted = corpus_of(second.last, second.data)
    asked = Maps(wanted, plan.told.with_suffix("")) if plan.maps_asked else Boxes(wanted)
    ask_chain(asked, first, plan.look, folds=plan.source is Source.folds)
    _tell_known(plan, asked)
    asked.write(plan.told)


def _tell_known(plan: Plan, asked: Asked) -> None:
    """Where data sets differ, stage 1 may have learned from what stage 2 is tested on."""
    second = plan.stages[1].chain
    known = [case.name for case in parts_of(second.last, second.data).test if case.name in asked.known]
    if known:
        log.warning(
            "%d pictures of the test part of stage %s, the first %s, show what stage %s learned from: figures on them "
            "flatter the pipeline. Leave them out, or their folds out of its training.",
            len(known),
            plan.stages[1].name,
            known[0],
            plan.stages[0].name,
        )


def _rest(plan: Plan) -> None:
    if not plan.told.is_file():
        what = "maps" if plan.maps_asked else "regions"
        raise FileNotFoundError(f"Found no {plan.told}; wanted the {what} of stage 1. Train it first: --stage 1.")
    for stage in plan.stages[1:]:
        stage.chain.train()


def _pipeline(plan: Plan) -> Path:
    weights = {stage.name: [stage.weights] for stage in plan.stages}
    return export_pipeline(_written(plan), weights, plan.out / PIPELINES)


def _told(plan: Plan, content: Mapping[str, Any]) -> dict[str, Any]:
    """What the pipeline is called, and what it was shown: this run, and not the one of the template's authors."""
    called = plan.naming.model_dump()
    if called["name"] != plan.read.name or plan.small:
        called["title"] = f"{content['title']} ({'smoke run' if plan.small else 'own training'})"
    if plan.small:
        evidence = {"level": "demonstration", "data": f"{PHANTOMS}, of no use", "data_licence": "none needed"}
        return called | {"evidence": evidence}
    shown = dict.fromkeys(
        f"{_lesson(plan, one)}, fold {one.chain.last.test_fold} never trained on" for one in plan.stages
    )
    told = {"data": "; ".join(shown), "data_licence": "that of these folders, not noted here"}
    return called | {"evidence": {**content["evidence"], **told}}


def _lesson(plan: Plan, stage: PlannedStage) -> str:
    data = stage.chain.data.resolve().name
    return PHANTOMS if plan.small else f"folder {data}, read as {stage.chain.last.dataset.path.split('.')[-2]}"


def _written(plan: Plan) -> Path:
    """The template and the recipes of its networks, changes included, as files of their own."""
    folder = plan.out / RECIPES
    folder.mkdir(parents=True, exist_ok=True)
    content = read_yaml(plan.template.read_text(encoding="utf-8"))
    content |= _told(plan, content)
    for stage, planned in zip(content["stages"], plan.stages, strict=True):
        stage["licence"] = f"{stage['licence'].partition(' (')[0]} (trained on {_lesson(plan, planned)})"
        recipe = planned.chain.last
        stage.pop("train", None)
        stage["recipe"] = f"{recipe.name}.yaml"
        text = yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False, width=120)
        (folder / stage["recipe"]).write_text(text, encoding="utf-8")
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    return path
