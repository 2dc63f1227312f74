"""A pipeline small enough to predict by hand: whatever is brighter than half is the lesion.

Three networks of one or two nodes each, drawn with onnx.helper: a detector and a segmenter whose logits are
20 (x - 0.5) for pixels x in 0 to 1, and a classifier whose only input is the mean of its crop. A bright square on black
thus comes back as a mask of that square, a black picture as nothing found.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

NAME, VERSION = "tiny", "1.0.0"
SIZE = 32
GAIN = 20.0
CLASSES = ("benign", "malignant", "normal")
ABNORMAL = {"value": "49755003", "scheme": "SCT", "meaning": "Morphologically Abnormal Structure"}
LESION = {"value": "52988006", "scheme": "SCT", "meaning": "Lesion"}


def write(root: Path, version: str = VERSION, *, name: str = NAME, modality: str = "US") -> Path:
    """Write ``root/<name>/<version>/``; gives ``root``."""
    folder = root / name / version
    folder.mkdir(parents=True)
    digests = {part: _save(folder / f"{part}.onnx", graph) for part, graph in _graphs().items()}
    card = {**_manifest(digests, version), "name": name, "modality": modality}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    (folder / "card.md").write_text("# Tiny\n\nBrighter than half is the lesion. For tests only.\n", encoding="utf-8")
    return root


def square(left: int, top: int, side: int, size: int = 64) -> np.ndarray:
    """A white square on black, uint8 (size, size)."""
    picture = np.zeros((size, size), np.uint8)
    picture[top : top + side, left : left + side] = 255
    return picture


def _graphs() -> dict[str, onnx.GraphProto]:
    return {"localise": _threshold("localise"), "segment": _threshold("segment"), "classify": _classifier()}


def _threshold(name: str) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Sub", ["image", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "gain"], ["logits"]),
    ]
    return helper.make_graph(
        nodes,
        name,
        [_value("image", [1, SIZE, SIZE])],
        [_value("logits", [1, SIZE, SIZE])],
        [_constant("half", [0.5]), _constant("gain", [GAIN])],
    )


def _classifier() -> onnx.GraphProto:
    """Logits (mean, 1 - mean, 0) x 4: bright crops are benign, dark ones malignant."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "slope", "offset"], ["logits"]),
    ]
    return helper.make_graph(
        nodes,
        "classify",
        [_value("image", [1, SIZE, SIZE])],
        [_value("logits", [len(CLASSES)])],
        [_constant("slope", [[4.0, -4.0, 0.0]]), _constant("offset", [0.0, 4.0, 0.0])],
    )


def _value(name: str, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])


def _constant(name: str, values: list[Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.float32), name)


def _save(path: Path, graph: onnx.GraphProto) -> str:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _manifest(digests: dict[str, str], version: str) -> dict[str, Any]:
    def weights(name: str) -> dict[str, Any]:
        return {"network": {"file": f"{name}.onnx", "sha256": digests[name], "licence": "Apache-2.0"}}

    block = {"size": [SIZE, SIZE], "window": {"kind": "range", "low": 0, "high": 255}}
    on_lesion = {"on": "localise", "label": "lesion", "on_miss": "empty", "input": block}
    return {
        "name": NAME,
        "version": version,
        "title": "Bright squares",
        "modality": "US",
        "intended_use": "Tests of the service.",
        "evidence": {"level": "demonstration", "data": "none", "data_licence": "none"},
        "labels": [{"id": 1, "name": "lesion", "color": [255, 80, 80], "category": ABNORMAL, "type": LESION}],
        "stages": [
            {
                "name": "localise",
                "kind": "detect",
                "input": block,
                "labels": ["lesion"],
                "decode": {"kind": "components"},
                "weights": weights("localise"),
            },
            {
                "name": "lesion",
                "kind": "segment",
                "look": {"margin": 0.5},
                "labels": ["lesion"],
                "weights": weights("segment"),
                **on_lesion,
            },
            {
                "name": "classify",
                "kind": "classify",
                "labels": list(CLASSES),
                "weights": weights("classify"),
                **on_lesion,
            },
        ],
    }
