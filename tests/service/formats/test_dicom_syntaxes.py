"""Every transfer syntax gives the same pixels; what is not read, or lies about itself, is refused by name."""

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
from service.formats.sniff import sniff
from service.image import Image
from tests.service.formats.dicom_files import encapsulated, htj2k, instance, ramp, saved, written
from tests.service.formats.pictures import gradient

RAW = Options(raw=frozenset(("MG",)))
UNCOMPRESSED = (
    uids.ImplicitVRLittleEndian,
    uids.ExplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
    uids.DeflatedExplicitVRLittleEndian,
)
LOSSLESS = (
    *UNCOMPRESSED,
    uids.RLELossless,
    uids.JPEGLosslessSV1,
    uids.JPEGLossless,
    uids.JPEGLSLossless,
    uids.JPEG2000Lossless,
)


def measured(content: bytes) -> np.ndarray[Any, Any]:
    """Stored values (depth, height, width, channels), after the modality transformation."""
    assert sniff(content) == "dicom"
    image = read_instance(content, RAW)
    return image.slab(0, image.depth)


def named(syntax: str) -> str:
    return uids.UID(syntax).name.replace(" ", "-")


@pytest.mark.parametrize("syntax", LOSSLESS, ids=named)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16"])
def test_grey_of_every_lossless_syntax(syntax: str, kind: str) -> None:
    pixels = (ramp().astype(np.int64) - (1500 if kind == "int16" else 0)).astype(kind)
    if kind == "int16" and syntax in (uids.JPEGLSLossless, uids.JPEGLosslessSV1, uids.JPEGLossless):
        pytest.skip("these encoders here take no signed values")
    read = measured(saved(instance(pixels), syntax))
    np.testing.assert_array_equal(read[0, ..., 0], pixels)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=named)
def test_colour_of_every_lossless_syntax(syntax: str) -> None:
    np.testing.assert_array_equal(measured(saved(instance(gradient(48, 80)), syntax))[0], gradient(48, 80))


@pytest.mark.parametrize("syntax", LOSSLESS, ids=named)
@pytest.mark.parametrize("colour", [False, True])
def test_frames_of_every_lossless_syntax(syntax: str, colour: bool) -> None:
    first = gradient(48, 80) if colour else ramp()
    frames = np.stack([first, first[::-1], first[:, ::-1]])
    read = measured(saved(instance(frames), syntax))
    np.testing.assert_array_equal(read if colour else read[..., 0], frames)


@pytest.mark.parametrize("syntax", [uids.HTJ2KLossless, uids.HTJ2KLosslessRPCL, uids.HTJ2K], ids=named)
@pytest.mark.parametrize("colour", [False, True])
def test_htj2k(syntax: str, colour: bool) -> None:
    frame, pixels = htj2k(colour=colour)
    made = instance(np.stack([pixels, pixels]) if colour else pixels)
    made.PhotometricInterpretation = "YBR_RCT" if colour else "MONOCHROME2"
    read = measured(encapsulated(made, syntax, [frame, frame] if colour else [frame]))[0]
    np.testing.assert_array_equal(read if colour else read[..., 0], pixels)


