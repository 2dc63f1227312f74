"""The grid and its laws: crop, paste, and regions that stay where they must."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from service.errors import BadParameter, UnusableImage
from service.image import NO_SPACING, Image, Mask, Region, crop, paste
from service.manifest import Look
from service.stages import looked_at
from tests.fakes import CountingReader

SIDES = st.integers(1, 23)
GRIDS = st.builds(lambda d, h, w: Region(0, 0, w, h, 0, d), st.integers(1, 4), SIDES, SIDES)


@st.composite
def regions(draw: st.DrawFn, reach: int = 30) -> Region:
    """Any box, also of one pixel, also over or beyond the edge."""
    left, top, z0 = (draw(st.integers(-reach, reach)) for _ in range(3))
    width, height, depth = (draw(st.integers(1, reach)) for _ in range(3))
    return Region(left, top, left + width, top + height, z0, z0 + depth)


@st.composite
def regions_meeting(draw: st.DrawFn, grid: Region) -> Region:
    """A box that has at least one voxel in ``grid``."""
    x = draw(st.integers(0, grid.width - 1))
    y = draw(st.integers(0, grid.height - 1))
    z = draw(st.integers(0, grid.depth - 1))
    before = [draw(st.integers(0, 12)) for _ in range(3)]
    after = [draw(st.integers(1, 12)) for _ in range(3)]
    return Region(x - before[0], y - before[1], x + after[0], y + after[1], z - before[2], z + after[2])


def numbered(grid: Region, channels: int | None = None) -> NDArray[np.int32]:
    """Each voxel its own number, none of them 0."""
    shape = grid.shape if channels is None else (*grid.shape, channels)
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.int32).reshape(shape)


@given(GRIDS, regions(), st.sampled_from([None, 1, 3]))
def test_crop_then_paste_is_the_identity(grid: Region, region: Region, channels: int | None) -> None:
    array = numbered(grid, channels)
    again = array.copy()
    paste(crop(array, region), region, again)
    np.testing.assert_array_equal(again, array)


@given(GRIDS, regions(), st.sampled_from([None, 1, 3]))
def test_paste_writes_inside_and_nothing_outside(grid: Region, region: Region, channels: int | None) -> None:
    array = numbered(grid, channels)
    patch = -crop(array, region)
    onto = np.zeros_like(array)
    paste(patch, region, onto)
    inside = np.zeros(grid.shape, bool)
    common = region.overlap(grid)
    if common is not None:
        inside[common.slices] = True
    np.testing.assert_array_equal(onto[inside], -array[inside])
    assert not onto[~inside].any()


@given(GRIDS, regions())
def test_crop_has_the_regions_shape_and_zeros_over_the_edge(grid: Region, region: Region) -> None:
    patch = crop(numbered(grid), region)
    assert patch.shape == region.shape
    common = region.overlap(grid)
    assert np.count_nonzero(patch) == (0 if common is None else np.prod(common.shape))


def test_crop_is_a_copy() -> None:
    array = np.ones((1, 4, 4), np.uint8)
    crop(array, Region(0, 0, 4, 4))[:] = 0
    assert array.all()


def test_paste_refuses_a_patch_of_another_shape() -> None:
    with pytest.raises(
        BadParameter, match=r"Found a patch of shape \(1, 2, 2\); wanted the region's shape \(1, 2, 3\)"
    ):
        paste(np.zeros((1, 2, 2)), Region(0, 0, 3, 2), np.zeros((1, 8, 8)))


@given(st.data(), GRIDS, st.floats(0, 3), st.integers(1, 40))
def test_grown_stays_on_the_grid_and_contains_the_clipped_box(
    data: st.DataObject, grid: Region, margin: float, minimum: int
) -> None:
    box = data.draw(regions_meeting(grid))
    grown = box.grown(margin, grid, minimum)
    assert grown.clipped(grid) == grown
    assert box.clipped(grid).clipped(grown) == box.clipped(grid)


@given(st.data(), GRIDS, st.integers(1, 40))
def test_grown_has_the_minimum_where_the_grid_has_room(data: st.DataObject, grid: Region, minimum: int) -> None:
    box = data.draw(regions_meeting(grid))
    room = Region(-100, -100, 100, 100, -100, 100)
    grown = box.grown(0, room, minimum)
    assert max(box.width, minimum) <= grown.width <= max(box.width, minimum + 1)
    assert max(box.height, minimum) <= grown.height <= max(box.height, minimum + 1)


@given(st.data(), GRIDS, st.floats(1.01, 4))
def test_widened_is_larger_on_each_side_that_has_room(data: st.DataObject, grid: Region, factor: float) -> None:
    box = data.draw(regions_meeting(grid)).clipped(grid)
    wide = box.widened(factor, grid)
    assert wide.clipped(grid) == wide
    assert box.clipped(wide) == box
    assert wide.left < box.left or box.left == grid.left
    assert wide.top < box.top or box.top == grid.top
    assert wide.right > box.right or box.right == grid.right
    assert wide.bottom > box.bottom or box.bottom == grid.bottom


@given(st.data(), GRIDS, st.floats(0, 2), st.integers(1, 40), st.booleans())
def test_looked_at_stays_on_the_grid_and_contains_the_clipped_box(
    data: st.DataObject, grid: Region, margin: float, minimum: int, square: bool
) -> None:
    box = data.draw(regions_meeting(grid))
    region = looked_at(box, Look(margin=margin, minimum=minimum, square=square), grid)
    assert region.clipped(grid) == region
    assert box.clipped(grid).clipped(region) == box.clipped(grid)


@given(regions())
def test_squared_is_square_and_contains(region: Region) -> None:
    square = region.squared()
    assert square.width == square.height == max(region.width, region.height)
    assert region.clipped(square) == region


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), SIDES, SIDES), elements=st.sampled_from([0, 0, 0, 1, 7])))
def test_around_is_tight(labels: NDArray[np.uint8]) -> None:
    region = Region.around(labels)
    if region is None:
        assert not labels.any()
        return
    inside = labels[region.slices]
    assert np.count_nonzero(inside) == np.count_nonzero(labels)
    faces: list[Any] = [inside[0], inside[-1], inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]]
    assert all(face.any() for face in faces)


@given(regions(12), regions(12))
def test_overlap_and_iou_agree_with_counted_voxels(one: Region, other: Region) -> None:
    both = voxels(one) & voxels(other)
    common = one.overlap(other)
    assert np.count_nonzero(both) == (0 if common is None else np.count_nonzero(both & voxels(common)))
    assert one.iou(other) == pytest.approx(np.count_nonzero(both) / np.count_nonzero(voxels(one) | voxels(other)))


def voxels(region: Region) -> NDArray[np.bool_]:
    """Where the region lies on a grid that holds every region drawn with a reach of 12."""
    grid = np.zeros((40, 40, 40), bool)
    grid[region.shifted(12, 12, 12).slices] = True
    return grid


def test_shifted_moves_every_edge() -> None:
    assert Region(1, 2, 3, 4, 5, 6).shifted(10, 20, 30) == Region(11, 22, 13, 24, 35, 36)


@pytest.mark.parametrize("edges", [(3, 0, 3, 4), (4, 0, 3, 4), (0, 4, 3, 4)])
def test_an_empty_region_is_refused(edges: tuple[int, int, int, int]) -> None:
    with pytest.raises(BadParameter, match=r"Found box \([\d, ]+\); wanted left < right, top < bottom\. "):
        Region(*edges)


def test_a_region_without_slices_is_refused() -> None:
    with pytest.raises(BadParameter, match=r"in slices 2 to 2; wanted left < right, top < bottom and at least one sl"):
        Region(0, 0, 1, 1, 2, 2)


@pytest.mark.parametrize("box", [Region(8, 0, 9, 1), Region(-3, 0, 0, 1)])
def test_a_box_beside_the_picture_is_refused_without_a_word_of_slices(box: Region) -> None:
    with pytest.raises(BadParameter, match=r"wanted a box that meets the picture \(0, 0, 8, 8\)\. ") as caught:
        box.clipped(Region(0, 0, 8, 8))
    assert "slice" not in str(caught.value)


@pytest.mark.parametrize(("z0", "depth"), [(1, 1), (0, 3), (3, 3)])
def test_a_box_beside_a_volume_is_refused_with_its_slices(z0: int, depth: int) -> None:
    box, to = Region(8, 0, 9, 1, z0, z0 + 1), Region(0, 0, 8, 8, 0, depth)
    with pytest.raises(BadParameter, match=rf"in slices {z0} to {z0 + 1}; .* in slices 0 to {depth}\. .* the slice"):
        box.clipped(to)


def test_image_says_its_own_shape() -> None:
    image = Image(np.zeros((2, 3, 4, 1)))
    assert (image.depth, image.height, image.width, image.channels) == (2, 3, 4, 1)
    assert image.region == Region(0, 0, 4, 3, 0, 2)
    assert image.spacing == NO_SPACING


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (0, 3, 4, 1), (1, 3, 0, 1)])
def test_image_refuses_other_than_four_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnusableImage, match=r"wanted a non-empty array \(depth, height, width, channels\)"):
        Image(np.zeros(shape))


@pytest.mark.parametrize("channels", [2, 4])
def test_image_refuses_other_than_one_or_three_channels(channels: int) -> None:
    with pytest.raises(UnusableImage, match=f"Found {channels} channels; wanted 1"):
        Image(np.zeros((1, 3, 4, channels)))


def test_slab_reads_only_what_is_asked() -> None:
    reader = CountingReader(np.arange(5 * 2 * 2).reshape(5, 2, 2, 1), most=2)
    image = Image(reader)
    np.testing.assert_array_equal(image.slab(2, 4), reader.voxels[2:4])
    assert reader.reads == 2


@pytest.mark.parametrize(("z0", "z1"), [(-1, 1), (0, 6), (2, 2), (3, 2)])
def test_slab_refuses_slices_that_are_not_there(z0: int, z1: int) -> None:
    with pytest.raises(BadParameter, match=f"Found slices {z0} to {z1}; wanted a non-empty range inside 0 to 5"):
        Image(np.zeros((5, 2, 2, 1))).slab(z0, z1)


def test_mask_is_empty_on_its_grid() -> None:
    mask = Mask.empty(Region(0, 0, 4, 3, 0, 2), {1: "lesion"})
    assert mask.labels.shape == (2, 3, 4)
    assert not mask.labels.any()
    assert mask.names == {1: "lesion"}


@pytest.mark.parametrize("labels", [np.zeros((3, 4), np.uint8), np.zeros((1, 3, 4), np.int32)])
def test_mask_refuses_other_arrays(labels: NDArray[Any]) -> None:
    with pytest.raises(UnusableImage, match=r"wanted uint8 of shape \(depth, height, width\)"):
        Mask(labels)


def test_regions_are_values() -> None:
    assert replace(Region(0, 0, 1, 1), right=2) == Region(0, 0, 2, 1)
    assert len({Region(0, 0, 1, 1), Region(0, 0, 1, 1)}) == 1
