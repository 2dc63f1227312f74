"""Every transfer syntax gives the same pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import uid as uids

from service.formats.dicom import read_instance
from service.formats.sniff import sniff
from service.image import Image
from tests.service.formats.dicom_files import encapsulated, htj2k, instance, ramp, saved, written
from tests.service.formats.pictures import gradient
from tests.service.formats.syntaxes import LOSSLESS, RAW, named


def measured(content: bytes) -> np.ndarray[Any, Any]:
    """Stored values (depth, height, width, channels), after the modality transformation."""
    assert sniff(content) == "dicom"
    image = read_instance(content, RAW)
    return image.slab(0, image.depth)


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


def test_pixels_of_an_image_are_native() -> None:
    image: Image = read_instance(saved(instance(ramp()), uids.ExplicitVRBigEndian), RAW)
    assert image.slab(0, 1).dtype.isnative
