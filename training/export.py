"""A trained network to the ONNX file that serves, and a pipeline template to a manifest.

Batch norm is folded into the convolutions and the weights are rounded to 8 bits per output channel *before* export, so
that the file stores a quarter of the bytes and still equals torch: each weight is an integer times its channel's
scale, multiplied out once when the file is loaded. Arithmetic stays float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.blocks import ConvNormAct
from service.manifest import Manifest
from service.yaml12 import read_yaml
from training.fit import build_network
from training.recipe import Recipe, read_recipe

BATCHES = (1, 3, 5)
TOLERANCE = 1e-4
OPSET = 18
OUTPUTS = {"localise": ["logits", "presence"], "segment": ["logits"], "classify": ["logits"]}
# Smaller arrays (biases, shapes) stay as they are: nothing to gain.
SMALLEST_PACKED = 256


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
    """
    members = [_folded(recipe, path) for path in weights]
    network = members[0] if len(members) == 1 else Ensemble(members)
    return (Mirrored(network) if mirror else network).eval()


def _folded(recipe: Recipe, weights: Path) -> nn.Module:
    network = build_network(recipe.model_copy(update={"start": None}))
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    for block in network.modules():
        if isinstance(block, ConvNormAct):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()  # type: ignore[arg-type]
    for parameter in network.parameters():
        if _packable(tuple(parameter.shape)):
            codes, scale = packed(parameter.detach().numpy())
            parameter.data = torch.from_numpy(codes.astype(np.float32) * scale)
    return network


def _packable(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and int(np.prod(shape)) >= SMALLEST_PACKED


def packed(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A convolution's weight (out, in, h, w) as int8 codes and scales (out, 1, 1, 1): weight = codes x scale.

    Scales have 11 significant bits, so that code x scale is exact in float32 and packing twice changes nothing.
    """
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True).astype(np.float64)
    mantissa, exponent = np.frexp(np.maximum(largest, 1e-12) / 127)
    scale = np.ldexp(np.ceil(mantissa * 2048) / 2048, exponent).astype(np.float32)
    return np.clip(np.round(weight / scale), -127, 127).astype(np.int8), scale


def export_network(network: nn.Module, recipe: Recipe, path: Path) -> float:
    """Write ``path`` (fixed height and width, dynamic batch) and return the largest relative difference from torch.

    Raises ValueError when ONNX Runtime and torch differ by more than 1e-4 x max(1, largest |output|).
    """
    # Two images: with one, the exporter would take the batch for a constant.
    example = torch.zeros(2, recipe.input.channels, *recipe.input.size)
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        network.to(memory_format=torch.contiguous_format),
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["image"],
        output_names=OUTPUTS[recipe.task],
        dynamic_shapes=({0: batch},),
        external_data=False,
        verbose=False,
    )
    model = _stored_small(program.model_proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return check_export(network, path, (recipe.input.channels, *recipe.input.size))


def check_export(network: nn.Module, path: Path, shape: tuple[int, int, int]) -> float:
    """Largest difference between ONNX Runtime and torch over batches 1, 3, 5, relative to max(1, largest |output|).

    Raises ValueError above 1e-4.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = max(_difference(session, network, batch, shape) for batch in BATCHES)
    if worst > TOLERANCE:
        raise ValueError(
            f"Found ONNX and torch to differ by {worst:.1e} of the largest output; wanted at most {TOLERANCE:.0e}. "
            "Do not ship this file; check the layers for one that exports differently."
        )
    return worst


@torch.no_grad()
def _difference(
    session: onnxruntime.InferenceSession, network: nn.Module, batch: int, shape: tuple[int, int, int]
) -> float:
    image = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
    wanted = network(image)
    found = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    pairs = zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True)
    return max(_relative(one, other.numpy()) for one, other in pairs)


def _relative(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> float:
    return float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))


def _stored_small(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store every convolution weight that 8-bit codes hold exactly as codes and scales, multiplied out before use."""
    graph = model.graph
    kept: list[onnx.TensorProto] = []
    unpack: list[onnx.NodeProto] = []
    for one in graph.initializer:
        value = numpy_helper.to_array(one)
        codes, scale = packed(value) if _packable(value.shape) else (None, None)
        if codes is None or not np.array_equal(codes.astype(np.float32) * scale, value):
            kept.append(one)
            continue
        kept += [
            numpy_helper.from_array(part, f"{one.name}.{kind}") for part, kind in ((codes, "codes"), (scale, "scale"))
        ]
        unpack.append(helper.make_node("Cast", [f"{one.name}.codes"], [f"{one.name}.whole"], to=TensorProto.FLOAT))
        unpack.append(helper.make_node("Mul", [f"{one.name}.whole", f"{one.name}.scale"], [one.name]))
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:], graph.value_info[:], model.metadata_props[:]
    graph.initializer.extend(kept)
    graph.node.extend(unpack + nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def export_pipeline(template: Path, weights: Mapping[str, Sequence[Path]], out: Path) -> Path:
    """Export every stage of a pipeline template and write its manifest; returns ``out/<name>/<version>``.

    The template is a manifest whose stages name a ``recipe`` (relative to the template) and ``mirror`` instead of
    input, look, weights and training. ``weights`` holds the state dicts of each stage by name, several for an
    ensemble. Evidence is left without metrics: `training.evaluate` measures and fills them in.
    """
    content = read_yaml(template.read_text(encoding="utf-8"))
    folder = out / content["name"] / content["version"]
    content["stages"] = [_export_stage(stage, template.parent, weights, folder) for stage in content["stages"]]
    manifest = Manifest.model_validate(content)
    write_manifest(manifest, folder)
    return folder


def _export_stage(
    stage: dict[str, Any], recipes: Path, weights: Mapping[str, Sequence[Path]], folder: Path
) -> dict[str, Any]:
    name = stage["name"]
    if name not in weights:
        raise ValueError(f"Found no weights for stage {name}; wanted a trained file. Pass --weights {name}=PATH.")
    recipe = read_recipe(recipes / stage.pop("recipe"))
    network = deployable(recipe, weights[name], mirror=stage.pop("mirror", False))
    path = folder / f"{recipe.name}.onnx"
    difference = export_network(network, recipe, path)
    file = {"file": path.name, "sha256": digest(path), "licence": stage.pop("licence")}
    training = {
        "recipe": recipe.name,
        "network": recipe.network.model_dump(),
        "dataset": recipe.dataset.model_dump(),
        "members": len(weights[name]),
        "test_fold": recipe.test_fold,
        "validation": recipe.validation,
        "onnx_against_torch": float(f"{difference:.1e}"),
    }
    look = {} if stage.get("on", "image") == "image" else {"look": recipe.look.model_dump()}
    given = {"input": recipe.input.model_dump(mode="json"), "weights": {"network": file}, "training": training}
    return stage | look | given


def digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.yaml``; fields at their default are left out."""
    content = manifest.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    (folder / "manifest.yaml").write_text(text, encoding="utf-8")
