"""What a caller may say about a file beside its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from service.formats.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True)
class Options:
    """How to read a file; everything may be left out.

    Attributes:
        limits: what is refused before it is decoded.
        slice: the one slice or frame to look at, 0-based.
        phase: which volume of several (time points, echoes), 0-based.
        spacing: mm as (y, x) or (z, y, x), in the place of what the file says.
        raw: modalities whose values are wanted as they were measured and not as a window shows them.
        whole: look at the whole picture, also where an ultrasound region is marked.
        hide_outside: black out what lies outside of the ultrasound region, burnt-in text with it.
    """

    limits: Limits = DEFAULT_LIMITS
    slice: int | None = None
    phase: int | None = None
    spacing: tuple[float, ...] | None = None
    raw: frozenset[str | None] = frozenset()
    whole: bool = False
    hide_outside: bool = False
