"""ONNX files of a few nodes, as bytes: right ones and ones that must be refused."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Axes = Sequence[int | str]


def graph(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Axes],
    outputs: dict[str, Axes],
    constants: dict[str, Any] | None = None,
    kind: int = TensorProto.FLOAT,
) -> bytes:
    """A checked model of these nodes; constants that are not arrays become float32."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info(name, kind, axes) for name, axes in inputs.items()],
            [helper.make_tensor_value_info(name, kind, axes) for name, axes in outputs.items()],
            [numpy_helper.from_array(_array(value), name) for name, value in (constants or {}).items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _array(value: Any) -> NDArray[Any]:
    return value if isinstance(value, np.ndarray) else np.array(value, np.float32)


def threshold(size: int = 32, channels: int = 1, name: str = "image", output: str = "logits") -> bytes:
    """Logits 20 (x - 0.5) of each channel."""
    nodes = [helper.make_node("Sub", [name, "half"], ["c"]), helper.make_node("Mul", ["c", "gain"], [output])]
    axes = ["batch", channels, size, size]
    return graph(nodes, {name: axes}, {output: axes}, {"half": [0.5], "gain": [20.0]})


def last_channel(size: int, channels: int) -> bytes:
    """Logits 20 (x - 0.5) of the last of several channels."""
    last = np.zeros((1, channels, 1, 1), np.float32)
    last[0, -1] = 20
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["logits"])]
    return graph(
        nodes,
        {"image": ["batch", channels, size, size]},
        {"logits": ["batch", 1, size, size]},
        {"w": last, "b": [-10.0]},
    )


def convolutions(size: int = 32, labels: int = 1, seed: int = 0) -> bytes:
    """Three 3x3 convolutions with random weights and ReLU: real arithmetic, in which batches could differ."""
    rng = np.random.default_rng(seed)
    widths = [1, 16, 16, labels]
    nodes, constants = [], {}
    for n, (a, b) in enumerate(pairwise(widths)):
        kernels = rng.standard_normal((b, a, 3, 3)) / np.sqrt(4.5 * a)
        # Kernels that sum to 0 leave logits on both sides of it.
        constants[f"w{n}"] = (kernels - kernels.mean((2, 3), keepdims=True)).astype(np.float32)
        source, target = ("image" if n == 0 else f"r{n}"), ("logits" if n == 2 else f"c{n}")
        nodes.append(helper.make_node("Conv", [source, f"w{n}"], [target], pads=[1, 1, 1, 1]))
        if n < 2:
            nodes.append(helper.make_node("Relu", [target], [f"r{n + 1}"]))
    return graph(nodes, {"image": ["batch", 1, size, size]}, {"logits": ["batch", labels, size, size]}, constants)


def encoder(size: int = 32) -> bytes:
    """An embedding at half the resolution: means of 2 x 2 pixels."""
    nodes = [helper.make_node("AveragePool", ["image"], ["embedding"], kernel_shape=[2, 2], strides=[2, 2])]
    half = size // 2
    return graph(nodes, {"image": ["batch", 1, size, size]}, {"embedding": ["batch", 1, half, half]})


def decoder(size: int = 32) -> bytes:
    """Logits 20 (embedding - 0.5) inside the box, -10 outside, on the embedding's grid.

    Pixel centres of the embedding lie at 1, 3, 5, ... in the encoder's input pixels.
    """
    half = size // 2
    at = np.arange(half, dtype=np.float32) * 2 + 1
    nodes = [
        helper.make_node("Split", ["boxes", "four"], ["l", "t", "r", "b"], axis=2),
        *(helper.make_node("Reshape", [edge, "flat"], [edge + "4"]) for edge in "ltrb"),
        helper.make_node("Less", ["l4", "x"], ["in_l"]),
        helper.make_node("Less", ["t4", "y"], ["in_t"]),
        helper.make_node("Less", ["x", "r4"], ["in_r"]),
        helper.make_node("Less", ["y", "b4"], ["in_b"]),
        helper.make_node("And", ["in_l", "in_r"], ["in_x"]),
        helper.make_node("And", ["in_t", "in_b"], ["in_y"]),
        helper.make_node("And", ["in_x", "in_y"], ["inside"]),
        helper.make_node("Where", ["inside", "embedding", "zero"], ["seen"]),
        helper.make_node("Sub", ["seen", "half"], ["c"]),
        helper.make_node("Mul", ["c", "gain"], ["logits"]),
    ]
    constants = {
        "four": np.ones(4, np.int64),
        "flat": np.array([-1, 1, 1, 1], np.int64),
        "x": at.reshape(1, 1, 1, half),
        "y": at.reshape(1, 1, half, 1),
        "zero": [0.0],
        "half": [0.5],
        "gain": [20.0],
    }
    inputs: dict[str, Axes] = {"embedding": ["batch", 1, half, half], "boxes": ["batch", 1, 4]}
    return graph(nodes, inputs, {"logits": ["batch", 1, half, half]}, constants)


