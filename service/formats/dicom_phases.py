"""What tells slices at one place apart: b-value, time point, echo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from service.formats.functional_groups import Frame

# (macro, attribute) after the b-value, the surest first: what was asked for goes before when it was done, since slices
# may be acquired in any order.
PHASES = (
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("FrameContentSequence", "TemporalPositionIdentifier"),
    ("FrameContentSequence", "FrameAcquisitionNumber"),
    ("FrameContentSequence", "AcquisitionNumber"),
    ("MREchoSequence", "EffectiveEchoTime"),
    ("MREchoSequence", "EchoTime"),
    ("FrameContentSequence", "TriggerTime"),
    ("FrameContentSequence", "AcquisitionTime"),
)
DIFFUSION = "MRDiffusionSequence"

Keys = tuple[Any, ...]


def phases_of(frame: Frame) -> Keys:
    """One key for each attribute that may tell the frame apart, None where it is missing."""
    return (_diffusion(frame), *(frame.value(*one) for one in PHASES))


def telling(groups: Sequence[Sequence[Keys]]) -> Callable[[Keys], Any] | None:
    """What sorts each group of slices at one place: as many of the first known keys as it takes to tell them apart.

    None where all of them together do not.
    """
    known = [key for key in range(len(groups[0][0])) if all(one[key] is not None for group in groups for one in group)]
    for count in range(1, len(known) + 1):
        pick = itemgetter(*known[:count])
        if all(len({str(pick(one)) for one in group}) == len(group) for group in groups):
            return pick
    return None


def _diffusion(frame: Frame) -> tuple[float, tuple[float, ...]] | None:
    """b-value in s/mm2 and direction of the gradient, none for b = 0 and for traces (PS3.3 C.8.13.5.9)."""
    b_value = frame.number_of(DIFFUSION, "DiffusionBValue")
    if b_value is None:
        return None
    item = frame.group(DIFFUSION)
    (inner, *_) = item.get("DiffusionGradientDirectionSequence") or (item,)
    return b_value, Frame(inner, 1).numbers("", "DiffusionGradientOrientation", 3) or ()
