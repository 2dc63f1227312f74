"""How the pixels of a DICOM instance are laid out, read and checked before a single one is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset

from service.errors import TooLarge, UnusableImage, counted
from service.formats.dicom_parse import Parsed
from service.formats.guard import malformed
from service.formats.limits import Limits

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"
# Objects that are made from images: Media Storage Directory, Segmentation (binary, label map), Parametric Map.
NO_IMAGES = (
    "1.2.840.10008.1.3.10",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.30",
)
# Each costs its codec a tenth of a millisecond or more, however small it is.
MOST_FRAMES = 10_000


@dataclass(frozen=True)
class Layout:
    """Image Pixel module (PS3.3 C.7.6.3), checked.

    ``allocated`` 8, 16 or 32 bits hold ``stored`` bits, of which ``high`` is the topmost.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.samples * self.allocated // 8

    @property
    def native_bytes(self) -> int:
        """Bytes of one frame as it lies in a file without compression."""
        return self.frame_bytes * 2 // 3 if self.photometric == "YBR_FULL_422" else self.frame_bytes

    def check(self, limits: Limits) -> None:
        """Raises TooLarge or UnusableImage before anything of the frames is set aside."""
        limits.check_pixels(self.columns, self.rows)
        limits.check_sides(self.columns, self.rows)
        limits.check_volume(self.frame_bytes * self.frames)


def layout(parsed: Parsed) -> Layout:
    """Layout of the pixels. Raises UnusableImage where there are none or their description cannot be."""
    dataset = parsed.dataset
    _check_image(parsed)
    photometric, samples = str(dataset.get("PhotometricInterpretation", "")).strip(), _whole(dataset, "SamplesPerPixel")
    if photometric not in (*GREY, *COLOUR, PALETTE) or samples != (3 if photometric in COLOUR else 1):
        raise UnusableImage(
            f"{counted(samples, 'sample')} a pixel in an unknown colour space",
            f"one of {', '.join((*GREY, PALETTE, *COLOUR))}",
            "Export the image as grey or RGB.",
            "colour_space",
        )
    allocated, stored = _whole(dataset, "BitsAllocated"), _whole(dataset, "BitsStored")
    if allocated not in (8, 16, 32) or not 1 <= stored <= allocated:
        raise UnusableImage(
            f"{stored} of {allocated} bits a pixel", "8, 16 or 32 bits", "Export the image in 8 or 16 bit.", "bits"
        )
    high = _whole(dataset, "HighBit", stored - 1)
    return Layout(
        rows=_whole(dataset, "Rows"),
        columns=_whole(dataset, "Columns"),
        frames=_frames(dataset),
        samples=samples,
        photometric=photometric,
        allocated=allocated,
        stored=stored,
        high=high if stored - 1 <= high < allocated else stored - 1,
        signed=_whole(dataset, "PixelRepresentation", 0) == 1,
    )


def _check_image(parsed: Parsed) -> None:
    if str(parsed.dataset.get("SOPClassUID", "")) in NO_IMAGES:
        raise UnusableImage(
            "a DICOM object that is made from images (a segmentation, map or directory)",
            "an image",
            "Send the image that it refers to.",
            "not_an_image",
        )
    if parsed.pixels_at < 0:
        raise UnusableImage("a DICOM object without pixels", "an image", "Send an image of the study.", "no_pixels")


def _frames(dataset: Dataset) -> int:
    frames = _whole(dataset, "NumberOfFrames", 1)
    if frames > MOST_FRAMES:
        raise TooLarge(f"a declared number of {frames} frames", f"at most {MOST_FRAMES}", "Send them in parts.")
    return frames


def _whole(dataset: Dataset, name: str, default: int | None = None) -> int:
    """One whole number of 0 (1 for sizes) or more. Raises UnusableImage, which names the attribute, not its value."""
    value: Any = dataset.get(name)
    if value is None or value == "":
        if default is not None:
            return default
        raise malformed("DICOM", f"without {name}")
    lowest = 0 if name in ("PixelRepresentation", "HighBit") else 1
    if isinstance(value, Sequence) or int(value) < lowest:
        raise malformed("DICOM", f"whose {name} is not one number from {lowest}")
    return int(value)
