"""One slice of a volume: it alone is decoded, and what is said and seen of it is what a reader of all slices says."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid as uids

from service.errors import BadParameter, UnusableImage
from service.formats.archive import bundled
from service.formats.limits import Limits
from service.formats.options import Options
from service.formats.read import read_image
from service.image import Image
from tests.service.formats import niftis, test_nrrd
from tests.service.formats.dicom_files import (
    decimal,
    encapsulated,
    enhanced_mr,
    instance,
    item,
    mr_slices,
    ramp,
    region,
    saved,
)
from tests.service.formats.series import volume

DEPTH = 5
PLACES = [(0, 0, 2 * z) for z in (3, 0, 4, 1, 2)]
WINDOW = {"WindowCenter": decimal(600)[0], "WindowWidth": decimal(900)[0]}
TIGHT = Limits(min_side=2)


def cine(*coloured: int) -> np.ndarray[Any, Any]:
    """Grey frames of odd size in RGB, but for some that have a coloured pixel."""
    frames = np.random.default_rng(0).integers(1, 255, (DEPTH, 11, 13, 1), np.uint8).repeat(3, axis=3)
    frames[list(coloured), 0, 0, 0] = 0
    return frames


def deep() -> np.ndarray[Any, Any]:
    return np.stack([ramp(40, 56) + 100 * z for z in range(DEPTH)]).astype(np.uint16)


def windowed() -> bytes:
    made = enhanced_mr(volume(), PLACES)
    made.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence = [item(**WINDOW)]
    return saved(made)


def varied() -> bytes:
    """An enhanced instance whose frames have windows of their own, but one has none."""
    made = enhanced_mr(volume(), PLACES)
    for number, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        if number != 1:
            group.FrameVOILUTSequence = [item(WindowCenter=decimal(300 * number + 1)[0], WindowWidth=decimal(500)[0])]
    return saved(made)


def odd_bytes(syntax: str, **about: Any) -> bytes:
    """Frames of an odd number of bytes, of which no decoder may start in the middle of a swapped pair."""
    frames = np.random.default_rng(1).integers(0, 255, (DEPTH, 11, 13), np.uint8)
    made = instance(frames, Modality="US", **about)
    if syntax == uids.ExplicitVRBigEndian:
        swapped = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
        content = saved(instance(frames, Modality="US", **about), syntax)
        at = content.rindex(b"OW") if b"OB" not in content[-len(swapped) - 20 :] else content.rindex(b"OB")
        return content[:at] + b"OW" + content[at + 2 : len(content) - len(swapped)] + swapped
    return saved(made, syntax)


FILES: dict[str, Callable[[], bytes]] = {
    "enhanced with a window": windowed,
    "enhanced without": lambda: saved(enhanced_mr(volume(), PLACES)),
    "enhanced with several": varied,
    "native, odd": lambda: odd_bytes(uids.ExplicitVRLittleEndian),
    "native, implicit": lambda: odd_bytes(uids.ImplicitVRLittleEndian),
    "native, big-endian in pairs": lambda: odd_bytes(uids.ExplicitVRBigEndian),
    "deflated": lambda: odd_bytes(uids.DeflatedExplicitVRLittleEndian),
    "RLE": lambda: saved(instance(deep(), Modality="US", **WINDOW), uids.RLELossless),
    "JPEG": lambda: saved(instance(deep().astype(np.uint8), Modality="US"), uids.JPEGBaseline8Bit),
    "JPEG lossless": lambda: saved(instance(deep(), Modality="US", **WINDOW), uids.JPEGLosslessSV1),
    "JPEG-LS": lambda: saved(instance(deep(), Modality="US", **WINDOW), uids.JPEGLSLossless),
    "JPEG 2000": lambda: saved(instance(deep(), Modality="US", **WINDOW), uids.JPEG2000Lossless),
    "padded": lambda: saved(instance(deep(), Modality="US", PixelPaddingValue=100)),
    "grey in colour": lambda: saved(instance(cine(), Modality="US")),
    "one frame in colour": lambda: saved(instance(cine(3), Modality="US")),
    "region of interest": lambda: saved(
        instance(cine(1), Modality="US", SequenceOfUltrasoundRegions=[region((2, 2, 8, 9))])
    ),
    "series": lambda: bundled(mr_slices(volume(), **WINDOW)),
    "series without a window": lambda: bundled(mr_slices(volume())[::-1]),
    "NIfTI": lambda: niftis.saved(niftis.numbers()),
    "NIfTI, floats": lambda: niftis.saved(niftis.numbers(kind="float64"), np.diag([-1.0, 2, 3, 1])),
    "NIfTI, scaled": lambda: niftis.saved(niftis.numbers(), scl_slope=0.5, scl_inter=3),
    "NIfTI, turned": lambda: niftis.saved(niftis.numbers(kind="uint8"), np.eye(4)[[1, 2, 0, 3]] * [1, 4, 2, 1]),
    "NIfTI, gzip": lambda: gzip.compress(niftis.saved(niftis.numbers())),
    "NRRD": lambda: test_nrrd.saved(test_nrrd.numbers()),
    "NRRD, gzip": lambda: test_nrrd.saved(test_nrrd.numbers(kind="f4"), encoding="gzip"),
}


def about(image: Image) -> dict[str, Any]:
    """All that is known beside the voxels; sources by what outputs take from them."""
    source = image.source
    known = source and (source.kind, None if source.affine is None else source.affine.tolist())
    frames = source.dicom.frames if source and source.dicom else None
    return {**vars(replace(image, voxels=np.zeros((1, 1, 1, 1)), source=None, held=None)), "from": (known, frames)}


@pytest.mark.parametrize("raw", [frozenset(), frozenset(("MR", "US"))], ids=["shown", "raw"])
@pytest.mark.parametrize("name", FILES)
def test_it_is_the_slice_of_the_whole_volume(name: str, raw: frozenset[str | None]) -> None:
    content = FILES[name]()
    for z in range(read_image(content, Options(TIGHT)).depth):
        whole = read_image(content, Options(TIGHT, slice=z, raw=raw))
        for around in (0, 1):
            part = read_image(content, Options(TIGHT, slice=z, raw=raw, around=around))
            assert about(part) == about(whole)
            assert (part.voxels.shape, part.voxels.dtype) == (whole.voxels.shape, whole.voxels.dtype)
            assert part.held == (max(0, z - around), min(whole.depth, z + around + 1))
            np.testing.assert_array_equal(part.slab(*part.held), whole.slab(*part.held))


@given(st.integers(0, 4), st.integers(0, 6), st.lists(st.integers(0, 4), max_size=2))
def test_of_any_cine(z: int, around: int, coloured: list[int]) -> None:
    content = saved(instance(cine(*coloured), Modality="US"))
    whole = read_image(content, Options(slice=z))
    part = read_image(content, Options(slice=z, around=around))
    first, end = part.held or (0, DEPTH)
    assert about(part) == about(whole)
    np.testing.assert_array_equal(part.slab(first, end), whole.slab(first, end))


def test_frames_beside_it_are_not_decoded() -> None:
    """They hold nothing that could be."""
    good = saved(instance(deep()[:1], Modality="US", **WINDOW), uids.JPEG2000Lossless)
    frame = good[good.index(b"\xff\x4f\xff\x51") : good.rindex(b"\xff\xd9") + 2]
    content = encapsulated(instance(deep(), Modality="US", **WINDOW), uids.JPEG2000Lossless, [b"none"] * 4 + [frame])
    assert read_image(content, Options(slice=4, around=0)).slab(4, 5).shape == (1, 40, 56, 1)
    for options in (Options(), Options(slice=4), Options(slice=4, around=1), Options(slice=2, around=0)):
        with pytest.raises(UnusableImage, match="no readable header"):
            read_image(content, options)


def test_slices_that_were_not_asked_for_are_not_there() -> None:
    part = read_image(FILES["NIfTI"](), Options(TIGHT, slice=4, around=1))
    for asked in ((0, 1), (2, 4), (5, 7), (3, 7)):
        with pytest.raises(IndexError, match="of which 3 to 6 are held"):
            part.slab(*asked)
    with pytest.raises(IndexError):
        part.voxels[3:6:2]


@pytest.mark.parametrize("name", ["enhanced without", "series", "NIfTI", "NRRD"])
def test_one_that_is_not_there(name: str) -> None:
    with pytest.raises(BadParameter, match="slice=40; wanted 0 to "):
        read_image(FILES[name](), Options(TIGHT, slice=40, around=0))


def test_a_value_that_is_not_finite_is_refused_in_whichever_slice_it_is() -> None:
    numbers = niftis.numbers(kind="float32")
    numbers[0, 0, 0] = np.nan
    with pytest.raises(UnusableImage, match="not finite"):
        read_image(niftis.saved(numbers), Options(TIGHT, slice=7, around=0))


LARGE: dict[str, Callable[[], bytes]] = {
    "native": lambda: saved(instance(np.zeros((64, 256, 256), np.uint16), Modality="US", **WINDOW)),
    "RLE": lambda: saved(instance(np.zeros((64, 256, 256), np.uint16), Modality="US", **WINDOW), uids.RLELossless),
    "grey in colour": lambda: saved(instance(np.zeros((64, 256, 256, 3), np.uint8)), uids.RLELossless),
    "no window": lambda: saved(instance(np.zeros((64, 256, 256), np.uint16), Modality="US")),
    "NIfTI": lambda: niftis.saved(np.zeros((256, 256, 64), np.float32)),
    "NRRD": lambda: test_nrrd.saved(np.zeros((256, 256, 64), np.float32)),
}


@pytest.mark.parametrize("name", LARGE)
def test_memory_is_that_of_a_few_frames(name: str) -> None:
    """The volume is 8 to 16 MiB; a frame as counted numbers is one at most."""
    content = LARGE[name]()
    read_image(content, Options(slice=30, around=0))
    tracemalloc.start()
    image = read_image(content, Options(slice=31, around=0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert image.depth == 64
    assert peak < 4 << 20
