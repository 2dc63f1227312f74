"""The one door: every format by its content, and what was asked for done."""

from __future__ import annotations

import gzip
import logging
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadParameter, InputError, TooLarge, UnknownFormat, UnusableImage
from service.formats.guard import decoding
from service.formats.inflate import GZIP, beginning, inflated
from service.formats.limits import Limits
from service.formats.options import Options
from service.formats.read import read_image
from service.formats.sniff import HEAD_BYTES, sniff
from service.image import Region
from tests.service.formats.dicom_files import instance, mr_slices, ramp, saved
from tests.service.formats.pictures import gradient
from tests.service.formats.pictures import saved as picture_saved
from tests.service.formats.test_nifti import WHOLE as NIFTI
from tests.service.formats.test_nrrd import WHOLE as NRRD

PICTURE = picture_saved(gradient(), "PNG")
DICOM = saved(instance(ramp()))
SLICES = mr_slices(np.stack([ramp(12, 10) + z for z in range(4)]).astype(np.uint16))
KINDS: dict[str, tuple[bytes, str]] = {
    "png": (PICTURE, "png"),
    "dicom": (DICOM, "dicom"),
    "dicom without preamble": (DICOM[132:], "dicom"),
    "nifti": (NIFTI, "nifti"),
    "gzipped nifti": (gzip.compress(NIFTI), "nifti"),
    "nrrd": (NRRD, "nrrd"),
}


@pytest.mark.parametrize("name", KINDS)
def test_formats_are_told_by_their_start(name: str) -> None:
    content, kind = KINDS[name]
    assert sniff(content[:HEAD_BYTES]) == sniff(content) == kind
    assert read_image(content).height >= 8


@pytest.mark.parametrize(
    "content", [gzip.compress(b"no NIfTI inside", mtime=0), b"\x1f\x8b" + b"\0" * 40, b"PK\5\6"[:3], b"NRRD0009\n"]
)
def test_others_are_unknown(content: bytes) -> None:
    assert sniff(content) is None
    with pytest.raises(UnknownFormat):
        read_image(content)


def test_a_programs_preamble_does_not_matter() -> None:
    image = read_image(b"MZ" + DICOM[2:])
    assert image.source.dicom.instance(0).preamble == b"\0" * 128


@given(st.binary(max_size=600))
def test_sniffing_takes_anything(noise: bytes) -> None:
    assert sniff(noise) is None or isinstance(sniff(noise), str)


@pytest.mark.parametrize("name", KINDS)
def test_bytes_over_the_limit(name: str) -> None:
    content, _ = KINDS[name]
    with pytest.raises(TooLarge):
        read_image(content, Options(Limits(max_bytes=len(content) - 1)))


def test_several_files_are_one_series() -> None:
    assert read_image(SLICES).depth == 4
    assert read_image([SLICES[2]]).depth == 1


def test_one_slice_of_a_volume_is_in_focus() -> None:
    image = read_image(NIFTI, Options(slice=3))
    assert (image.depth, image.field) == (9, Region(0, 0, 10, 12, 3, 4))


@pytest.mark.parametrize(("spacing", "expected"), [((0.3, 0.2), (2.0, 0.3, 0.2)), ((5.0, 0.3, 0.2), (5.0, 0.3, 0.2))])
def test_spacing_of_the_caller(spacing: tuple[float, ...], expected: tuple[float, ...]) -> None:
    image = read_image(SLICES, Options(spacing=spacing))
    assert (image.spacing, image.spacing_source) == (expected, "user")


def test_a_picture_has_no_phase() -> None:
    assert read_image(PICTURE, Options(phase=0)).depth == 1
    with pytest.raises(BadParameter, match="phase=1; wanted no phase for a picture"):
        read_image(PICTURE, Options(phase=1))


@pytest.mark.parametrize("content", [PICTURE, NIFTI, DICOM])
def test_where_no_region_is_marked_nothing_can_be_hidden(content: bytes) -> None:
    with pytest.raises(UnusableImage, match="no ultrasound region is marked") as caught:
        read_image(content, Options(hide_outside=True))
    assert caught.value.code == "no_region"


@given(st.sampled_from([DICOM, SLICES[0], NIFTI, NRRD, gzip.compress(NIFTI)]), st.data())
def test_flipped_bytes_give_an_image_or_an_error(content: bytes, data: Any) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=8))
    try:
        image = read_image(content[:at] + noise + content[at + len(noise) :], Options(Limits(max_volume_bytes=1 << 20)))
    except InputError as error:
        assert "CANARY" not in str(error)
        return
    assert image.channels in (1, 3)


@pytest.mark.parametrize("depth", [100, 249, 1000, 20_000])
def test_sequences_in_sequences(depth: int) -> None:
    nested = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    at = DICOM.index(b"\x10\0\x10\0PN")
    content = DICOM[:at] + nested + DICOM[at:]
    try:
        read_image(content)
    except UnusableImage as error:
        assert error.code in ("malformed", "truncated", "no_pixels")


def test_errors_inside_become_ours_and_ours_pass() -> None:
    for thrown in (ValueError("ZZPHI"), RecursionError(), KeyError("x"), EOFError()):
        with pytest.raises(UnusableImage, match="a DICOM file that cannot be decoded") as caught, decoding("DICOM"):
            raise thrown
        assert caught.value.__suppress_context__
    with pytest.raises(TooLarge, match="more memory than there is"), decoding("DICOM"):
        raise MemoryError
    with pytest.raises(UnknownFormat, match="ours"), decoding("DICOM"):
        raise UnknownFormat("ours", "x", "y")


def test_warnings_inside_are_silent_and_outside_as_before() -> None:
    before = list(warnings.filters)
    threads = [threading.Thread(target=_warn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    assert not logging.getLogger("pydicom").propagate


def _warn() -> None:
    for _ in range(50):
        with decoding("DICOM"):
            warnings.warn("ZZPHI^CANARY", stacklevel=1)


@given(st.binary(max_size=500), st.integers(0, 600))
def test_inflating_stops_at_the_cap(content: bytes, cap: int) -> None:
    packed = gzip.compress(content)
    assert beginning(packed, cap + 1) == content[: cap + 1]
    if len(content) > cap:
        with pytest.raises(TooLarge):
            inflated(packed, cap, "x", GZIP)
    else:
        assert inflated(packed, cap, "x", GZIP) == content
