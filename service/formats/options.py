"""What a caller may say about a file beside its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import BadParameter
from service.formats.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True)
class Options:
    """How to read a file; everything may be left out.

    Attributes:
        limits: what is refused before it is decoded.
        slice: the one slice or frame to look at, 0-based.
        around: how many slices on each side of it are needed, too; None for all. No others are decoded.
        phase: which volume of several (time points, echoes), 0-based.
        spacing: mm as (y, x) or (z, y, x), in the place of what the file says.
        raw: modalities whose values are wanted as they were measured and not as a window shows them.
        whole: look at the whole picture, also where an ultrasound region is marked.
        hide_outside: black out what lies outside of the ultrasound region, burnt-in text with it.
    """

    limits: Limits = DEFAULT_LIMITS
    slice: int | None = None
    around: int | None = None
    phase: int | None = None
    spacing: tuple[float, ...] | None = None
    raw: frozenset[str | None] = frozenset()
    whole: bool = False
    hide_outside: bool = False

    def held(self, depth: int) -> range:
        """The slices of so many that are wanted. Raises BadParameter for a slice that is not there."""
        if self.slice is None:
            return range(depth)
        if self.slice >= depth:
            raise BadParameter(
                f"slice={self.slice}",
                f"0 to {depth - 1}",
                "Ask for a slice that is there, or leave the parameter out.",
            )
        reach = depth if self.around is None else self.around
        return range(max(0, self.slice - reach), min(depth, self.slice + reach + 1))
