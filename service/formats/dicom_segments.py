"""Which segments an answer has: a finding is one where findings are counted, else a label is.

Findings of an abnormal structure are counted things, each a segment of its own that can be tracked. Tissue is not: all
of a label is one segment, as are findings too many to be tracked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.uid import UID

from service.engine import Answer
from service.errors import BadParameter
from service.formats.dicom_object import dicom_of, reference, uid, weights_digest
from service.image import Image
from service.manifest import Code, Label
from service.measure import Finding, found_components

ABNORMAL = "49755003"
# More fragments of one label than this are noise, and each would cost a viewer a row of its list.
MOST_COUNTED = 32
BREAST = ("76752008", "SCT", "Breast")
SIDES = {"L": ("7771000", "SCT", "Left"), "R": ("24028007", "SCT", "Right"), "B": ("51440002", "SCT", "Right and left")}


@dataclass(frozen=True)
class Segment:
    """One segment: ``number`` from 1 without gaps, the findings in it, and how it is tracked.

    ``rank`` is 1 for the largest counted finding of its label, 0 where the segment is all of a label.
    """

    number: int
    label: Label
    findings: tuple[Finding, ...]
    rank: int
    tracking_uid: UID

    @property
    def name(self) -> str:
        """What it is called and tracked by."""
        return f"{self.label.name} {self.rank}" if self.rank else self.label.name


def segments(answer: Answer) -> tuple[Segment, ...]:
    """Segments that have at least one voxel, label by label, the findings of one by falling size.

    Raises BadParameter with code ``needs_codes`` for a label that the manifest gives no codes.
    """
    groups = [(label, *group) for label in answer.manifest.labels for group in _groups(label, answer)]
    return tuple(
        Segment(number, label, found, rank, tracked(label, rank, answer))
        for number, (label, rank, found) in enumerate(groups, start=1)
    )


def segment_map(answer: Answer, parts: tuple[Segment, ...]) -> NDArray[np.uint16]:
    """Segment numbers on the image's grid (depth, height, width)."""
    numbers = {finding.id: part.number for part in parts for finding in part.findings}
    volume = np.zeros(answer.image.region.shape, np.uint16)
    for finding_id, (_, component) in enumerate(found_components(answer.result.mask, answer.image), start=1):
        for here, plane in zip(volume[component.region.slices], component.planes(), strict=True):
            here[plane > 0] = numbers[finding_id]
    return volume


def breast() -> CodedConcept:
    """The finding site, one of its own for each object: a concept is a data set, which its object may write into."""
    return CodedConcept(*BREAST)


def side_of(image: Image) -> CodedConcept | None:
    """Which breast; None where the source does not say."""
    side = SIDES.get(image.laterality or "")
    return None if side is None else CodedConcept(*side)


def concept(code: Code) -> CodedConcept:
    """A code of the manifest for highdicom."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def codes_of(label: Label) -> tuple[CodedConcept, CodedConcept]:
    """Category and type of a label. Raises BadParameter with code ``needs_codes`` where the manifest has none."""
    if label.category is None or label.type is None:
        raise BadParameter(
            f"label {label.name} without DICOM codes in the pipeline's manifest",
            "category and type of every label",
            "Ask for nifti or mask, or add the codes to the manifest.",
            "needs_codes",
        )
    return concept(label.category), concept(label.type)


def _groups(label: Label, answer: Answer) -> list[tuple[int, tuple[Finding, ...]]]:
    """Rank and findings of each segment of a label."""
    found = tuple(finding for finding in answer.findings if finding.label == label.name)
    if not found:
        return []
    category, _ = codes_of(label)
    if category.value == ABNORMAL and len(found) <= MOST_COUNTED:
        return [(rank, (finding,)) for rank, finding in enumerate(found, start=1)]
    return [(0, found)]


def tracked(label: Label, rank: int, answer: Answer) -> UID:
    """Tracking UID of a finding by its rank, or of a whole label (0): equal for equal instances and weights."""
    source, manifest = dicom_of(answer.image), answer.manifest
    instances = sorted({reference(source, z) for z in range(answer.image.depth)}, key=str)
    return uid("tracking", *instances, manifest.name, manifest.version, weights_digest(answer), label.name, rank)
