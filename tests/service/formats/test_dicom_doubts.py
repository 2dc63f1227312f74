"""What a header says that cannot be, or says twice: it is told, and never mended in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from service.formats.dicom import read_instance
from service.formats.options import Options
from service.image import Image
from tests.hostile.corpus.outputs import with_raw
from tests.hostile.writing import FORMATS, found, written
from tests.service.formats.dicom_files import decimal, enhanced_mr, instance, item, mr_slices, ramp, saved
from tests.service.formats.series import codes, read, volume

NONE, AS_MEASURED = Options(), Options(raw=frozenset(("MG",)))
UNUSABLE = "rescaling_unusable"


def one(pixels: np.ndarray[Any, Any] | None = None, options: Options = NONE, **about: Any) -> Image:
    return read_instance(saved(instance(ramp() if pixels is None else pixels, **about)), options)


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("text", [b"nan ", b"inf ", b"x "])
@pytest.mark.parametrize("options", [NONE, AS_MEASURED])
def test_a_rescaling_that_is_no_number_is_flagged(name: str, text: bytes, options: Options) -> None:
    image = read_instance(with_raw(instance(ramp(), RescaleIntercept="7", RescaleSlope="2"), name, "DS", text), options)
    assert UNUSABLE in codes(image)
    assert not any(note.startswith("rescaled") for note in image.notes)


def test_a_slope_of_zero_is_flagged_and_stored_values_stand() -> None:
    image = one(options=AS_MEASURED, RescaleSlope="0", RescaleIntercept="5")
    np.testing.assert_array_equal(image.slab(0, 1)[0, ..., 0], ramp())
    assert UNUSABLE in codes(image)


@pytest.mark.parametrize("about", [{}, {"RescaleSlope": "2"}, {"RescaleIntercept": "-3"}, {"RescaleSlope": ""}])
def test_a_rescaling_that_can_be_is_not_flagged(about: dict[str, Any]) -> None:
    assert UNUSABLE not in codes(one(**about))


def test_two_sides_in_one_file_are_none() -> None:
    image = one(ImageLaterality="L", Laterality="R")
    assert (image.laterality, "laterality_disagrees" in codes(image)) == (None, True)
    assert "laterality_disagrees" not in codes(one(ImageLaterality="L", Laterality="L"))


@pytest.mark.parametrize(("sides", "said"), [("RRLL", None), ("RRRR", "R"), ("LLLR", None)])
def test_two_sides_in_one_series_are_none(sides: str, said: str | None) -> None:
    files = [mr_slices(volume(4), ImageLaterality=side)[z] for z, side in enumerate(sides)]
    image = read(files)
    assert (image.laterality, "laterality_disagrees" in codes(image)) == (said, said is None)


def test_two_sides_among_frames_are_none() -> None:
    made = enhanced_mr(volume(2), [(0, 0, 0), (0, 0, 2)])
    for side, group in zip("LR", made.PerFrameFunctionalGroupsSequence, strict=True):
        group.FrameAnatomySequence = [item(FrameLaterality=side)]
    image = read_instance(saved(made), NONE)
    assert (image.laterality, "laterality_disagrees" in codes(image)) == (None, True)


@pytest.mark.parametrize(
    ("step", "about", "flagged"),
    [
        (300.0, {}, True),
        (300.0, {"SliceThickness": "300"}, False),
        (10.0, {"SliceThickness": "2"}, True),
        (4.0, {"SliceThickness": "2"}, False),
        (4.0, {"SliceThickness": "0"}, False),
        (4.0, {}, False),
    ],
)
@pytest.mark.parametrize("depth", [2, 3])
def test_slices_far_apart_are_flagged(step: float, about: dict[str, Any], flagged: bool, depth: int) -> None:
    image = read(mr_slices(volume(depth), step, **about))
    assert image.spacing[0] == pytest.approx(step)
    assert ("slices_far_apart" in codes(image)) == flagged


def shifted(shift: float, **about: Any) -> list[bytes]:
    """Two volumes of three slices, the second one a little further along."""
    files = [mr_slices(volume(3) + 1000 * t, **{name: pair[t] for name, pair in about.items()}) for t in range(2)]
    place = b"\x20\0\x32\0DS"
    for z, file in enumerate(files[1]):
        start = file.index(place) + 8
        end = start + int.from_bytes(file[start - 2 : start], "little")
        before = file[start:end]
        x, y, _ = before.decode().strip().split("\\")
        after = f"{x}\\{y}\\{7 + 2 * z + shift:.6f}"
        text = after.encode() + b" " * (len(after) % 2)
        files[1][z] = file[: start - 2] + len(text).to_bytes(2, "little") + text + file[end:]
    return [*files[0], *files[1]]


@pytest.mark.parametrize("shift", [0.0, 0.01, -0.03, 0.08])
def test_phases_a_little_off_each_other_are_phases(shift: float) -> None:
    files = shifted(shift, AcquisitionNumber=(1, 2))
    for phase in range(2):
        image = read(files, Options(raw=frozenset(("MR",)), phase=phase))
        assert image.depth == 3
        assert image.spacing[0] == pytest.approx(2)
        assert image.slab(0, 3).min() == 1000 * phase


def test_slices_off_each_other_that_nothing_tells_apart_are_no_phases() -> None:
    image = read(shifted(0.01))
    assert (image.depth, "uneven_slices" in codes(image)) == (6, True)


def test_colour_is_scaled_by_its_stored_bits() -> None:
    top = {16: (np.uint16, 255), 8: (np.uint8, 31)}
    for allocated, stored in ((16, 8), (8, 5)):
        kind, brightest = top[allocated]
        pixels = np.zeros((12, 10, 3), kind)
        pixels[2:5, 3:7] = brightest, brightest // 2, 1
        image = one(pixels, BitsStored=stored, HighBit=stored - 1)
        np.testing.assert_array_equal(image.slab(0, 1)[0], pixels << (8 - stored))
        assert image.slab(0, 1).dtype == np.uint8


def test_colour_above_its_stored_bits_is_as_bright_as_they_go() -> None:
    pixels = np.full((12, 10, 3), 200, np.uint8)
    pixels[0, 0] = 3, 2, 1
    image = one(pixels, BitsStored=5, HighBit=4)
    assert image.slab(0, 1)[0, 5, 5].tolist() == [248, 248, 248]
    assert image.slab(0, 1)[0, 0, 0].tolist() == [24, 16, 8]


def ultrasound_volume() -> bytes:
    """An Enhanced US Volume whose frames run against the slices."""
    groups = [
        item(
            PlanePositionVolumeSequence=[item(ImagePositionVolume=[0.0, 0.0, z * 2.0])],
            PlaneOrientationVolumeSequence=[item(ImageOrientationVolume=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])],
            PixelMeasuresSequence=[item(PixelSpacing=decimal(0.7, 0.5))],
        )
        for z in (2, 1, 0)
    ]
    frames = np.stack([ramp(12, 10) % 200 + 10 * z for z in range(3)]).astype(np.uint8)
    return saved(
        instance(
            frames,
            SOPClassUID="1.2.840.10008.5.1.4.1.1.6.2",
            Modality="US",
            FrameOfReferenceUID="1.2.9",
            SharedFunctionalGroupsSequence=[Dataset()],
            PerFrameFunctionalGroupsSequence=groups,
        )
    )


def test_an_ultrasound_volume_is_a_volume_in_no_patient() -> None:
    image = read_instance(ultrasound_volume(), NONE)
    assert image.depth_axis == "space"
    assert image.spacing == pytest.approx((2, 0.7, 0.5))
    assert [int(slab.min()) for slab in image.slab(0, 3)] == [20, 10, 0]
    assert image.source is not None
    assert image.source.affine is None
    assert "volume_unplaced" in codes(image)


@pytest.mark.parametrize("name", FORMATS)
def test_an_ultrasound_volume_in_every_format(name: str) -> None:
    made = written(found(read_instance(ultrasound_volume(), NONE)), name)
    assert isinstance(made, bytes) or made.code in ("needs_one_slice", "needs_frame_of_reference")
