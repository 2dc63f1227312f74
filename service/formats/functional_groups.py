"""Attributes of one frame: in enhanced DICOM they stand in functional groups, in classic DICOM in the data set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset

from service.formats.dicom_layout import Layout
from service.formats.guard import malformed

# In classic DICOM the Image Plane module is of instances with a single frame (PS3.3 C.7.6.2), though many writers put
# one position before several frames.
OF_ONE_FRAME = ("PlanePositionSequence",)


@dataclass(frozen=True, eq=False, repr=False)
class Frame:
    """One frame of an instance, ``number`` 1-based."""

    dataset: Dataset
    number: int

    def group(self, macro: str) -> Dataset:
        """The macro's item for this frame, the one all frames share, or the data set itself where it can be of one."""
        for groups in (self._own(), self.dataset.get("SharedFunctionalGroupsSequence")):
            sequence = groups[0].get(macro) if groups else None
            if sequence:
                item: Dataset = sequence[0]
                return item
        several = macro in OF_ONE_FRAME and int(self.dataset.get("NumberOfFrames") or 1) > 1
        return Dataset() if several else self.dataset

    def value(self, macro: str, name: str) -> Any:
        """An attribute of a macro, None where it is missing or empty."""
        value = self.group(macro).get(name)
        return None if value is None or value == "" or value == [] else value

    def numbers(self, macro: str, name: str, count: int) -> tuple[float, ...] | None:
        """``count`` finite numbers, None where they are not there."""
        value = self.value(macro, name)
        values = [value] if isinstance(value, int | float | str) else list(value or ())
        try:
            found = tuple(float(one) for one in values)
        except (TypeError, ValueError):
            return None
        return found if len(found) == count and all(map(math.isfinite, found)) else None

    def number_of(self, macro: str, name: str) -> float | None:
        """One finite number, the first where several stand, None where there is none."""
        value = self.value(macro, name)
        first = value if isinstance(value, int | float | str) or value is None else next(iter(value), None)
        try:
            found = math.nan if first is None else float(first)
        except (TypeError, ValueError):
            return None
        return found if math.isfinite(found) else None

    def _own(self) -> list[Dataset] | None:
        sequence = self.dataset.get("PerFrameFunctionalGroupsSequence")
        return [sequence[self.number - 1]] if sequence else None


def frames_of(dataset: Dataset, layout: Layout) -> list[Frame]:
    """All frames. Raises UnusableImage when their functional groups are not one for each."""
    described = dataset.get("PerFrameFunctionalGroupsSequence")
    if described and len(described) < layout.frames:
        raise malformed("DICOM", f"that describes {len(described)} of its {layout.frames} frames")
    return [Frame(dataset, number) for number in range(1, layout.frames + 1)]
