"""Stored frames to the voxels of an image: grey through its window, colour as RGB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.formats.dicom_display import display_of
from service.formats.dicom_layout import COLOUR, PALETTE, Layout
from service.formats.dicom_palette import coloured, palette_of
from service.formats.display import Display, Lut, VoiWindow
from service.formats.functional_groups import Frame
from service.formats.mapped import Voxels, mapped
from service.source import Flag


@dataclass(frozen=True, eq=False)
class View:
    """One frame's attributes, and whether its instance is in little endian: look-up tables are kept as bytes."""

    frame: Frame
    little: bool


@dataclass(frozen=True, eq=False)
class Frames:
    """Stored frames (rows, columns, samples) in the order of the image's depth, each decoded when it is asked for.

    Attributes:
        decoded: gives those of some numbers, one after the other.
        depth: how many there are.
        held: the numbers of those whose voxels are wanted.
    """

    decoded: Callable[[Sequence[int]], Iterator[NDArray[Any]]]
    depth: int
    held: range

    def wanted(self) -> NDArray[Any]:
        """Those held, as one array."""
        return filled(self.decoded(self.held), len(self.held))

    def others(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """All others with their numbers, one at a time: for what is said of a volume as a whole."""
        numbers = [z for z in range(self.depth) if z not in self.held]
        return zip(numbers, self.decoded(numbers), strict=True)


@dataclass(frozen=True, eq=False)
class Seen:
    """Voxels (slices held, height, width, channels), with notes on how they came about."""

    voxels: Voxels
    notes: tuple[str, ...]
    flags: tuple[Flag, ...] = ()


def filled(planes: Iterable[NDArray[Any]], count: int) -> NDArray[Any]:
    """``count`` frames (rows, columns, samples) as one array; one alone is not copied."""
    taken = iter(planes)
    first = next(taken)
    if count == 1:
        return first[np.newaxis]
    stored = np.empty((count, *first.shape), first.dtype)
    stored[0] = first
    for number, plane in enumerate(taken, start=1):
        stored[number] = plane
    return stored


def seen(frames: Frames, views: Sequence[View], layout: Layout, *, raw: bool) -> Seen:
    """The frames held as their windows show them, or with ``raw`` as they were measured.

    What is said of them is what would be said of the whole volume: of colours and of slices without a window all others
    are looked at too, as far as it takes.
    """
    if layout.photometric in COLOUR:
        return _colour(frames, layout)
    if layout.photometric == PALETTE:
        return _palette(frames, views, layout)
    found = [display_of(view.frame, layout, view.little) for view in views]
    flags = tuple(dict.fromkeys(flag for _, some in found for flag in some))
    displays = _one_depth([display for display, _ in found])
    stored, held = frames.wanted(), slice(frames.held.start, frames.held.stop)
    if raw:
        return Seen(_measured(stored, displays, held), ("values as measured, no window",), _without_windows(flags))
    displays = _spanning(stored, frames, displays)
    voxels = mapped(stored, tuple(display.shown for display in displays[held]), displays[0].dtype)
    return Seen(voxels, _notes(displays), flags)


def _one_depth(displays: Sequence[Display]) -> list[Display]:
    top = max(display.top for display in displays)
    return [replace(display, top=top) for display in displays]


def _measured(stored: NDArray[Any], displays: Sequence[Display], held: slice) -> Voxels:
    if not any(display.rescales for display in displays):
        return stored
    return mapped(stored, tuple(display.measured for display in displays[held]), np.dtype(np.float32))


def _without_windows(flags: Sequence[Flag]) -> tuple[Flag, ...]:
    return tuple(flag for flag in flags if flag.code not in ("no_window", "window_unusable", "voi_function_unknown"))


def _spanning(stored: NDArray[Any], frames: Frames, displays: Sequence[Display]) -> list[Display]:
    """Where there is no window, one span over all slices, so that they stay comparable."""
    if all(display.voi is not None for display in displays):
        return list(displays)
    planes = chain(zip(frames.held, stored, strict=True), frames.others())
    ends = [_ends(plane, displays[z].padding) for z, plane in planes]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return [display.spanning(low, high) for display in displays]


def _ends(plane: NDArray[Any], padding: tuple[int, int] | None) -> tuple[int, int]:
    if padding is not None:
        inside = plane[(plane < padding[0]) | (plane > padding[1])]
        plane = inside if inside.size else plane
    return int(plane.min()), int(plane.max())


def _notes(displays: Sequence[Display]) -> tuple[str, ...]:
    first = displays[0]
    said = [_modality(first), _voi(first)] if len({(_modality(one), _voi(one)) for one in displays}) == 1 else []
    notes = said or ["modality transformation and window of each slice"]
    if first.inverse:
        notes.append("inverted: low values are bright")
    if first.padding is not None:
        notes.append("padding shown black")
    return tuple(note for note in notes if note)


def _modality(display: Display) -> str:
    if display.modality is not None:
        return "modality LUT"
    return f"rescaled {display.slope:g} x + {display.intercept:g}" if display.rescales else ""


def _voi(display: Display) -> str:
    match display.voi:
        case Lut():
            return "VOI LUT"
        case VoiWindow(center, width, function):
            return f"window {function} {center:g}/{width:g}"
        case _:
            return "no window"


def _colour(frames: Frames, layout: Layout) -> Seen:
    """RGB in 8 or 16 bits, grey where all channels of all frames are equal."""
    shown = _eight_or_sixteen(frames.wanted(), layout)
    notes = () if layout.photometric == "RGB" else (f"{layout.photometric} converted to RGB",)
    others = (_eight_or_sixteen(plane, layout) for _, plane in frames.others())
    if all(map(_grey, chain(shown, others))):
        return Seen(np.ascontiguousarray(shown[..., :1]), (*notes, "equal channels kept as one"))
    return Seen(shown, notes)


def _eight_or_sixteen(stored: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """By the bits that are stored, wherever they lie: 8 of 16 bits give 8, and 5 of 8 are spread over 8."""
    shown = np.dtype(np.uint8 if layout.stored <= 8 else np.uint16)
    up = 8 * shown.itemsize - layout.stored
    if up == 0 and stored.dtype == shown:
        return stored
    wide = np.dtype(f"u{max(stored.dtype.itemsize, shown.itemsize)}")
    top = min((1 << layout.stored) - 1, np.iinfo(wide).max)
    within = np.minimum(stored.astype(wide, copy=False), wide.type(top))
    return np.asarray((within << wide.type(max(up, 0)) >> wide.type(max(-up, 0))).astype(shown))


def _grey(plane: NDArray[Any]) -> bool:
    return all(np.array_equal(plane[..., 0], plane[..., channel]) for channel in (1, 2))


def _palette(frames: Frames, views: Sequence[View], layout: Layout) -> Seen:
    instances = {id(view.frame.dataset): view for view in views}
    palettes = {key: palette_of(view.frame.dataset, layout, view.little) for key, view in instances.items()}
    grey = all(np.array_equal(one[0].entries, lut.entries) for one in palettes.values() for lut in one)
    used = [palettes[id(views[z].frame.dataset)][: 1 if grey else 3] for z in frames.held]
    voxels = np.stack([coloured(plane, palette) for plane, palette in zip(frames.wanted(), used, strict=True)])
    return Seen(voxels, ("palette expanded", *(("equal channels kept as one",) if grey else ())))
