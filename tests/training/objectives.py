"""What tests of the objective share: recipes, outputs and truths of 8 by 8 pixels."""

from __future__ import annotations

from typing import Any

import torch

from training.recipe import Recipe

SOME = torch.tensor([1, 1])
NAN = float("nan")


def recipe(task: str = "whole", **changes: Any) -> Recipe:
    labels = {"classes": ["background", "one", "two"]} if task in ("labels", "fuse") else {}
    content = {
        "name": "tiny",
        "task": task,
        "network": {"path": "models.unet.tiny"},
        "dataset": {"path": "training.phantoms.tiny.cases"},
        "input": {"size": [8, 8]},
        **labels,
    }
    return Recipe.model_validate(content | changes)


def maps(channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, channels, 8, 8, generator=torch.Generator().manual_seed(seed))


def truth(labels: int = 3) -> torch.Tensor:
    return torch.randint(0, labels, (2, 8, 8), generator=torch.Generator().manual_seed(9))


MASK = (maps(seed=5) > 0).float()
