"""DICOM in: the frames of one instance, or the slices of one series, to an `Image`.

Everything is checked and sorted by the headers; pixels are decoded last, one instance at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from service.formats.dicom_facts import ASSUMED, facts_of
from service.formats.dicom_geometry import (
    ORIENTATION_UNUSABLE,
    Place,
    Stack,
    check_phase,
    misplaced,
    place_in_volume,
    place_of,
    stacked,
)
from service.formats.dicom_layout import Layout, layout
from service.formats.dicom_parse import Parsed, parse
from service.formats.dicom_pixels import check_packed, check_syntax, frames
from service.formats.dicom_spacing import Tissue, spacing_of, tissue_of
from service.formats.dicom_volume import Frames, View, seen
from service.formats.functional_groups import Frame, frames_of
from service.formats.guard import decoding
from service.formats.mapped import blackened, part_of
from service.formats.options import Options
from service.formats.orientation import OBLIQUE, is_straight
from service.image import DepthAxis, Image, Region
from service.source import DicomSource, Flag, Source

UNPLACED = Flag(
    "frames_unplaced", "The frames do not say how they lie to each other: each was looked at as a picture of its own."
)
IN_VOLUME = Flag(
    "volume_unplaced", "The frames lie in the scanner's own volume, not in the patient: nothing has a place there."
)
TIMES = ("FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate")


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame of one instance, with its place in the patient where it has one."""

    instance: int
    frame: Frame
    place: Place | None


@dataclass(frozen=True, eq=False)
class Material:
    """What an image is made of.

    Attributes:
        headers: of each instance.
        layouts: of each instance, alike in all but how many bits are stored.
        load: gives an instance with its pixels.
        shots: all frames.
        flags: raised so far.
    """

    headers: tuple[Parsed, ...]
    layouts: tuple[Layout, ...]
    load: Callable[[int], Parsed]
    shots: tuple[Shot, ...]
    flags: tuple[Flag, ...] = ()

    @property
    def layout(self) -> Layout:
        """What all instances share, with the most bits that any of them stores."""
        return replace(self.layouts[0], stored=max(one.stored for one in self.layouts))


@dataclass(frozen=True, eq=False)
class _Order:
    """The shots wanted, in the order of the image's depth."""

    shots: tuple[Shot, ...]
    axis: DepthAxis
    stack: Stack | None = None
    flags: tuple[Flag, ...] = field(default=())


def read_instance(content: bytes, options: Options) -> Image:
    """One DICOM file. Raises UnusableImage, UnknownFormat for its transfer syntax, TooLarge, BadParameter."""
    parsed = parse(content)
    found = laid_out(parsed, options)
    with decoding("DICOM"):
        shots = tuple(Shot(0, frame, place_of(frame, 0)) for frame in frames_of(parsed.dataset, found))
    return image_of(Material((parsed,), (found,), lambda _: parsed, shots), options)


def laid_out(parsed: Parsed, options: Options) -> Layout:
    """The checked layout of an instance whose pixels can be read here."""
    with decoding("DICOM"):
        found = layout(parsed)
    check_syntax(parsed.syntax, found)
    found.check(options.limits)
    check_packed(parsed.syntax, found, found.frames, parsed.packed)
    return found


