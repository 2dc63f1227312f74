"""What the window shows: modality, then VOI, then inversion, each once, whatever the bits are."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from service.errors import UnusableImage
from service.formats.dicom import read_instance
from service.formats.display import TABLE_FROM, Display, Lut, Span, VoiWindow
from service.formats.options import Options
from service.image import Image
from tests.service.formats.dicom_files import decimal, instance, lut, saved
from tests.service.formats.pictures import gradient

NONE = Options()
BITS = ((8, False), (8, True), (12, False), (12, True), (16, False), (16, True))
# What is shown, 0 to 1, from dark to bright over the values of a test picture.
RISING = np.linspace(0, 1, 256).reshape(16, 16)


def shown(content: bytes, options: Options = NONE) -> NDArray[np.float64]:
    """(height, width) as 0 to 1."""
    return unit(read_instance(content, options))


def unit(image: Image) -> NDArray[np.float64]:
    pixels = image.slab(0, 1)[0, ..., 0]
    assert pixels.dtype in (np.uint8, np.uint16)
    return pixels / np.iinfo(pixels.dtype).max


def values_of(bits: int, signed: bool) -> tuple[NDArray[Any], int, int]:
    """A picture that uses all values of its type evenly, with the lowest and the highest."""
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    kind = f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"
    return np.rint(low + RISING * (high - low)).astype(kind), low, high


def voi_of(kind: str, low: int, high: int) -> dict[str, Any]:
    """Attributes that show low as black and high as white (sigmoid: as nearly so as it ever does)."""
    centre, width = (low + high + 1) / 2, high - low + 1
    return {
        "none": {},
        "linear": {"WindowCenter": decimal(centre), "WindowWidth": decimal(width)},
        "linear_exact": {
            "WindowCenter": decimal((low + high) / 2),
            "WindowWidth": decimal(high - low),
            "VOILUTFunction": "LINEAR_EXACT",
        },
        "sigmoid": {"WindowCenter": decimal(centre), "WindowWidth": decimal(width), "VOILUTFunction": "SIGMOID"},
        "lut": {"VOILUTSequence": [lut(range(min(high - low + 1, 65535)), low, 16)]},
    }[kind]


@pytest.mark.parametrize(
    ("bits", "signed", "voi", "photometric"),
    [(*pair, voi, ph) for pair, voi, ph in product(BITS, ("none", "linear", "linear_exact", "sigmoid", "lut"), "12")],
)
def test_the_truth_table(bits: int, signed: bool, voi: str, photometric: str) -> None:
    pixels, low, high = values_of(bits, signed)
    made = instance(pixels, BitsStored=bits, HighBit=bits - 1, **voi_of(voi, low, high))
    made.PhotometricInterpretation = f"MONOCHROME{photometric}"
    if voi == "lut":
        # As many bits as its highest entry has.
        made.VOILUTSequence[0].LUTDescriptor[2] = bits
    expected = RISING
    if voi == "sigmoid":
        expected = 1 / (1 + np.exp(-4 * (pixels.astype(float) - (low + high + 1) / 2) / (high - low + 1)))
    np.testing.assert_allclose(
        shown(saved(made)), 1 - expected if photometric == "1" else expected, atol=0.005 if bits == 8 else 0.001
    )


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(600, 500), (0, 1), (2000, 4000), (-30, 77.5)])
def test_windows_are_those_of_the_standard(function: str, centre: float, width: float) -> None:
    pixels = np.arange(-2048, 2048, 16).astype(np.int16).reshape(16, 16)
    about = {"WindowCenter": decimal(centre), "WindowWidth": decimal(width), "VOILUTFunction": function}
    made = instance(pixels, RescaleSlope=decimal(1.5)[0], RescaleIntercept=decimal(-10)[0], **about)
    with np.errstate(over="ignore"):
        reference = apply_voi_lut(apply_modality_lut(pixels, made), made)
    low, high = (-32768 * 1.5 - 10, 32767 * 1.5 - 10)
    np.testing.assert_allclose(shown(saved(made)), (reference - low) / (high - low), atol=2e-5)


def test_a_modality_lut_comes_before_the_window() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    table = [255 - value for value in range(256)]
    made = instance(pixels, ModalityLUTSequence=[lut(table, 0, 8)], **voi_of("linear", 0, 127))
    made.ModalityLUTSequence[0].ModalityLUTType = "US"
    np.testing.assert_allclose(shown(saved(made)), np.clip((255 - pixels.astype(float)) / 127, 0, 1), atol=0.004)


def test_a_voi_lut_goes_before_a_window_and_the_first_of_several_counts() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    tables = [lut([0] * 128 + [255] * 128, 0, 8), lut([255] * 256, 0, 8)]
    made = instance(pixels, VOILUTSequence=tables, WindowCenter=decimal(10), WindowWidth=decimal(20))
    np.testing.assert_array_equal(shown(saved(made)), pixels >= 128)
    several = instance(pixels, WindowCenter=decimal(64, 200), WindowWidth=decimal(129, 11))
    np.testing.assert_allclose(shown(saved(several)), np.clip(pixels / 128, 0, 1), atol=0.006)


def test_inversion_happens_once() -> None:
    pixels, low, high = values_of(12, False)
    for about in ({"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}, {
        "PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"
    }):  # fmt: skip
        made = instance(pixels, BitsStored=12, HighBit=11, **voi_of("linear", low, high), **about)
        image = read_instance(saved(made), NONE)
        np.testing.assert_allclose(unit(image), 1 - RISING, atol=0.001)
        assert "inverted: low values are bright" in image.notes


def test_padding_is_black_and_does_not_count() -> None:
    pixels, _, _ = values_of(12, False)
    pixels = np.clip(pixels, 1000, 2000)
    pixels[:2] = 4000
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        made = instance(pixels, BitsStored=12, HighBit=11, PhotometricInterpretation=photometric)
        made.add_new("PixelPaddingValue", "US", 4000)
        seen = shown(saved(made))
        assert seen[:2].max() == 0
        assert (seen[2:].min(), seen[2:].max()) == (0, 1)


def test_a_range_of_padding() -> None:
    pixels, _, _ = values_of(16, False)
    made = instance(pixels, **voi_of("linear", 0, 65535))
    made.add_new("PixelPaddingValue", "US", 65535)
    made.add_new("PixelPaddingRangeLimit", "US", 60000)
    np.testing.assert_array_equal(shown(saved(made))[pixels >= 60000], 0)


@pytest.mark.parametrize(
    ("kind", "padding", "signed"), [("US", 63536, True), ("SS", -2000, True), ("SS", -5536, False)]
)
def test_padding_that_takes_the_sign_for_a_bit_or_a_bit_for_the_sign(kind: str, padding: int, signed: bool) -> None:
    pixels = np.full((16, 24), 500, np.int16 if signed else np.uint16)
    pixels[:2], pixels[2] = -2000 if signed else 60000, 100
    made = instance(pixels)
    made.add_new("PixelPaddingValue", kind, padding)
    seen = shown(saved(made))
    assert seen[:3].max() == 0
    assert seen[3:].min() == 1


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"WindowCenter": decimal(5), "WindowWidth": decimal(0)}, "window_unusable"),
        ({"WindowCenter": decimal(5), "WindowWidth": decimal(0.5)}, "window_unusable"),
        (
            {"WindowCenter": decimal(5), "WindowWidth": decimal(-2), "VOILUTFunction": "LINEAR_EXACT"},
            "window_unusable",
        ),
        ({"WindowCenter": decimal(5), "WindowWidth": decimal(9), "VOILUTFunction": "CUBIC"}, "voi_function_unknown"),
        ({"WindowCenter": decimal(5)}, "no_window"),
    ],
)
def test_what_cannot_be_taken_as_it_stands_is_flagged(about: dict[str, Any], code: str) -> None:
    image = read_instance(saved(instance(values_of(16, False)[0], **about)), NONE)
    assert code in {flag.code for flag in image.flags}


def test_without_a_window_all_slices_share_one_span() -> None:
    frames = np.stack([np.full((16, 16), value, np.uint16) for value in (100, 300, 500)])
    image = read_instance(saved(instance(frames)), NONE)
    assert image.slab(0, 3)[:, 0, 0, 0].tolist() == [0, 32768, 65535]


def test_raw_values_are_rescaled_but_not_windowed() -> None:
    pixels = np.arange(256, dtype=np.int16).reshape(16, 16)
    made = instance(pixels, RescaleSlope=decimal(2)[0], RescaleIntercept=decimal(-7)[0], **voi_of("linear", 0, 10))
    image = read_instance(saved(made), Options(raw=frozenset(("MG",))))
    np.testing.assert_array_equal(image.slab(0, 1)[0, ..., 0], 2 * pixels - 7)
    assert image.notes == ("values as measured, no window",)
    assert "no_window" not in {flag.code for flag in image.flags}


def test_raw_values_of_stored_integers_stay_integers() -> None:
    image = read_instance(saved(instance(values_of(16, True)[0])), Options(raw=frozenset(("MG",))))
    assert image.slab(0, 1).dtype == np.int16


def palette(bits: int, entries: int = 256, first: int = 0) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for number, name in enumerate(("Red", "Green", "Blue")):
        table = (np.arange(entries) * (number + 1)) % 256
        data = table.astype(np.uint8).tobytes() if bits == 8 else (table << 8).astype("<u2").tobytes()
        made[f"{name}PaletteColorLookupTableDescriptor"] = [entries % 65536, first, bits]
        made[f"{name}PaletteColorLookupTableData"] = data
    return made


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("first", [0, 10])
def test_palette_colour(bits: int, first: int) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    made = instance(pixels, PhotometricInterpretation="PALETTE COLOR", **palette(bits, first=first))
    index = np.clip(pixels.astype(int) - first, 0, 255)
    expected = np.stack([index, index * 2 % 256, index * 3 % 256], -1)
    np.testing.assert_array_equal(read_instance(saved(made), NONE).slab(0, 1)[0], expected)


def test_indices_off_the_palette_are_clamped() -> None:
    pixels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 200
    made = instance(pixels, PhotometricInterpretation="PALETTE COLOR", **palette(8, entries=50))
    assert read_instance(saved(made), NONE).slab(0, 1)[0, -1, -1].tolist() == [49, 98, 147]


def test_a_grey_palette_gives_one_channel() -> None:
    tables = palette(8)
    for name in ("Green", "Blue"):
        tables[f"{name}PaletteColorLookupTableData"] = tables["RedPaletteColorLookupTableData"]
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = read_instance(saved(instance(pixels, PhotometricInterpretation="PALETTE COLOR", **tables)), NONE)
    np.testing.assert_array_equal(image.slab(0, 1)[0, ..., 0], pixels)


def segmented(words: list[int]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in ("Red", "Green", "Blue"):
        made[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        made[f"Segmented{name}PaletteColorLookupTableData"] = np.array(words, "<u2").tobytes()
    return made


def test_a_palette_in_segments() -> None:
    # One entry 0, then a straight line to 255 << 8, then twice the first two segments again.
    words = [0, 1, 0, 1, 127, 127 << 8, 0, 1, 128 << 8, 1, 127, 255 << 8]
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    made = instance(pixels, PhotometricInterpretation="PALETTE COLOR", **segmented(words))
    np.testing.assert_allclose(read_instance(saved(made), NONE).slab(0, 1)[0, ..., 0], pixels, atol=1)


def test_a_palette_that_repeats_segments() -> None:
    words = [0, 64, *(value << 8 for value in range(64)), *([2, 1, 0, 0] * 3)]
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    made = instance(pixels, PhotometricInterpretation="PALETTE COLOR", **segmented(words))
    np.testing.assert_array_equal(read_instance(saved(made), NONE).slab(0, 1)[0, ..., 0], pixels % 64)


@pytest.mark.parametrize(
    "words",
    [[1, 65535, 9, 1, 65535, 9], [2, 1, 0, 0], [2, 1, 4, 0, 2, 1, 0, 0], [7, 1, 0], [0, 3, 1], [2, 9, 0, 9], []],
)
def test_a_palette_that_cannot_be_expanded(words: list[int]) -> None:
    made = instance(gradient(16, 16)[..., 0], PhotometricInterpretation="PALETTE COLOR", **segmented(words))
    with pytest.raises(UnusableImage, match="colour table|look-up table|cannot be decoded"):
        read_instance(saved(made), NONE)


@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize("about", [{"LUTDescriptor": [600, 0, 8]}, {"LUTDescriptor": [256, 0, 99]}, {"LUTData": b""}])
def test_a_broken_table_is_refused(sequence: str, about: dict[str, Any]) -> None:
    table = lut(range(256), 0, 8)
    table.update({"LUTData": b"\0\0"} if "LUTData" in about else about)
    with pytest.raises(UnusableImage, match="look-up table"):
        read_instance(saved(instance(values_of(8, False)[0], **{sequence: [table]})), NONE)


@given(st.sampled_from(BITS), st.integers(-5000, 5000), st.integers(1, 9000), st.booleans())
def test_a_table_shows_what_computing_shows(bits: tuple[int, bool], centre: int, width: int, inverse: bool) -> None:
    pixels, low, _ = values_of(*bits)
    display = Display(2.0, -3.0, voi=VoiWindow(centre, width), inverse=inverse, padding=(low, low))
    many = np.tile(pixels, (1, TABLE_FROM // pixels.size + 1))
    np.testing.assert_array_equal(display.shown(many)[:, :16], display.shown(pixels))


@given(st.integers(-40, 40), st.lists(st.integers(0, 65535), min_size=1, max_size=50))
def test_tables_end_with_their_first_and_last_entry(first: int, entries: list[int]) -> None:
    table = Lut(first, np.array(entries, np.uint16), 16)
    assert table(np.array([first - 1000.0, first + 1000.0])).tolist() == [entries[0], entries[-1]]


def test_a_picture_without_contrast_is_black() -> None:
    assert Span(5, 5).unit(np.full(3, 5.0)).tolist() == [0, 0, 0]