@pytest.mark.parametrize(
    ("syntax", "options"), [(uids.JPEGLSNearLossless, {"jls_error": 2}), (uids.JPEG2000, {"j2k_cr": [4]})]
)
@pytest.mark.parametrize("colour", [False, True])
def test_near_and_lossy_syntaxes(syntax: str, options: dict[str, Any], colour: bool) -> None:
    pixels = gradient(48, 80) if colour else ramp()
    made = instance(pixels)
    made.compress(syntax, generate_instance_uid=False, **options)
    read = measured(written(made))[0].squeeze()
    assert np.abs(read.astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_jpeg_baseline(colour: bool, count: int) -> None:
    pixels = gradient(48, 80) if colour else gradient(48, 80)[..., 0]
    made = instance(np.stack([pixels[:, ::-1]] * (count - 1) + [pixels]))
    made.PhotometricInterpretation = "YBR_FULL_422" if colour else "MONOCHROME2"
    read = measured(saved(made, uids.JPEGBaseline8Bit))
    assert len(read) == count
    assert np.abs(read[-1].squeeze().astype(int) - pixels).mean() < 2


@pytest.mark.parametrize("stored", [10, 12, 16])
def test_a_mammogram_in_jpeg_2000_keeps_every_level(stored: int) -> None:
    pixels = np.random.default_rng(3).integers(0, 1 << stored, (64, 48), np.uint16)
    made = instance(pixels, BitsStored=stored, HighBit=stored - 1)
    np.testing.assert_array_equal(measured(saved(made, uids.JPEG2000Lossless))[0, ..., 0], pixels)


def test_ybr_becomes_rgb() -> None:
    y, cb, cr = (np.full((16, 16), value, np.uint8) for value in (100, 90, 200))
    read = measured(saved(instance(np.stack([y, cb, cr], -1), PhotometricInterpretation="YBR_FULL")))[0]
    expected = (100 + 1.402 * 72, 100 - 0.344136 * -38 - 0.714136 * 72, 100 + 1.772 * -38)
    np.testing.assert_allclose(read[3, 3], expected, atol=1)


def test_uncompressed_ybr_422_becomes_rgb() -> None:
    made = instance(np.zeros((8, 8, 3), np.uint8), PhotometricInterpretation="YBR_FULL_422")
    made.PixelData = bytes([80, 120, 128, 128] * 32)
    read = measured(saved(made))[0]
    assert read.shape == (8, 8, 1)
    assert read[0, :4, 0].tolist() == [80, 120, 80, 120]


def test_planes_of_colour_one_after_the_other() -> None:
    made = instance(gradient(48, 80), PlanarConfiguration=1)
    made.PixelData = gradient(48, 80).transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(measured(saved(made))[0], gradient(48, 80))


def test_big_endian_bytes_in_words() -> None:
    pixels = gradient(48, 80)[..., 0]
    made = instance(pixels)
    made.PixelData = np.frombuffer(pixels.tobytes(), "<u2").astype(">u2").tobytes()
    made["PixelData"].VR = "OW"
    made.file_meta.TransferSyntaxUID = uids.ExplicitVRBigEndian
    np.testing.assert_array_equal(measured(written(made))[0, ..., 0], pixels)


def test_bits_around_the_stored_ones_are_cut_off() -> None:
    pixels = ramp()
    overlaid = instance(pixels | (np.arange(80, dtype=np.uint16) % 2 << 15), BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(measured(saved(overlaid))[0, ..., 0], pixels)
    shifted = instance(pixels << 4, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(measured(saved(shifted))[0, ..., 0], pixels)


def test_twelve_signed_bits_keep_their_sign() -> None:
    values = np.arange(-2048, 2048, 5).astype(np.int16)[:800].reshape(20, 40)
    made = instance(values & 0x0FFF, BitsStored=12, HighBit=11, PixelRepresentation=1)
    np.testing.assert_array_equal(measured(saved(made))[0, ..., 0], values)


def test_thirty_two_bit_colour_becomes_sixteen() -> None:
    pixels = gradient(48, 80).astype(np.uint32) << 24
    np.testing.assert_array_equal(measured(saved(instance(pixels)))[0], gradient(48, 80).astype(np.uint16) << 8)


def test_twelve_bit_colour_fills_sixteen() -> None:
    pixels = gradient(48, 80).astype(np.uint16) << 4
    read = measured(saved(instance(pixels, BitsStored=12, HighBit=11)))[0]
    np.testing.assert_array_equal(read, pixels << 4)


def test_a_file_without_preamble_and_one_without_meta_information() -> None:
    whole = saved(instance(ramp()))
    np.testing.assert_array_equal(measured(whole[132:])[0, ..., 0], ramp())
    start = whole.index(b"\x08\0\x16\0UI")
    image = read_instance(whole[start:], RAW)
    np.testing.assert_array_equal(image.slab(0, 1)[0, ..., 0], ramp())
    assert "transfer_syntax_assumed" in {flag.code for flag in image.flags}


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


def test_pixels_of_an_image_are_native() -> None:
    image: Image = read_instance(saved(instance(ramp()), uids.ExplicitVRBigEndian), RAW)
    assert image.slab(0, 1).dtype.isnative
