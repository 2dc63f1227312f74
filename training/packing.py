"""Convolution weights in 8 bits, one scale per output channel.

Each weight is an integer times its channel's scale, multiplied out once when the file is loaded. Arithmetic stays
float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Smaller arrays stay as they are: nothing to gain.
SMALLEST_PACKED = 256


def packable(shape: Sequence[int]) -> bool:
    """Whether a weight of this shape is a convolution's and large enough to gain by packing."""
    return len(shape) == 4 and int(np.prod(shape)) >= SMALLEST_PACKED


def packed(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A convolution's weight (out, in, h, w) as int8 codes and scales (out, 1, 1, 1): weight = codes x scale.

    Scales have 11 significant bits, so that code x scale is exact in float32 and packing twice changes nothing.
    """
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True).astype(np.float64)
    mantissa, exponent = np.frexp(np.maximum(largest, 1e-12) / 127)
    scale = np.ldexp(np.ceil(mantissa * 2048) / 2048, exponent).astype(np.float32)
    return np.clip(np.round(weight / scale), -127, 127).astype(np.int8), scale


def stored_small(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every convolution weight that 8-bit codes hold exactly stored so, multiplied out before use."""
    graph = model.graph
    kept: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for one in graph.initializer:
        parts = _codes_and_scale(one)
        kept += parts or [one]
        nodes += _multiplied_out(one.name) if parts else []
    nodes += graph.node
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def _codes_and_scale(weight: onnx.TensorProto) -> list[onnx.TensorProto]:
    """Both parts of a weight, or none where they would not give it back exactly."""
    value = numpy_helper.to_array(weight)
    if not packable(value.shape):
        return []
    codes, scale = packed(value)
    if not np.array_equal(codes.astype(np.float32) * scale, value):
        return []
    parts: dict[str, NDArray[np.generic]] = {"codes": codes, "scale": scale}
    return [numpy_helper.from_array(part, f"{weight.name}.{kind}") for kind, part in parts.items()]


def _multiplied_out(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [f"{name}.codes"], [f"{name}.whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]),
    ]
