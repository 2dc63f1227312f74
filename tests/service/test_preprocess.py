"""Source voxels to tensor and back."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.enhance import adaptive_clahe, median_clahe
from service.errors import UnusableImage
from service.manifest import InputSpec, Window
from service.preprocess import LUMA, Placement, place, prepare, prepare_map, resize, restore, windowed
from tests.fakes import BYTE_WINDOW

SIDES = st.integers(1, 40)
RANDOM = np.random.default_rng(3)


def block(size: tuple[int, int], **changes: Any) -> InputSpec:
    return InputSpec.model_validate({"size": size, "window": BYTE_WINDOW, **changes})


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_nearest_keeps_the_label_set(h: int, w: int, height: int, width: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (h, w)).astype(np.uint8)
    assert set(np.unique(resize(labels, height, width, "nearest"))) <= set(np.unique(labels))


@given(SIDES, SIDES, st.integers(1, 4), st.sampled_from(["nearest", "linear"]))
def test_enlarging_by_nearest_and_averaging_back_is_exact(h: int, w: int, times: int, way: str) -> None:
    labels = (np.arange(h * w).reshape(h, w) % 3).astype(np.float32)
    large = resize(labels, h * times, w * times, "nearest")
    np.testing.assert_array_equal(large, np.kron(labels, np.ones((times, times))))
    np.testing.assert_array_equal(resize(large, h, w, way), labels)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([None, 1, 3]))
def test_resize_keeps_a_constant_and_the_axes(h: int, w: int, height: int, width: int, channels: int | None) -> None:
    shape = (h, w) if channels is None else (h, w, channels)
    out = resize(np.full(shape, 7, np.float32), height, width)
    assert out.shape == (height, width, *shape[2:])
    np.testing.assert_allclose(out, 7, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32, np.float64, ">u2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_real_type_is_prepared(dtype: Any, channels: int) -> None:
    plane = RANDOM.integers(0, 100, (9, 7, channels)).astype(dtype)
    tensor, _ = prepare(plane, InputSpec(size=(16, 8)))
    assert (tensor.shape, tensor.dtype) == ((1, 16, 8), np.float32)
    assert (tensor.min(), tensor.max()) == (0, 1)


@given(SIDES, SIDES, SIDES, SIDES)
def test_letterbox_keeps_the_aspect_ratio_inside_the_input(h: int, w: int, height: int, width: int) -> None:
    placement = place((h, w), block((height, width), letterbox=True))
    assert 0 <= placement.left <= placement.left + placement.width <= width
    assert 0 <= placement.top <= placement.top + placement.height <= height
    assert placement.height == height or placement.width == width
    scale = min(height / h, width / w)
    assert abs(placement.height - h * scale) <= 1
    assert abs(placement.width - w * scale) <= 1


def test_without_letterbox_the_crop_fills_the_input() -> None:
    assert place((3, 4), block((16, 8))) == Placement((3, 4), 0, 0, 8, 16)


def test_padding_of_a_letterbox_is_the_windows_zero() -> None:
    spec = block((8, 8), letterbox=True, mean=(0.5,), std=(0.25,))
    tensor, placement = prepare(np.full((4, 8, 1), 255, np.uint8), spec)
    assert (placement.top, placement.height) == (2, 4)
    np.testing.assert_array_equal(tensor[0, 2:6], 2)
    np.testing.assert_array_equal(tensor[0, [0, 1, 6, 7]], -2)


def test_restore_takes_the_content_out_of_the_padding() -> None:
    placement = place((4, 8), block((8, 8), letterbox=True))
    output = np.full((2, 8, 8), 9, np.float32)
    output[:, 2:6] = 1
    back = restore(output, placement)
    assert back.shape == (2, 4, 8)
    np.testing.assert_array_equal(back, 1)


def test_grey_becomes_three_channels_and_colour_one() -> None:
    colour = RANDOM.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    grey, _ = prepare(colour, block((5, 6)))
    np.testing.assert_allclose(grey[0], colour @ LUMA / 255, atol=1e-6)
    threefold, _ = prepare(colour[..., :1], block((5, 6), channels=3, mean=(0.1, 0.2, 0.3), std=(1, 2, 4)))
    value = colour[..., 0] / 255
    np.testing.assert_allclose(threefold, [value - 0.1, (value - 0.2) / 2, (value - 0.3) / 4], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_full_window_is_that_of_the_source_type_whatever_the_channels(channels: int) -> None:
    plane = np.full((4, 4, channels), 13107, np.uint16)
    tensor, _ = prepare(plane, InputSpec(size=(4, 4), window=Window(kind="full")))
    np.testing.assert_allclose(tensor, 0.2, atol=1e-6)


def test_full_window_of_a_type_that_opencv_does_not_resize() -> None:
    tensor, _ = prepare(np.zeros((4, 4, 1), np.int8), InputSpec(size=(8, 8), window=Window(kind="full")))
    np.testing.assert_allclose(tensor, 128 / 255, atol=1e-6)


def test_full_window_refuses_floats() -> None:
    with pytest.raises(UnusableImage, match="Found window full on float32; wanted an integer type"):
        windowed(np.zeros((2, 2), np.float32), Window(kind="full"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    plane = np.ones((4, 4, 1), np.float32)
    plane[1, 1] = value
    with pytest.raises(UnusableImage, match="Found values that are not finite; wanted finite values"):
        prepare(plane, block((4, 4)))


def test_percentile_window_clips_the_tails() -> None:
    ramp = np.arange(101, dtype=np.uint16).reshape(1, 101)
    out = windowed(ramp, Window(low=10, high=90))
    assert (out[0, :11] == 0).all()
    assert (out[0, 90:] == 1).all()
    assert out[0, 50] == pytest.approx(0.5)


def test_ignored_zeros_do_not_count_among_the_percentiles() -> None:
    plane = np.array([[0, 0, 0, 0, 0, 0, 10, 20]], np.uint8)
    out = windowed(plane, Window(low=0, high=100, ignore_zero=True))
    np.testing.assert_array_equal(out, [[0, 0, 0, 0, 0, 0, 0, 1]])


def test_cubic_overshoots_an_edge_that_linear_does_not() -> None:
    edge = np.repeat(np.array([[50, 50, 50, 200, 200, 200]], np.float32), 6, axis=0)
    linear, cubic = (resize(edge, 24, 24, way) for way in ("linear", "cubic"))
    assert (linear.min(), linear.max()) == (50, 200)
    assert cubic.min() < 50
    assert cubic.max() > 200
    np.testing.assert_array_equal(resize(linear, 6, 6, "cubic"), resize(linear, 6, 6, "linear"))


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=60),
    st.floats(0, 49),
    st.floats(51, 100),
    st.booleans(),
)
def test_eight_bits_are_windowed_as_any_other_type(
    values: list[int], low: float, high: float, ignore_zero: bool
) -> None:
    window = Window(kind="percentile", low=low, high=high, ignore_zero=ignore_zero)
    voxels = np.array(values, np.uint8)
    assert np.allclose(windowed(voxels, window), windowed(voxels.astype(np.int16), window), rtol=0, atol=1e-4)


@pytest.mark.parametrize("value", [0, 3])
def test_no_contrast_is_zero(value: int) -> None:
    out = windowed(np.full((3, 3), value, np.uint8), Window(ignore_zero=True))
    assert not out.any()


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 5), st.floats(-50, 50))
def test_percentile_window_forgets_gain_and_offset(seed: int, gain: float, offset: float) -> None:
    plane = np.random.default_rng(seed).random((12, 12), np.float32) * 100
    out = windowed((plane * gain + offset).astype(np.float32), Window())
    np.testing.assert_allclose(out, windowed(plane, Window()), atol=1e-3)


@pytest.mark.parametrize("size", [(3, 5), (64, 64)])
def test_clahe_stays_within_the_window(size: tuple[int, int]) -> None:
    plane = RANDOM.integers(0, 255, (*size, 1)).astype(np.uint8)
    plain, _ = prepare(plane, block(size))
    enhanced, _ = prepare(plane, block(size, enhance="clahe"))
    assert not np.array_equal(plain, enhanced)
    assert 0 <= enhanced.min() <= enhanced.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("how", "method"), [("median_clahe", median_clahe), ("adaptive_clahe", adaptive_clahe)])
def test_enhancement_acts_after_the_window_and_before_the_padding(
    how: str, method: Callable[[NDArray[Any]], NDArray[Any]], channels: int
) -> None:
    plane = RANDOM.integers(0, 256, (32, 64, channels)).astype(np.uint8)
    spec = block((64, 64), letterbox=True, channels=channels, enhance=how)
    tensor, placement = prepare(plane, spec)
    assert (placement.top, placement.height) == (16, 32)
    for c in range(channels):
        np.testing.assert_allclose(tensor[c, 16:48], method(np.ascontiguousarray(plane[..., c])) / 255, atol=1e-6)
    assert not tensor[:, :16].any()


def test_clahe_is_what_it_was() -> None:
    plane = (np.arange(64 * 64).reshape(64, 64, 1) % 251).astype(np.uint8)
    tensor, _ = prepare(plane, block((64, 64), enhance="clahe"))
    expected = cv2.createCLAHE(2.0, (8, 8)).apply(np.round(plane[..., 0] / np.float32(255) * 65535).astype(np.uint16))
    np.testing.assert_allclose(tensor[0], expected / 65535, atol=1e-6)


def test_a_map_keeps_its_values() -> None:
    spec = block((8, 8), letterbox=True, channels=3, mean=(1, 2, 3), std=(4, 5, 6))
    tensor = prepare_map(np.full((4, 8, 1), -3.5, np.float32), spec)
    assert tensor.shape == (1, 8, 8)
    np.testing.assert_array_equal(tensor[0, 2:6], -3.5)
    assert not tensor[0, :2].any()


def test_prepare_leaves_the_source_alone() -> None:
    source: NDArray[np.float32] = RANDOM.random((8, 8, 1), np.float32)
    before = source.copy()
    tensor, _ = prepare(source, InputSpec(size=(8, 8)))
    tensor[:] = 0
    np.testing.assert_array_equal(source, before)