def image_of(material: Material, options: Options) -> Image:
    """The image: frames put in order, decoded, seen through their windows."""
    with decoding("DICOM"):
        order = _ordered(material, options)
        if options.slice is None:
            options.limits.check_slices(len(order.shots))
        first = order.shots[0].frame
        facts = facts_of([shot.frame for shot in order.shots])
        tissue, tissue_flags = tissue_of(first.dataset, material.layout)
        spacing = spacing_of(first, tissue)
        depth, held = len(order.shots), options.held(len(order.shots))
        stored = Frames(lambda numbers: _decoded(material, [order.shots[z] for z in numbers]), depth, held)
        views = [View(shot.frame, material.headers[shot.instance].little) for shot in order.shots]
        shown = seen(stored, views, material.layout, raw=facts.modality in options.raw)
        seen_alone = tissue.regions if tissue and options.hide_outside else ()
        voxels = blackened(shown.voxels, seen_alone) if seen_alone else shown.voxels
        voxels, part = part_of(voxels, held, depth)
    assumed = tuple(ASSUMED for one in material.headers if one.assumed)
    nowhere = tuple(ORIENTATION_UNUSABLE for shot in order.shots if misplaced(shot.frame, shot.place))
    bent = _bent(order, material.layout)
    flags = (*assumed, *material.flags, *facts.flags, *tissue_flags, *spacing.flags, *nowhere, *order.flags, *bent)
    return Image(
        voxels,
        spacing=(order.stack.step if order.stack else None, *(spacing.plane or (None, None))),
        spacing_source=spacing.source,
        depth_axis=order.axis,
        modality=facts.modality,
        laterality=facts.laterality,
        view=facts.view,
        notes=(*shown.notes, *_region_note(tissue), *_phase_note(order, options)),
        focus=_focus(tissue, len(order.shots)),
        flags=tuple(dict.fromkeys((*flags, *shown.flags))),
        source=_source(material, order),
        held=part,
    )


def _ordered(material: Material, options: Options) -> _Order:
    """By place where all frames have one and are parallel; else as the file has them."""
    shots = material.shots
    places = [shot.place for shot in shots if shot.place is not None]
    if _make_a_stack(shots, places):
        return _by_place(shots, stacked(places, options.phase))
    known = [] if places else list(_in_volume(shots))
    if _make_a_stack(shots, known):
        stack = stacked(known, options.phase)
        return _by_place(shots, replace(stack, affine=None, flags=(*stack.flags, IN_VOLUME)))
    check_phase(options.phase, 1)
    if len(shots) == 1:
        return _Order(shots, "none", stacked(places, None) if places else None)
    timed = any(shots[0].frame.dataset.get(name) for name in TIMES) or shots[0].frame.dataset.get("Modality") == "US"
    return _Order(shots, "time") if timed else _Order(shots, "none", flags=(UNPLACED,))


def _make_a_stack(shots: Sequence[Shot], places: Sequence[Place]) -> bool:
    return len(places) == len(shots) > 1 and all(one.parallel(places[0]) for one in places)


def _bent(order: _Order, layout: Layout) -> tuple[Flag, ...]:
    affine = order.stack.affine if order.stack else None
    straight = affine is None or is_straight(affine, (layout.columns, layout.rows, len(order.shots)))
    return () if straight else (OBLIQUE,)


def _in_volume(shots: Sequence[Shot]) -> Iterator[Place]:
    """Up to the first one that lies nowhere."""
    for shot in shots:
        place = place_in_volume(shot.frame, shot.instance)
        if place is None:
            return
        yield place


def _by_place(shots: Sequence[Shot], stack: Stack) -> _Order:
    numbered = {(shot.instance, shot.frame.number): shot for shot in shots}
    chosen = tuple(numbered[one.instance, one.frame] for one in stack.places)
    return _Order(chosen, stack.axis, stack, stack.flags)


def _decoded(material: Material, shots: Sequence[Shot]) -> Iterator[NDArray[Any]]:
    """These frames in order, and of their instances no others."""
    if len(material.headers) == 1 and shots:
        yield from frames(material.load(0), material.layouts[0], [shot.frame.number - 1 for shot in shots])
        return
    for shot in shots:
        yield from frames(material.load(shot.instance), material.layouts[shot.instance], [0])


def _region_note(tissue: Tissue | None) -> tuple[str, ...]:
    return (f"ultrasound region {','.join(map(str, tissue.region.box))}",) if tissue else ()


def _phase_note(order: _Order, options: Options) -> tuple[str, ...]:
    return (f"phase {options.phase} of {order.stack.phases}",) if order.stack and order.stack.phases > 1 else ()


def _focus(tissue: Tissue | None, depth: int) -> Region | None:
    return Region(*tissue.region.box, 0, depth) if tissue else None


def _source(material: Material, order: _Order) -> Source:
    headers = tuple(one.dataset for one in material.headers)
    numbers = tuple((shot.instance, shot.frame.number) for shot in order.shots)
    affine = order.stack.affine if order.stack else None
    return Source("dicom", affine, DicomSource(headers, numbers))
