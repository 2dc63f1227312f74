"""A trained network to the ONNX file that serves, and a pipeline template to a manifest.

Batch norm is folded into the convolutions and their weights are rounded to 8 bits (`training.packing`) *before* export,
so that the file stores a quarter of the bytes and still equals torch.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.blocks import ConvNormAct
from service.manifest import Manifest
from training.card import publish
from training.fit import build_network
from training.graphs import DECODER, ENCODER, graphs, of_prediction, write_graphs
from training.onnx_graph import check_export, traced
from training.packing import packable, packed, stored_small
from training.recipe import Recipe, read_recipe
from training.run_folder import CONFIG
from training.tasks import TASKS
from training.template import StageTemplate, Template, read_template, recipes_of

OUTPUTS = {name: list(task.outputs) for name, task in TASKS.items()}


class Ensemble(nn.Module):
    """Mean of the outputs of several networks of one shape, trained from different seeds."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor) -> Any:
        outputs = [member(image) for member in self.members]
        if isinstance(outputs[0], tuple):
            return tuple(torch.stack(parts).mean(dim=0) for parts in zip(*outputs, strict=True))
        return torch.stack(outputs).mean(dim=0)


class Mirrored(nn.Module):
    """Mean of a network's outputs for a picture and its mirror image; maps are mirrored back."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Any:
        straight, mirrored = self.network(image), self.network(image.flip(3))
        if isinstance(straight, tuple):
            return tuple(_mean(*pair) for pair in zip(straight, mirrored, strict=True))
        return _mean(straight, mirrored)


def _mean(straight: Tensor, mirrored: Tensor) -> Tensor:
    return (straight + (mirrored.flip(3) if mirrored.ndim == 4 else mirrored)) / 2


def deployable(recipe: Recipe, weights: Sequence[Path], *, mirror: bool) -> nn.Module:
    """The trained network as it will be exported: evaluation mode, batch norm folded, convolutions rounded to 8 bits.

    Several weight files (of one recipe, different seeds) become one network that gives the mean of their outputs.
    Raises ValueError for weights of another network.
    """
    members = [_folded(recipe, path) for path in weights]
    network = members[0] if len(members) == 1 else Ensemble(members)
    return (Mirrored(network) if mirror else network).eval()


def _folded(recipe: Recipe, weights: Path) -> nn.Module:
    network = build_network(recipe, start=False)
    _load(network, weights, recipe)
    network.eval()
    for block in network.modules():
        if isinstance(block, ConvNormAct):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()  # type: ignore[type-var, arg-type]
    for parameter in network.parameters():
        if packable(tuple(parameter.shape)):
            codes, scale = packed(parameter.detach().numpy())
            parameter.data = torch.from_numpy(codes.astype(np.float32) * scale)
    return network


def _load(network: nn.Module, weights: Path, recipe: Recipe) -> None:
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except (RuntimeError, UnpicklingError, EOFError, TypeError) as error:
        raise ValueError(
            f"Found in {weights} no weights of {recipe.network.path} as recipe {recipe.name} builds it; wanted its "
            "state dict. Pass the best.pt that was trained with this recipe."
        ) from error


def export_network(network: nn.Module, recipe: Recipe, path: Path) -> float:
    """Write ``path`` (fixed height and width, dynamic batch) and return the largest relative difference from torch.

    Raises ValueError, and writes nothing, when ONNX Runtime and torch differ by more than
    `training.onnx_graph.check_export` allows.
    """
    shape = (recipe.channels, *recipe.input.size)
    content = stored_small(traced(network, [shape], ["image"], OUTPUTS[recipe.task])).SerializeToString()
    difference = check_export(network, content, shape).relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return difference


def export_pipeline(
    template: Path,
    weights: Mapping[str, Sequence[Path]],
    out: Path,
    name: str | None = None,
    version: str | None = None,
) -> Path:
    """Export every stage of a pipeline template, write manifest and card; returns ``out/<name>/<version>``.

    ``weights`` holds the state dicts of each stage by name, several for an ensemble, or the one ONNX file that training
    gave (YOLO). ``name`` and ``version`` are the template's where they are None. Evidence is left without metrics:
    `training.evaluate` measures and fills them in.

    Raises ValueError where weights and stages do not match, recipes of one data set differ in their split, or an
    export differs from torch; pydantic's ValidationError and OSError for template and recipes.
    """
    read = read_template(template).called(name, version)
    _check_weights([stage.name for stage in read.stages], weights)
    recipes = [recipes_of(template, stage)[-1] for stage in read.stages]
    check_recipes(recipes)
    for recipe, stage in zip(recipes, read.stages, strict=True):
        _check_inputs(recipe, weights[stage.name])
    folder = out / read.name / read.version
    stages = [
        _export_stage(stage, recipe, weights[stage.name], folder)
        for stage, recipe in zip(read.stages, recipes, strict=True)
    ]
    publish(folder, Manifest.model_validate(read.model_dump() | {"stages": stages}), (), "")
    return folder


def _check_weights(stages: Sequence[str], weights: Mapping[str, Sequence[Path]]) -> None:
    for name in stages:
        if not weights.get(name):
            raise ValueError(f"Found no weights for stage {name}; wanted a trained file. Pass --weights {name}=PATH.")
    for name in weights:
        if name not in stages:
            raise ValueError(f"Found weights for {name}; wanted a stage of {', '.join(stages)}. Mend --weights.")


def check_recipes(recipes: Sequence[Recipe]) -> None:
    """Raises ValueError for recipes that cannot be one pipeline.

    Names must differ, for files are called by them; a data set has one split, lest one network saw another's test.
    """
    first: dict[str, Recipe] = {}
    for recipe in recipes:
        other = first.setdefault(recipe.dataset.path, recipe)
        if (recipe.test_fold, recipe.validation) != (other.test_fold, other.validation):
            raise ValueError(
                f"Found test fold {recipe.test_fold} and validation part {recipe.validation} in {recipe.name}, "
                f"{other.test_fold} and {other.validation} in {other.name}; wanted the same. Train both on one split."
            )
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        raise ValueError(f"Found recipes {', '.join(names)}; wanted no name twice. Give each stage its own recipe.")


def _check_inputs(recipe: Recipe, weights: Sequence[Path]) -> None:
    """Where weights lie in their run folder, it says what they were shown: nothing else may be served to them."""
    for path in weights:
        config = path.parent / CONFIG
        shown = read_recipe(config).input if config.is_file() else recipe.input
        if shown != recipe.input:
            name = next(name for name, value in shown if value != getattr(recipe.input, name))
            raise ValueError(
                f"Found {path} trained with input {name} {getattr(shown, name)}; wanted {getattr(recipe.input, name)}, "
                f"as the template has it for {recipe.name}. Train it so, or mend the template."
            )


def served(template: Template, recipes: Sequence[Recipe]) -> Manifest:
    """The manifest that a template and its recipes will give, before there are weights. Raises ValidationError."""
    stages = [
        stage_block(stage, recipe, {role: _file(stage, f"{recipe.name}.onnx", "0" * 64) for role in _roles(recipe)})
        for stage, recipe in zip(template.stages, recipes, strict=True)
    ]
    return Manifest.model_validate(template.model_dump() | {"stages": stages})


def _roles(recipe: Recipe) -> tuple[str, ...]:
    return (ENCODER, DECODER) if recipe.task == "prompt" else ("network",)


def _file(stage: StageTemplate, name: str, sha256: str) -> dict[str, str]:
    return {"file": name, "sha256": sha256, "licence": stage.licence}


def _export_stage(stage: StageTemplate, recipe: Recipe, weights: Sequence[Path], folder: Path) -> dict[str, Any]:
    paths, difference = (_prompted if recipe.task == "prompt" else _plain)(stage, recipe, weights, folder)
    pairs = zip(_roles(recipe), paths, strict=True)
    files = {role: _file(stage, path.name, digest(path)) for role, path in pairs}
    return stage_block(stage, recipe, files) | {"training": _training(recipe, len(weights), difference)}


def stage_block(stage: StageTemplate, recipe: Recipe, files: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A stage of the manifest whose networks lie in ``files``, by role."""
    look = {} if stage.on == "image" else {"look": recipe.look.model_dump()}
    return stage.block | look | {"input": recipe.input.model_dump(mode="json"), "weights": dict(files)}


