"""Millimetres between pixels, with the name of what said so; and the part of an ultrasound picture that shows tissue.

PS3.3 C.7.6.3.1.1 and 10.7 (pixel spacing), C.8.5.5 (ultrasound regions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from service.formats.dicom_layout import Layout
from service.formats.functional_groups import Frame
from service.formats.lengths import SPACING_UNUSABLE, plausible
from service.image import Region, SpacingSource
from service.source import Flag

# Of projection X-ray, and of what pictures of it are exported as; between slices and echoes there is no detector.
PROJECTIONS = ("MG", "CR", "DX", "RG", "RF", "XA", "PX", "IO", "OT", "SC", "")
# Codes of PS3.3 C.8.5.5.1: two-dimensional, tissue, centimetre.
FLAT, TISSUE, CENTIMETRE = 1, 1, 3
MM_PER_CM = 10.0
# Factors beyond these are slips of the unit.
MAGNIFICATIONS = (0.5, 5.0)
REGION_UNUSABLE = Flag("us_region_unusable", "A marked ultrasound region lies outside of the picture and was ignored.")
SEVERAL = "The picture shows several regions of tissue; looked at is"
ALIKE = Flag("multi_region", f"{SEVERAL} the box around all of them.")
LARGEST = Flag("multi_region", f"{SEVERAL} the largest alone, because their scales differ.")

Plane = tuple[float, float]


@dataclass(frozen=True)
class Spacing:
    """mm between rows and between columns, None where unknown."""

    plane: Plane | None
    source: SpacingSource
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True)
class Tissue:
    """The regions of tissue and their mm between (rows, columns), None where it is not in centimetres."""

    regions: tuple[Region, ...]
    plane: Plane | None

    @property
    def region(self) -> Region:
        """The box around all of them."""
        left, top = min(one.left for one in self.regions), min(one.top for one in self.regions)
        right, bottom = max(one.right for one in self.regions), max(one.bottom for one in self.regions)
        return Region(left, top, right, bottom, 0, self.regions[0].z1)


def spacing_of(frame: Frame, tissue: Tissue | None) -> Spacing:
    """Pixel Spacing wherever it is present; else that of the detector, magnified where known; else the region's."""
    for find in (_pixel_spacing, _imager):
        found = find(frame)
        if found is not None:
            return found
    if tissue is not None and tissue.plane is not None:
        return _checked(tissue.plane, "us_region", 1.0)
    return Spacing(None, "none")


def _pixel_spacing(frame: Frame) -> Spacing | None:
    if frame.value("PixelMeasuresSequence", "PixelSpacing") is None:
        return None
    return _checked(frame.numbers("PixelMeasuresSequence", "PixelSpacing", 2), "pixel_spacing", 1.0)


def _imager(frame: Frame) -> Spacing | None:
    modality = str(frame.value("", "Modality") or "").strip()
    if modality not in PROJECTIONS or frame.value("", "ImagerPixelSpacing") is None:
        return None
    factor = _magnification(frame)
    source: SpacingSource = "imager" if factor is None else "imager_magnified"
    return _checked(frame.numbers("", "ImagerPixelSpacing", 2), source, factor or 1.0)


def _checked(found: Sequence[float] | None, source: SpacingSource, factor: float) -> Spacing:
    plane = (found[0] / factor, found[1] / factor) if found else (0.0, 0.0)
    if not all(map(plausible, plane)):
        return Spacing(None, "none", (SPACING_UNUSABLE,))
    return Spacing(plane, source)


def _magnification(frame: Frame) -> float | None:
    """How much larger things are on the detector than in the breast, None where the file does not say."""
    said = frame.number_of("", "EstimatedRadiographicMagnificationFactor")
    to_detector, to_patient = (frame.number_of("", f"DistanceSourceTo{end}") for end in ("Detector", "Patient"))
    if said is None and to_detector and to_patient:
        said = to_detector / to_patient
    low, high = MAGNIFICATIONS
    return said if said is not None and low < said < high else None


def tissue_of(dataset: Dataset, layout: Layout) -> tuple[Tissue | None, tuple[Flag, ...]]:
    """The marked tissue: of several with one scale the box around all, else the largest; None where none is marked."""
    marked = [item for item in dataset.get("SequenceOfUltrasoundRegions") or () if _shows_tissue(item)]
    found = [one for item in marked if (one := _tissue(item, layout)) is not None]
    flags = (REGION_UNUSABLE,) if len(found) < len(marked) else ()
    if not found:
        return None, flags
    if len(found) == 1:
        return found[0], flags
    if all(one.plane == found[0].plane for one in found):
        return Tissue(tuple(one.region for one in found), found[0].plane), (*flags, ALIKE)
    return max(found, key=lambda one: one.region.width * one.region.height), (*flags, LARGEST)


def _shows_tissue(item: Dataset) -> bool:
    return (item.get("RegionSpatialFormat"), item.get("RegionDataType")) == (FLAT, TISSUE)


def _tissue(item: Dataset, layout: Layout) -> Tissue | None:
    names = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    left, top, right, bottom = (item.get(f"RegionLocation{name}") for name in names)
    whole = [one for one in (left, top, right, bottom) if isinstance(one, int)]
    if len(whole) < 4 or not (0 <= left < right and 0 <= top < bottom and left < layout.columns and top < layout.rows):
        return None
    # The lower right corner belongs to the region, and some writers put it just outside of the picture.
    region = Region(left, top, min(right + 1, layout.columns), min(bottom + 1, layout.rows), 0, layout.frames)
    return Tissue((region,), _scale(item))


def _scale(item: Dataset) -> Plane | None:
    units = item.get("PhysicalUnitsYDirection"), item.get("PhysicalUnitsXDirection")
    deltas = [item.get("PhysicalDeltaY"), item.get("PhysicalDeltaX")]
    if units != (CENTIMETRE, CENTIMETRE) or not all(isinstance(one, float) and one for one in deltas):
        return None
    # An axis may point upwards.
    return abs(deltas[0]) * MM_PER_CM, abs(deltas[1]) * MM_PER_CM