def pointer(size: int = 32, places: int = 6, radius: float = 7.0) -> bytes:
    """A decoder of points: logits 20 (embedding - 0.5) where it is told to look, -10 elsewhere.

    That is within the box, or near a point inside where there is no box; never near a point outside. Its grid is that
    of the embedding.
    """
    half = size // 2
    at = np.arange(half, dtype=np.float32) * 2 + 0.5
    nodes = [
        helper.make_node("Split", ["points", "two"], ["px3", "py3"], axis=2),
        *(
            helper.make_node("Unsqueeze", [source, "last"], [target])
            for source, target in (("px3", "px"), ("py3", "py"))
        ),
        helper.make_node("Unsqueeze", ["labels", "both"], ["label"]),
        helper.make_node("Sub", ["x", "px"], ["dx"]),
        helper.make_node("Sub", ["y", "py"], ["dy"]),
        helper.make_node("Mul", ["dx", "dx"], ["dx2"]),
        helper.make_node("Mul", ["dy", "dy"], ["dy2"]),
        helper.make_node("Add", ["dx2", "dy2"], ["d2"]),
        helper.make_node("Less", ["d2", "radius2"], ["near"]),
        *(helper.make_node("Equal", ["label", f"label{n}"], [f"is{n}"]) for n in range(4)),
        helper.make_node("And", ["near", "is1"], ["in_each"]),
        helper.make_node("And", ["near", "is0"], ["out_each"]),
        helper.make_node("Less", ["dx", "zero"], ["left"]),
        helper.make_node("Less", ["dy", "zero"], ["above"]),
        helper.make_node("Greater", ["dx", "zero"], ["right"]),
        helper.make_node("Greater", ["dy", "zero"], ["below"]),
        helper.make_node("Or", ["left", "above"], ["before"]),
        helper.make_node("Or", ["right", "below"], ["after"]),
        helper.make_node("And", ["is2", "before"], ["over2"]),
        helper.make_node("And", ["is3", "after"], ["over3"]),
        helper.make_node("Or", ["over2", "over3"], ["over_each"]),
        *(
            node
            for name in ("in_each", "out_each", "over_each", "is2")
            for node in (
                helper.make_node("Cast", [name], [name + "_f"], to=TensorProto.FLOAT),
                helper.make_node("ReduceMax", [name + "_f"], [name + "_any"], axes=[1], keepdims=1),
            )
        ),
        helper.make_node("Max", ["in_each_any", "is2_any"], ["wanted"]),
        helper.make_node("Max", ["out_each_any", "over_each_any"], ["unwanted"]),
        helper.make_node("Sub", ["wanted", "unwanted"], ["seen"]),
        helper.make_node("Mul", ["seen", "embedding"], ["bright"]),
        helper.make_node("Sub", ["bright", "half"], ["c"]),
        helper.make_node("Mul", ["c", "gain"], ["logits"]),
    ]
    constants = {
        "two": np.ones(2, np.int64),
        "last": np.array([3], np.int64),
        "both": np.array([2, 3], np.int64),
        "x": at.reshape(1, 1, 1, half),
        "y": at.reshape(1, 1, half, 1),
        "radius2": [radius**2],
        "zero": [0.0],
        "half": [0.5],
        "gain": [20.0],
        **{f"label{n}": [float(n)] for n in range(4)},
    }
    inputs: dict[str, Axes] = {
        "embedding": ["batch", 1, half, half],
        "points": ["batch", places, 2],
        "labels": ["batch", places],
    }
    return graph(nodes, inputs, {"logits": ["batch", 1, half, half]}, constants)


def same(axes: Axes, kind: int = TensorProto.FLOAT) -> bytes:
    """Its input again."""
    return graph([helper.make_node("Identity", ["image"], ["logits"])], {"image": axes}, {"logits": axes}, kind=kind)


def forgets_batch(size: int = 32) -> bytes:
    """A graph that says its batch is dynamic and reshapes it to 1."""
    nodes = [helper.make_node("Reshape", ["image", "shape"], ["logits"])]
    axes = ["batch", 1, size, size]
    return graph(nodes, {"image": axes}, {"logits": axes}, {"shape": np.array([1, 1, size, size], np.int64)})


def with_presence(labels: int, size: int = 32) -> bytes:
    """A detector: logits 20 (x - 0.5), and presence logits that are 0 whatever it sees."""
    nodes = [
        helper.make_node("Sub", ["image", "half"], ["c"]),
        helper.make_node("Mul", ["c", "gain"], ["logits"]),
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "none"], ["presence"]),
    ]
    axes = ["batch", 1, size, size]
    constants = {"half": [0.5], "gain": [20.0], "none": np.zeros((1, labels), np.float32)}
    return graph(nodes, {"image": axes}, {"logits": axes, "presence": ["batch", labels]}, constants)


def one_box(x: float, y: float, width: float, height: float, size: int = 32) -> bytes:
    """A detector in the manner of YOLO with two anchors: one box with score 0.9 whatever it sees, one with 0.1."""
    rows = [[x, x], [y, y], [width, width], [height, height], [0.9, 0.1]]
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"], axis=1),
        helper.make_node("Unsqueeze", ["flat", "last"], ["column"]),
        helper.make_node("Mul", ["column", "none"], ["zeros"]),
        helper.make_node("Add", ["zeros", "rows"], ["output0"]),
    ]
    constants = {"last": np.array([2], np.int64), "none": [0.0], "rows": [rows]}
    return graph(nodes, {"image": ["batch", 1, size, size]}, {"output0": ["batch", 5, 2]}, constants)
