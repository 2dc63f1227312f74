"""DICOM that cannot be decoded is refused by name: other syntaxes, cut files, headers that lie, broken frames."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom import uid as uids

from service.errors import TooLarge, UnknownFormat, UnusableImage
from service.formats.codestream import declared
from service.formats.dicom import read_instance
from service.formats.dicom_layout import Layout
from service.formats.dicom_parse import MAX_DEFLATED
from service.formats.dicom_rle import decoded_rle
from service.formats.limits import Limits
from service.formats.options import Options
from tests.service.formats.dicom_files import encapsulated, htj2k, instance, ramp, saved, written
from tests.service.formats.syntaxes import LOSSLESS, RAW, named


def refused(content: bytes, code: str, match: str, options: Options = RAW) -> None:
    with pytest.raises((UnusableImage, UnknownFormat, TooLarge), match=match) as caught:
        read_instance(content, options)
    assert caught.value.code == code
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        (uids.MPEG2MPML, "MPEG2 Main Profile"),
        (uids.JPEG2000MCLossless, "Multi-component"),
        (uids.JPEGExtended12Bit, "JPEG Extended"),
        ("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate"),
        ("1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate"),
    ],
)
def test_other_syntaxes_are_named(syntax: str, name: str) -> None:
    refused(encapsulated(instance(ramp()), syntax, [b"\0" * 64]), "transfer_syntax", f"transfer syntax .*{name}")


def test_a_syntax_of_nobody_is_not_repeated() -> None:
    content = saved(instance(ramp()), uids.JPEG2000Lossless)
    known, private = str(uids.JPEG2000Lossless).encode(), b"1.2.3.4.777777.8.9.4.90"[:22]
    refused(content.replace(known, private), "transfer_syntax", "one that the standard does not list")


def test_deflated_data_over_the_cap_are_refused_before_they_are_there() -> None:
    made = instance(np.zeros((4096, 4200), np.uint16))
    assert MAX_DEFLATED < 4096 * 4200 * 2
    refused(saved(made, uids.DeflatedExplicitVRLittleEndian), "too_large", "grows beyond")


@pytest.mark.parametrize("cut", [0.4, 0.8, 0.99])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=named)
def test_a_cut_file_is_refused(syntax: str, cut: float) -> None:
    content = saved(instance(np.random.default_rng(1).integers(0, 4096, (64, 64), np.uint16)), syntax)
    with pytest.raises(UnusableImage) as caught:
        read_instance(content[: int(len(content) * cut)], RAW)
    assert caught.value.code in ("truncated", "malformed")


@pytest.mark.parametrize(
    ("about", "code", "match"),
    [
        ({"Rows": None}, "malformed", "without Rows"),
        ({"Rows": 0}, "malformed", "whose Rows is not one number from 1"),
        ({"Rows": 65535, "Columns": 65535}, "too_large", "65535 x 65535"),
        ({"Rows": 5}, "too_small", "80 x 5 pixels"),
        ({"NumberOfFrames": 2**31 - 1}, "too_large", "2147483647 frames"),
        ({"NumberOfFrames": 4000}, "too_large", "declared voxels of 30720000 bytes"),
        ({"NumberOfFrames": 2}, "truncated", "ends early"),
        ({"BitsAllocated": 12}, "bits", "16 of 12 bits"),
        ({"BitsAllocated": 64}, "bits", "8, 16 or 32 bits"),
        ({"BitsStored": 17}, "bits", "17 of 16 bits"),
        ({"SamplesPerPixel": 3}, "colour_space", "3 samples"),
        ({"PhotometricInterpretation": "ARGB"}, "colour_space", "unknown colour space"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "malformed", "no colour table"),
        ({"SOPClassUID": uids.SegmentationStorage}, "not_an_image", "made from images"),
        ({"PixelData": None}, "no_pixels", "without pixels"),
    ],
)
def test_headers_that_cannot_be(about: dict[str, Any], code: str, match: str) -> None:
    options = Options(Limits(max_volume_bytes=4_000_000), raw=RAW.raw)
    refused(saved(instance(ramp(), **about)), code, match, options)


@pytest.mark.parametrize("syntax", [uids.JPEGLSLossless, uids.JPEG2000Lossless, uids.JPEGLosslessSV1, uids.RLELossless])
@pytest.mark.parametrize("about", [{"Rows": 96}, {"Columns": 40}, {"Rows": 40, "Columns": 90}])
def test_a_header_that_lies_about_its_frame(syntax: str, about: dict[str, Any]) -> None:
    made = dcmread(io.BytesIO(saved(instance(ramp()), syntax)))
    for name, value in about.items():
        setattr(made, name, value)
    refused(written(made), "malformed", "RLE frame has more or fewer|declares another size")


def test_compressed_pixels_outside_of_fragments() -> None:
    content = saved(instance(ramp()), uids.JPEG2000Lossless)
    at = content.index(b"\xfe\xff\x00\xe0", content.index(b"\xe0\x7f\x10\0"))
    refused(content[:at] + b"\0\0\0\0" + content[at + 4 :], "malformed", "DICOM file")


@given(st.binary(max_size=300))
def test_noise_in_a_frame_is_refused(noise: bytes) -> None:
    for syntax in (uids.JPEG2000Lossless, uids.JPEGLSLossless, uids.JPEGLosslessSV1, uids.RLELossless):
        with pytest.raises(UnusableImage):
            read_instance(encapsulated(instance(ramp()), syntax, [b"\0\0" + noise]), RAW)


def test_an_rle_frame_never_outgrows_its_header() -> None:
    layout = Layout(8, 8, 1, 1, "MONOCHROME2", 8, 8, 7, signed=False)
    bomb = b"\1\0\0\0" + b"\x40\0\0\0" + b"\0" * 56 + b"\x81\x07" * 10_000_000
    tracemalloc.start()
    with pytest.raises(UnusableImage, match="more or fewer pixels"):
        decoded_rle(bomb, layout)
    assert tracemalloc.get_traced_memory()[1] < 2 * len(bomb)
    tracemalloc.stop()


def test_an_rle_frame_may_end_with_padding() -> None:
    layout = Layout(8, 8, 1, 1, "MONOCHROME2", 8, 8, 7, signed=False)
    frame = b"\1\0\0\0" + b"\x40\0\0\0" + b"\0" * 56 + b"\xc1\7\x80\0"
    assert decoded_rle(frame, layout).tolist() == [[[7]] * 8] * 8


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\1\0\0\0",
        b"\2\0\0\0" + b"\x40\0\0\0" + b"\0" * 56 + b"\xc1\7",
        b"\1\0\0\0" + b"\xff\xff\0\0" + b"\0" * 56 + b"\xc1\7",
        b"\1\0\0\0" + b"\x40\0\0\0" + b"\0" * 56 + b"\xf1\7\x80",
        b"\1\0\0\0" + b"\x40\0\0\0" + b"\0" * 56 + b"\x80" * 40,
    ],
)
def test_broken_rle(frame: bytes) -> None:
    with pytest.raises(UnusableImage, match="RLE frame"):
        decoded_rle(frame, Layout(8, 8, 1, 1, "MONOCHROME2", 8, 8, 7, signed=False))


def test_codestreams_say_their_size() -> None:
    assert declared(htj2k()[0]) == (40, 24, 1, 16)
    assert declared(b"\xff\xd8\xff\xe0\0\4ab\xff\xff\xff\xc3\0\x0b\x0c\0\x18\0\x28\1") == (40, 24, 1, 12)


@given(st.binary(max_size=80))
def test_codestreams_are_read_from_anything(noise: bytes) -> None:
    for start in (b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"):
        found = declared(start + noise)
        assert found is None or min(found) >= 0