def _plain(
    stage: StageTemplate, recipe: Recipe, weights: Sequence[Path], folder: Path
) -> tuple[list[Path], float | None]:
    path = folder / f"{recipe.name}.onnx"
    return [path], _written(stage, recipe, weights, path)


def _prompted(stage: StageTemplate, recipe: Recipe, weights: Sequence[Path], folder: Path) -> tuple[list[Path], float]:
    """Write encoder and decoder, that of points where the recipe prompts by them; weights stay as they were trained."""
    if len(weights) > 1 or stage.mirror:
        raise ValueError(
            f"Found {len(weights)} weights for stage {stage.name}{' to be mirrored' if stage.mirror else ''}; wanted "
            "one, as it is: embeddings cannot be averaged. Pass one."
        )
    network = build_network(recipe, start=False)
    _load(network, weights[0], recipe)
    written = write_graphs(of_prediction(graphs(recipe, network)), recipe.name, folder)
    return [one.path for one in written], max(one.difference for one in written)


def _written(stage: StageTemplate, recipe: Recipe, weights: Sequence[Path], path: Path) -> float | None:
    """Write a stage's graph; how far it is from torch, None for one that training has exported and checked."""
    if not any(one.suffix == ".onnx" for one in weights):
        return export_network(deployable(recipe, weights, mirror=stage.mirror), recipe, path)
    if len(weights) > 1 or stage.mirror:
        found = ", ".join(one.name for one in weights) + (" to be mirrored" if stage.mirror else "")
        raise ValueError(
            f"Found {found} for stage {stage.name}; wanted one ONNX file, taken as it is: graphs cannot be averaged. "
            "Pass one, or state dicts."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights[0], path)
    return None


def _training(recipe: Recipe, members: int, difference: float | None) -> dict[str, Any]:
    """What the manifest keeps of how a network came to be; `training.evaluate` finds the test part by it."""
    return {
        "recipe": recipe.name,
        "network": recipe.network.model_dump(),
        "dataset": recipe.dataset.model_dump(),
        "members": members,
        "test_fold": recipe.test_fold,
        "validation": recipe.validation,
        "onnx_against_torch": None if difference is None else float(f"{difference:.1e}"),
    }


def digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
