"""A pipeline of three tiny networks with random weights, exported as real ones are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from training.export import deployable, export_pipeline
from training.fit import build_network
from training.recipe import Recipe

SIDE = 32
WIDTHS = [4, 8, 8]
UNET, CLASSIFIER = "models.compact_unet.CompactUNet", "models.compact_unet.CompactClassifier"
# The localiser is the mean of two networks and their mirror images, the segmenter as plain as can be.
STAGES: dict[str, dict[str, Any]] = {
    "localise": {
        "kind": "detect",
        "mirror": True,
        "labels": ["lesion"],
        "decode": {"kind": "components", "threshold": 0.3, "max_regions": 2},
    },
    "segment": {"kind": "segment", "on": "localise", "on_miss": "empty", "labels": ["lesion"], "threshold": 0.25},
    "classify": {
        "kind": "classify",
        "mirror": True,
        "on": "segment",
        "on_miss": "empty",
        "labels": ["benign", "malignant", "normal"],
    },
}
MEMBERS = {"localise": 2, "segment": 1, "classify": 1}


@dataclass(frozen=True)
class Exported:
    """``folder`` is the pipeline's, beside the recipes and weights it was made from, by stage."""

    folder: Path
    template: Path
    recipes: dict[str, Recipe]
    weights: dict[str, list[Path]]

    def network(self, stage: str) -> nn.Module:
        """What torch gives for the exported file."""
        mirror = bool(STAGES[stage].get("mirror", False))
        return deployable(self.recipes[stage], self.weights[stage], mirror=mirror)

    def file(self, stage: str) -> Path:
        """The exported file."""
        return self.folder / f"{self.recipes[stage].name}.onnx"


def recipe(task: str, **changes: Any) -> Recipe:
    """A recipe of two epochs for one of the tasks; ``changes`` replace whole fields."""
    arguments = {"widths": WIDTHS} | ({"presence": 1} if task == "localise" else {})
    content = {
        "name": f"tiny_{task}",
        "task": task,
        "network": {"path": CLASSIFIER if task == "classify" else UNET, "arguments": arguments},
        "dataset": {"path": "training.datasets.busi.cases"},
        "input": {"size": [SIDE, SIDE], "mean": [0.4], "std": [0.25]},
        "look": {"square": True, "margin": 0.5, "minimum": 16},
        "schedule": {"epochs": 2, "batch": 2, "learning_rate": 0.02, "average": 0.5, "precision": "float32"},
        "validation": 0.4,
    }
    return Recipe.model_validate(content | changes)


def write_recipe(recipe: Recipe, folder: Path) -> Path:
    """Write ``<name>.yaml``."""
    path = folder / f"{recipe.name}.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    return path


def write_template(folder: Path, *stages: str, **changes: Any) -> Path:
    """Write ``pipeline.yaml`` with these stages; ``changes`` replace whole fields."""
    content = {
        "name": "small",
        "version": "1.0.0",
        "title": "Small",
        "modality": "US",
        "intended_use": "Tests of training.",
        "evidence": {"level": "demonstration", "data": "phantoms", "data_licence": "Apache-2.0"},
        "labels": [{"id": 1, "name": "lesion", "color": [255, 80, 80]}],
        "stages": [{"name": name, "recipe": f"tiny_{name}.yaml", "licence": "none", **STAGES[name]} for name in stages],
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return path


def write_weights(recipe: Recipe, path: Path, seed: int = 0) -> Path:
    """Random weights as training would leave them: the statistics of batch norm are no longer 0 and 1."""
    schedule = recipe.schedule.model_copy(update={"seed": seed})
    network = build_network(recipe.model_copy(update={"schedule": schedule}))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
    torch.save(network.state_dict(), path)
    return path


def export(folder: Path) -> Exported:
    """Write recipes, weights and template to ``folder`` and export them there."""
    recipes = {name: recipe(name) for name in STAGES}
    for one in recipes.values():
        write_recipe(one, folder)
    weights = {
        name: [write_weights(recipes[name], folder / f"{name}{seed}.pt", seed) for seed in range(members)]
        for name, members in MEMBERS.items()
    }
    template = write_template(folder, *STAGES)
    return Exported(export_pipeline(template, weights, folder / "pipelines"), template, recipes, weights)
