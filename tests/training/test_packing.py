"""Weights in 8 bits: close to what they were, the same when packed again, stored small and multiplied out exactly."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from onnx import helper

from tests.tiny_graphs import graph
from training.packing import SMALLEST_PACKED, packable, packed, stored_small

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
# float32 holds far larger ones, whose scale would leave its range; no network has them.
VALUES = st.floats(-(2.0**100), 2.0**100, width=32)


def rounded(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    codes, scale = packed(weight)
    return codes.astype(np.float32) * scale


@given(npst.arrays(np.float32, SHAPES, elements=VALUES))
def test_packing_what_was_packed_changes_nothing(weight: NDArray[np.float32]) -> None:
    once = rounded(weight)
    assert np.array_equal(rounded(once), once)


@given(npst.arrays(np.float32, SHAPES, elements=VALUES))
def test_no_weight_moves_by_more_than_half_a_step(weight: NDArray[np.float32]) -> None:
    codes, scale = packed(weight)
    assert codes.dtype == np.int8
    assert codes.shape == weight.shape
    assert scale.shape == (len(weight), 1, 1, 1)
    moved = np.abs(codes.astype(np.float64) * scale - weight)
    # A little more, for the quotient is rounded to float32 before it is rounded to a code.
    assert (moved <= scale.astype(np.float64) * 0.5 * (1 + 1e-4)).all()


@given(npst.arrays(np.float32, SHAPES, elements=st.floats(-100, 100, width=32)))
def test_the_step_is_at_most_a_126th_of_the_channels_largest_weight(weight: NDArray[np.float32]) -> None:
    _, scale = packed(weight)
    largest = np.abs(weight).max(axis=(1, 2, 3))
    assert (scale.ravel() <= np.maximum(largest, 1e-12) / 126).all()


def test_a_channel_of_zeros_stays_zero_beside_others() -> None:
    weight = np.zeros((2, 1, 3, 3), np.float32)
    weight[1] = np.linspace(-2, 2, 9, dtype=np.float32).reshape(3, 3)
    codes, _ = packed(weight)
    assert not codes[0].any()
    assert codes[1].ravel()[[0, 4, 8]].tolist() == [-127, 0, 127]


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((16, 16, 1, 1), True), ((4, 7, 3, 3), False), ((SMALLEST_PACKED,), False), ((64, 64), False)],
)
def test_convolutions_of_some_size_are_packed(shape: tuple[int, ...], wanted: bool) -> None:
    assert packable(shape) == wanted


def _convolution(weight: NDArray[np.float32]) -> onnx.ModelProto:
    size = 4
    nodes = [helper.make_node("Conv", ["image", "w"], ["logits"], pads=[1, 1, 1, 1])]
    axes = {"image": ["batch", weight.shape[1], size, size]}
    return onnx.load_from_string(graph(nodes, axes, {"logits": ["batch", len(weight), size, size]}, {"w": weight}))


def _output(model: onnx.ModelProto) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).standard_normal((2, 16, 4, 4)).astype(np.float32)
    return np.asarray(session.run(None, {"image": image})[0])


def test_a_packed_weight_takes_a_quarter_of_the_bytes_and_gives_the_same_output() -> None:
    weight = rounded(np.random.default_rng(0).standard_normal((64, 16, 3, 3)).astype(np.float32))
    plain = _convolution(weight)
    large, wanted = plain.ByteSize(), _output(plain)
    small = stored_small(plain)
    assert small.ByteSize() < 0.3 * large
    assert {one.name: one.data_type for one in small.graph.initializer} == {
        "w.codes": onnx.TensorProto.INT8,
        "w.scale": onnx.TensorProto.FLOAT,
    }
    assert np.array_equal(_output(small), wanted)


def test_a_weight_that_codes_do_not_hold_exactly_stays_as_it_is() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 16, 3, 3)).astype(np.float32)
    model = stored_small(_convolution(weight))
    (kept,) = model.graph.initializer
    assert np.array_equal(onnx.numpy_helper.to_array(kept), weight)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
