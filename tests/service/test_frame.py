"""The frame: what goes into a network comes back on the same pixels, whatever the sizes, batches and neighbours."""

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service import frame as frame_module
from service.canvas import decide
from service.decode import Candidate
from service.errors import WeightsError
from service.frame import Frame, Meter, Seen, input_channels, planes, source_region
from service.image import Image, Region
from service.network import Device, OnnxNetwork
from service.preprocess import Placement
from service.stages import Segment
from tests import tiny_graphs
from tests.fakes import CountingReader, FakeNetwork, cascade, constant, identity, picture, spec, volume

SIDES = st.integers(1, 40)
NETWORKS = st.sampled_from([(8, 8), (16, 24), (32, 32), (7, 13)])


def blobs(shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """A random mask with edges of every kind, 0 or 255."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 2, (rng.integers(1, 6), rng.integers(1, 6))).astype(np.uint8) * 255
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_NEAREST))


def through(mask: NDArray[np.uint8], size: tuple[int, int], **block: Any) -> NDArray[np.bool_]:
    """A picture of the mask through Image, a segment stage with an identity network, canvas and back."""
    result = cascade((spec("lesion", size=size, input=block), identity(size))).run(picture(mask))
    return np.asarray(result.mask.labels[0] > 0)


def may_change(mask: NDArray[np.uint8], size: tuple[int, int], letterbox: bool = False) -> NDArray[np.bool_]:
    """Pixels within one network pixel of the mask's edge.

    A network pixel is ``crop side / network side`` source pixels along each axis (the same along both in a letterbox),
    at least one, rounded up; near is what sees another value inside a box that reaches as far to each side.
    """
    sides = [a / b for a, b in zip(mask.shape, size, strict=True)]
    reach = [max(1, math.ceil(max(sides) if letterbox else side)) for side in sides]
    window = np.ones([2 * r + 1 for r in reach], np.uint8)
    # Beyond the picture's edge there is nothing: it is no edge of the mask.
    return np.asarray(cv2.dilate(mask, window) != cv2.erode(mask, window))


@given(SIDES, SIDES, st.integers(1, 3), st.integers(1, 3), st.integers(0, 999))
@example(1, 1, 1, 1, 1)
def test_identity_network_is_exact_at_its_own_size_and_whole_fractions(
    height: int, width: int, down: int, right: int, seed: int
) -> None:
    mask = blobs((height, width), seed)
    if not 0 < mask.mean() < 255:
        mask[0, 0], mask[-1, -1] = 0, 255  # a flat picture is not evaluated
    if mask.size == 1:
        return
    out = through(mask, (height * down, width * right), interpolation="nearest")
    np.testing.assert_array_equal(out, mask > 0)


@given(st.integers(2, 60), st.integers(2, 60), NETWORKS, st.booleans(), st.integers(0, 999))
def test_identity_network_changes_nothing_beyond_one_network_pixel_of_an_edge(
    height: int, width: int, size: tuple[int, int], letterbox: bool, seed: int
) -> None:
    mask = blobs((height, width), seed)
    if mask.min() == mask.max():
        return
    out = through(mask, size, letterbox=letterbox)
    changed = out != (mask > 0)
    assert not (changed & ~may_change(mask, size, letterbox)).any()


@pytest.mark.parametrize("view", [Region(3, 5, 40, 30), Region(0, 0, 64, 48), Region(7, 7, 8, 8), Region(50, 3, 64, 4)])
@pytest.mark.parametrize("letterbox", [False, True])
def test_a_crop_is_looked_at_where_it_lies(view: Region, letterbox: bool) -> None:
    mask = blobs((48, 64), 5)
    one = spec("lesion", size=(16, 16), input={"letterbox": letterbox})
    (seen,) = Segment(one, identity((16, 16))).run(Frame(picture(mask)), [view])
    out = decide(seen, one, 0.5).labels > 0
    inside = mask[view.top : view.bottom, view.left : view.right]
    assert out.shape == inside.shape
    assert not ((out != (inside > 0)) & ~may_change(inside, (16, 16), letterbox)).any()


# So that about half of the random network's logits are above 0.
BALANCED = spec("lesion", input={"mean": (0.5,), "std": (0.25,)})


def network() -> OnnxNetwork:
    return OnnxNetwork(tiny_graphs.convolutions(), "tiny", Device())


def scan(depth: int = 11) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (depth, 45, 37)).astype(np.uint8)


def looked(image: Image, batch: int) -> NDArray[np.float32]:
    """Probabilities of every slice."""
    tiny = network()
    tiny.batch = batch
    seen = Segment(BALANCED, tiny).run(Frame(image), planes(image.region))
    return np.stack([one.labels[0] for one in seen])


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 11])
def test_batches_and_neighbours_do_not_change_a_result(batch: int) -> None:
    together = looked(volume(scan()), batch)
    alone = np.concatenate([looked(picture(one), 1) for one in scan()])
    assert 0.05 < (together > 0.5).mean() < 0.95
    np.testing.assert_array_equal(together > 0.5, alone > 0.5)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_order_of_slices_does_not_change_a_result() -> None:
    forward = looked(volume(scan()), 4)
    backward = looked(volume(scan()[::-1]), 4)
    np.testing.assert_array_equal(forward > 0.5, backward[::-1] > 0.5)
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-6)


def test_masks_of_a_volume_are_those_of_its_slices() -> None:
    pipeline = cascade((BALANCED, network()))
    whole = pipeline.run(volume(scan())).mask.labels
    for z, one in enumerate(scan()):
        np.testing.assert_array_equal(pipeline.run(picture(one)).mask.labels[0], whole[z])


def test_a_volume_is_read_slice_by_slice_and_batched_as_the_network_takes_it() -> None:
    reader = CountingReader(scan(20)[..., np.newaxis])
    fake = identity((32, 32))
    result = cascade((spec("lesion"), fake)).run(Image(reader, depth_axis="space"))
    assert result.mask.labels.shape == (20, 45, 37)
    assert [shape[0] for shape in fake.batches] == [8, 8, 4]
    # Once to see whether there is anything in it, once to look.
    assert reader.reads == 2 * 20


def test_a_device_that_takes_more_gets_more_and_the_rest_in_sizes_that_all_take() -> None:
    fake = identity((32, 32))
    fake.batch = 16
    result = cascade((spec("lesion"), fake)).run(volume(scan(45)))
    assert [shape[0] for shape in fake.batches] == [16, 16, 8, 5]
    np.testing.assert_array_equal(
        result.mask.labels, cascade((spec("lesion"), identity((32, 32)))).run(volume(scan(45))).mask.labels
    )


def test_preparing_a_small_crop_copies_no_whole_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[NDArray[Any]] = []
    prepare = frame_module.prepare
    monkeypatch.setattr(frame_module, "prepare", lambda plane, block: handed.append(plane) or prepare(plane, block))
    image = picture(np.arange(10000, dtype=np.uint16).reshape(100, 100))
    Frame(image).tensor(Region(10, 20, 14, 23), spec("lesion"))
    (plane,) = handed
    assert plane.shape == (3, 4, 1)
    assert np.shares_memory(plane, image.voxels)


def test_stacked_slices_are_channels_and_ends_are_repeated() -> None:
    image = volume(np.stack([np.full((4, 4), 10 * (z + 1), np.uint8) for z in range(4)]))
    one = spec("lesion", size=(4, 4), input={"slices": "stack:3"})
    assert input_channels(one) == 3
    tensors = [Frame(image).tensor(view, one)[0] for view in planes(image.region)]
    values = [[round(float(channel.mean() * 255)) for channel in tensor] for tensor in tensors]
    assert values == [[10, 10, 20], [10, 20, 30], [20, 30, 40], [30, 40, 40]]


def test_maps_lie_behind_the_image() -> None:
    maps = {"depth": np.full((1, 4, 4, 1), 7, np.float32), "other": np.full((1, 4, 4, 1), -2, np.float32)}
    one = spec("lesion", size=(8, 8), input={"channels": 3, "mean": (0, 1, 2)}, **{"with": ("other", "depth")})
    assert input_channels(one) == 5
    tensor, _ = Frame(picture(np.zeros((4, 4, 3), np.uint8)), maps).tensor(Region(1, 1, 3, 4), one)
    assert [float(channel.mean()) for channel in tensor] == [0, -1, -2, -2, 7]


def test_the_meter_counts_every_run() -> None:
    meter, fake = Meter(), constant((4, 4))
    for _ in range(3):
        meter.run(fake, {"image": np.zeros((2, 1, 4, 4), np.float32)})
    assert (meter.runs, fake.runs) == (3, 3)
    assert meter.seconds > 0


def test_an_output_that_is_not_a_number_is_no_background() -> None:
    broken = FakeNetwork(lambda batch: {"logits": np.where(batch > 0, np.float32(np.nan), batch)}, (1, 32, 32))
    with pytest.raises(WeightsError, match="Found a network output that is not a number; wanted finite logits"):
        cascade((spec("lesion"), broken)).run(picture(blobs((20, 20), 3)))


SEEN = Seen(Region(100, 200, 110, 220, 3, 4), Placement((20, 10), 0, 0, 20, 40), {})


@pytest.mark.parametrize(
    ("box", "region"),
    [
        ((0, 0, 20, 40), Region(100, 200, 110, 220, 3, 4)),
        ((2, 4, 4, 6), Region(101, 202, 102, 203, 3, 4)),
        ((2.1, 4.1, 2.2, 4.2), Region(101, 202, 102, 203, 3, 4)),
        ((1, 1, 3, 3), Region(100, 200, 102, 202, 3, 4)),
        ((-50, -50, 500, 2), Region(100, 200, 110, 201, 3, 4)),
    ],
)
def test_a_candidate_becomes_whole_source_voxels(box: tuple[float, ...], region: Region) -> None:
    assert source_region(Candidate(box, 0, 1.0), SEEN) == region  # type: ignore[arg-type]


@pytest.mark.parametrize("box", [(30, 0, 40, 5), (0, 50, 4, 60), (4, 4, 4, 4), (6, 6, 2, 2)])
def test_a_candidate_in_the_padding_or_without_area_is_none(box: tuple[float, ...]) -> None:
    assert source_region(Candidate(box, 0, 1.0), SEEN) is None  # type: ignore[arg-type]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 97))
def test_a_box_over_the_whole_input_is_the_whole_view(height: int, width: int, side: int) -> None:
    seen = replace(SEEN, view=Region(0, 0, width, height), placement=Placement((height, width), 3, 5, side, side))
    whole = Candidate((3, 5, 3 + side, 5 + side), 0, 1.0)
    assert source_region(whole, seen) == seen.view
    right = Candidate((3 + side - 1, 5, 3 + side, 5 + side), 0, 1.0)
    region = source_region(right, seen)
    assert region is not None
    assert region.left == math.floor((side - 1) * width / side)
