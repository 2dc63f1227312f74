"""The 61 sample files of other people, each with its outcome: decoded, or the problem that is stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from service.errors import InputError
from service.formats.read import read_image
from service.image import Image

SAMPLES = Path(__file__).parents[3].parent / "shared" / "data" / "dicom_samples"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample files are not beside this checkout")

# name: (depth, height, width, channels), type, source of the spacing, flags beside those of burnt-in text and loss.
DECODED: dict[str, tuple[tuple[int, ...], str, str, set[str]]] = {
    "693_UNCI": ((1, 512, 512, 1), "uint16", "pixel_spacing", set()),
    "JLSL_08_07_0_1F": ((1, 128, 128, 1), "uint8", "none", set()),
    "JLSL_16_15_1_1F": ((1, 128, 128, 1), "uint16", "none", {"no_window"}),
    "JLSL_RGB_ILV0": ((1, 256, 256, 3), "uint8", "none", set()),
    "JLSL_RGB_ILV1": ((1, 256, 256, 3), "uint8", "none", set()),
    "JLSL_RGB_ILV2": ((1, 256, 256, 3), "uint8", "none", set()),
    "JPEG2000_UNC": ((1, 1024, 256, 1), "uint16", "pixel_spacing", {"no_window"}),
    "JPGLosslessP14SV1_1s_1f_8b": ((1, 768, 1024, 1), "uint8", "us_region", set()),
    "MR-SIEMENS-DICOM-WithOverlays": ((1, 484, 484, 1), "uint16", "pixel_spacing", set()),
    "MR2_J2KI": ((1, 1024, 1024, 1), "uint16", "pixel_spacing", set()),
    "MR2_J2KR": ((1, 1024, 1024, 1), "uint16", "pixel_spacing", set()),
    "MR2_UNCI": ((1, 1024, 1024, 1), "uint16", "pixel_spacing", set()),
    "MR2_UNCR": ((1, 1024, 1024, 1), "uint16", "pixel_spacing", set()),
    "MR_Explicit_Little_MultiFrame": ((16, 256, 256, 1), "uint8", "none", set()),
    "MR_Implicit_Little": ((1, 256, 256, 1), "uint16", "pixel_spacing", {"no_window"}),
    "OBXXXX1A": ((1, 600, 800, 3), "uint8", "us_region", set()),
    "OBXXXX1A_expb": ((1, 600, 800, 3), "uint8", "us_region", set()),
    "OBXXXX1A_rle_2frame": ((2, 600, 800, 3), "uint8", "us_region", set()),
    "OT-PAL-8-face": ((1, 480, 640, 3), "uint8", "none", {"transfer_syntax_assumed"}),
    "RG3_J2KI": ((1, 1760, 1760, 1), "uint16", "none", set()),
    "RG3_J2KR": ((1, 1760, 1760, 1), "uint16", "none", set()),
    "SC_rgb_16bit": ((1, 100, 100, 3), "uint16", "pixel_spacing", set()),
    "SC_rgb_32bit_2frame": ((2, 100, 100, 3), "uint16", "pixel_spacing", {"frames_unplaced"}),
    **dict.fromkeys(
        (
            "SC_rgb_dcmtk_ebcr_dcmd", "SC_rgb_dcmtk_ebcyn1_dcmd", "SC_rgb_dcmtk_ebcyn2_dcmd",
            "SC_rgb_dcmtk_ebcynp_dcmd", "SC_rgb_dcmtk_ebcys2_dcmd", "SC_rgb_dcmtk_ebcys4_dcmd",
            "SC_rgb_expb", "SC_rgb_gdcm2k_uncompressed", "SC_ybr_full_uncompressed",
        ),
        ((1, 100, 100, 3), "uint8", "pixel_spacing", set[str]()),
    ),
    "SC_rgb_expb_16bit": ((1, 100, 100, 3), "uint16", "pixel_spacing", set()),
    "SC_rgb_expb_16bit_2frame": ((2, 100, 100, 3), "uint16", "pixel_spacing", {"frames_unplaced"}),
    "SC_rgb_expb_2frame": ((2, 100, 100, 3), "uint8", "pixel_spacing", {"frames_unplaced"}),
    "SC_rgb_expb_32bit": ((1, 100, 100, 3), "uint16", "pixel_spacing", set()),
    "SC_rgb_expb_32bit_2frame": ((2, 100, 100, 3), "uint16", "pixel_spacing", {"frames_unplaced"}),
    "US1_J2KR": ((1, 480, 640, 3), "uint8", "none", set()),
    "US1_UNCI": ((1, 480, 640, 3), "uint8", "none", set()),
    "US1_UNCR": ((1, 480, 640, 3), "uint8", "none", set()),
    "US_Explicit_Big_RGB": ((1, 480, 640, 3), "uint8", "none", set()),
    "bad_sequence": ((1, 512, 512, 1), "uint16", "pixel_spacing", set()),
    "color-pl": ((1, 120, 256, 3), "uint8", "none", set()),
    "color-px": ((1, 120, 256, 3), "uint8", "none", set()),
    "ct_image": ((1, 128, 128, 1), "uint16", "pixel_spacing", {"no_window"}),
    "dx_image": ((1, 169, 211, 1), "uint8", "pixel_spacing", set()),
    "emri_small_RLE": ((10, 64, 64, 1), "uint16", "none", {"frames_unplaced", "no_window"}),
    "emri_small_big_endian": ((10, 64, 64, 1), "uint16", "none", {"frames_unplaced", "no_window"}),
    "emri_small_jpeg_ls_lossless": ((10, 64, 64, 1), "uint16", "none", {"frames_unplaced", "no_window"}),
    "explicit_VR-UN": ((1, 512, 512, 1), "uint16", "pixel_spacing", {"no_window"}),
    "gdcm-US-ALOKA-16_big": ((1, 480, 640, 3), "uint8", "us_region", {"multi_region"}),
}  # fmt: skip
REFUSED = {
    "MR_UnspecifiedLength": "not_an_image",
    "liver": "not_an_image",
    "liver_j2k": "not_an_image",
    "liver_nonbyte_aligned": "not_an_image",
    "liver_nonbyte_aligned_rle": "not_an_image",
    "parametric_map_double_float": "not_an_image",
    "parametric_map_float": "not_an_image",
    "seg_image_cr_binary": "not_an_image",
    "seg_image_ct_binary": "not_an_image",
    "sr_document": "no_pixels",
}
# The same picture in two syntaxes.
SAME = (
    ("OBXXXX1A", "OBXXXX1A_expb"),
    ("MR2_J2KR", "MR2_UNCR"),
    ("emri_small_RLE", "emri_small_big_endian"),
    ("emri_small_RLE", "emri_small_jpeg_ls_lossless"),
    ("US1_J2KR", "US1_UNCR"),
    ("color-pl", "color-px"),
    ("JLSL_RGB_ILV0", "JLSL_RGB_ILV1"),
    ("JLSL_RGB_ILV0", "JLSL_RGB_ILV2"),
    ("SC_rgb_expb_16bit", "SC_rgb_16bit"),
)
ALWAYS = {"burned_in_text", "burned_in_text_possible", "lossy"}


def read(name: str) -> Image:
    return read_image((SAMPLES / f"{name}.dcm").read_bytes())


@needs_samples
def test_every_sample_is_in_the_table() -> None:
    names = {path.stem for path in SAMPLES.glob("*.dcm")}
    assert names == {*DECODED, *REFUSED}
    assert len(names) == 61


@needs_samples
@pytest.mark.parametrize("name", DECODED)
def test_decoded(name: str) -> None:
    shape, kind, source, flags = DECODED[name]
    image = read(name)
    assert (image.voxels.shape, str(image.voxels.dtype), image.spacing_source) == (shape, kind, source)
    assert {flag.code for flag in image.flags} - ALWAYS == flags


@needs_samples
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        read(name)
    assert caught.value.code == REFUSED[name]


@needs_samples
@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_syntaxes_of_one_picture(one: str, other: str) -> None:
    first, second = read(one), read(other)
    np.testing.assert_array_equal(first.slab(0, first.depth), second.slab(0, second.depth))


@needs_samples
@pytest.mark.parametrize("name", ["MR2_UNCR", "dx_image", "RG3_J2KR", "ct_image", "SC_rgb_16bit"])
def test_pixels_are_those_of_pydicom(name: str) -> None:
    """Rank order of grey, values of colour, against the library's own reading of the file."""
    reference = pydicom.dcmread(SAMPLES / f"{name}.dcm")
    stored, seen = reference.pixel_array.astype(float), read(name).slab(0, 1)[0].squeeze().astype(float)
    if stored.ndim == 3:
        np.testing.assert_array_equal(seen, stored)
        return
    sign = -1 if reference.PhotometricInterpretation == "MONOCHROME1" else 1
    order = np.argsort(sign * stored, axis=None, kind="stable")
    padding = getattr(reference, "PixelPaddingValue", None)
    kept = order[stored.ravel()[order] != padding] if padding is not None else order
    assert (np.diff(seen.ravel()[kept]) >= 0).all()
