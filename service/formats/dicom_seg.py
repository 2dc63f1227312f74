"""The mask as a DICOM Segmentation (PS3.3 A.51, C.8.20), on the frames of the source.

BINARY in explicit little endian by default, since every viewer shows that; LABELMAP, run-length compressed, on request.
highdicom is shown single-frame stand-ins with the source's geometry instead of the source itself: it takes only classes
it knows, wants attributes that real files lack, and copies values it then refuses. What they stand for is put in after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from service.engine import Answer
from service.errors import UnusableImage
from service.formats.dicom_object import NAME, Kind, SegType, describe, dicom_of, finish, weights_of
from service.formats.dicom_segments import Segment, breast, codes_of, segment_map, segments, side_of
from service.formats.dicom_stand_ins import StandIns, placed
from service.manifest import Label

KIND = Kind("SEG", 9001)


@dataclass(frozen=True, eq=False)
class Made:
    """A segmentation: as a data set for those who refer to it, and as a file. ``frames``: by segment, from 1."""

    dataset: Segmentation
    segments: tuple[Segment, ...]
    frames: Mapping[int, list[int]]
    content: bytes


def encode_seg(answer: Answer, seg_type: SegType = "binary") -> bytes:
    """The file; empty where there is nothing to segment, as DICOM knows no empty segment. Raises as `make_seg`."""
    made = make_seg(answer, seg_type)
    return made.content if made else b""


def make_seg(answer: Answer, seg_type: SegType = "binary") -> Made | None:
    """The segmentation, None where no label was found.

    Raises InputError with code ``needs_dicom``, BadParameter with code ``needs_codes``, and UnusableImage with code
    ``source_incomplete``, or ``needs_frame_of_reference`` where labels lie on several frames without one.
    """
    source, parts = dicom_of(answer.image), segments(answer)
    if not parts:
        return None
    volume = segment_map(answer, parts)
    stand_ins = _stand_ins(answer, volume)
    made = Segmentation(
        source_images=stand_ins.datasets,
        pixel_array=volume[list(stand_ins.slices)],
        segmentation_type=seg_type.upper(),
        segment_descriptions=[_description(part, answer) for part in parts],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="SEGMENTATION",
        content_description="Research use only, not a medical device",
        content_qualification="RESEARCH",
        **describe(answer, KIND),
    )
    frames = {part.number: _frames(made, part.number) for part in parts}
    if seg_type == "labelmap":
        # By name: left to choose, highdicom takes GDCM's encoder, which ends the process on frames of odd size.
        made.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return Made(made, parts, frames, finish(made, source, stand_ins.references))


def _stand_ins(answer: Answer, volume: NDArray[np.uint16]) -> StandIns:
    image = answer.image
    in_space = placed(image, range(image.depth))
    if in_space is not None:
        return in_space
    shown = [int(z) for z in np.flatnonzero(volume.any(axis=(1, 2)))]
    if len(shown) > 1:
        raise UnusableImage(
            f"labels on {len(shown)} frames that have no places of their own in a frame of reference",
            "labels on one such frame, since DICOM could not say how several lie to each other",
            "Ask for nifti or json, or for one frame with the parameter slice.",
            "needs_frame_of_reference",
        )
    return placed(image, shown) or StandIns.alone(image, shown[0])


def _frames(made: Segmentation, number: int) -> list[int]:
    """Frames, counted from 1, that show a segment."""
    groups = enumerate(made.PerFrameFunctionalGroupsSequence, start=1)
    if made.SegmentationType == "LABELMAP":
        planes = made.pixel_array.reshape(-1, made.Rows, made.Columns)
        return [frame for frame, plane in enumerate(planes, start=1) if (plane == number).any()]
    if "SegmentIdentificationSequence" in made.SharedFunctionalGroupsSequence[0]:
        return [frame for frame, _ in groups]
    named = ((frame, one.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for frame, one in groups)
    return [frame for frame, its in named if its == number]


def _description(part: Segment, answer: Answer) -> SegmentDescription:
    category, kind = codes_of(part.label)
    description = SegmentDescription(
        segment_number=part.number,
        segment_label=part.name,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="SEMIAUTOMATIC" if _guided(answer) else "AUTOMATIC",
        algorithm_identification=algorithm(answer),
        tracking_uid=part.tracking_uid,
        tracking_id=part.name,
        anatomic_regions=[breast()],
        display_color=_colour(part.label),
    )
    side = side_of(answer.image)
    if side is not None:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [side]
    return description


def _guided(answer: Answer) -> bool:
    """Whether a person gave boxes or points."""
    return any(stage.localisation == "given" for stage in answer.result.stages)


def algorithm(answer: Answer) -> AlgorithmIdentificationSequence:
    """Name, version and the digest of every weight file."""
    return AlgorithmIdentificationSequence(
        name=f"{NAME} {answer.manifest.name}",
        family=codes.DCM.ArtificialIntelligence,
        version=answer.manifest.version,
        source=NAME,
        parameters={f"sha256 {file}": digest for file, digest in weights_of(answer).items()},
    )


def _colour(label: Label) -> CIELabColor:
    return CIELabColor.from_rgb(*label.color)
