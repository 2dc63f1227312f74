"""Single-frame data sets that stand for the frames of a DICOM source while highdicom builds something from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset
from pydicom.uid import MRImageStorage, UltrasoundImageStorage
from pydicom.valuerep import DSfloat

from service.formats.dicom_foreign import attribute, copy_to, series_of
from service.formats.dicom_geometry import Place, place_of
from service.formats.dicom_object import TYPE_2, Reference, dicom_of, reference
from service.formats.functional_groups import Frame
from service.formats.lengths import plausible
from service.image import Image

# A projection has no thickness, yet readers refuse pixel measures without one.
NOMINAL_THICKNESS = 1.0
LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


@dataclass(frozen=True, eq=False)
class StandIns:
    """Data sets for the slices ``slices`` of an image, and what each of their UIDs stands for."""

    slices: tuple[int, ...]
    datasets: list[Dataset]
    references: Mapping[str, Reference]

    @staticmethod
    def alone(image: Image, z: int) -> StandIns:
        """One frame that lies in no frame of reference."""
        return StandIns((z,), [_bare(image, z)], _references(image, [z]))


def placed(image: Image, slices: Sequence[int]) -> StandIns | None:
    """Parallel slices where they lie in the patient; None where the source does not say, or two lie at one place."""
    source = dicom_of(image)
    space = series_of(source.instance(0)).space
    found = [place_of(Frame(source.instance(z), source.frames[z][1]), z) for z in slices]
    places = [place for place in found if place is not None]
    positions = {tuple(place.position) for place in places}
    if space is None or _spacing(image) is None or len(positions) < len(found):
        return None
    if not all(place.parallel(places[0]) for place in places):
        return None
    datasets = [_placed(_bare(image, z), place, space) for z, place in zip(slices, places, strict=True)]
    for dataset in datasets:
        dataset.ImageOrientationPatient = datasets[0].ImageOrientationPatient
    return StandIns(tuple(slices), datasets, _references(image, slices))


def _placed(dataset: Dataset, place: Place, space: str) -> Dataset:
    dataset.SOPClassUID, dataset.FrameOfReferenceUID = MRImageStorage, space
    dataset.ImagePositionPatient = [_decimal(part) for part in place.position]
    dataset.ImageOrientationPatient = [_decimal(part) for part in (*place.rows_along, *place.columns_along)]
    return dataset


def _bare(image: Image, z: int) -> Dataset:
    header, dataset = dicom_of(image).instance(z), Dataset()
    for keyword in TYPE_2:
        setattr(dataset, keyword, "")
    dataset.SOPClassUID, dataset.SOPInstanceUID = UltrasoundImageStorage, _stand_in(z)
    of = series_of(header)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = of.study, of.series
    dataset.Modality = image.modality or "OT"
    dataset.Rows, dataset.Columns = image.height, image.width
    spacing = _spacing(image)
    if spacing is not None:
        dataset.PixelSpacing = [_decimal(part) for part in spacing]
    dataset.SliceThickness = _decimal(_thickness(image, z))
    for keyword in LOSSY:
        copy_to(dataset, header, keyword)
    return dataset


def _stand_in(z: int) -> str:
    return f"2.25.{z + 1}"


def _references(image: Image, slices: Iterable[int]) -> dict[str, Reference]:
    source = dicom_of(image)
    return {_stand_in(z): reference(source, z) for z in slices}


def _spacing(image: Image) -> tuple[float, float] | None:
    """Millimetres between rows and between columns: what places the source counts before what a caller said."""
    affine = image.source.affine if image.source else None
    if affine is not None:
        column, row = np.linalg.norm(affine[:3, :2], axis=0)
        return float(row), float(column)
    _, y, x = image.spacing
    return None if y is None or x is None else (y, x)


def _thickness(image: Image, z: int) -> float:
    source = dicom_of(image)
    frame = Frame(source.instance(z), source.frames[z][1])
    attribute(frame.group("PixelMeasuresSequence"), "SliceThickness")
    said = frame.number_of("PixelMeasuresSequence", "SliceThickness")
    return said if said is not None and plausible(said) else image.spacing[0] or NOMINAL_THICKNESS


def _decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)
