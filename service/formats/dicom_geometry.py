"""Slices in the patient: sorted along their normal, told apart by time, checked for even distances.

PS3.3 C.7.6.2.1.1: a voxel's place is its image position plus index times direction times spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import BadParameter, UnusableImage, counted
from service.formats.dicom_phases import Keys, phases_of, telling
from service.formats.functional_groups import Frame
from service.formats.lengths import FARTHEST_MM, plausible
from service.image import DepthAxis
from service.source import Affine, Flag

Vector = NDArray[np.float64]
# mm below which two slices lie at one place; share of the usual distance by which one may be off.
SAME_PLACE, UNEVEN = 1e-3, 0.05
# mm by which slices of several phases may be off each other, too, as long as that is such a share of the step.
PHASES_APART = 0.1
# How often its own thickness a slice may be away from the next one, and mm where its thickness is not known.
THICKNESSES_APART, FAR_APART = 3.0, 30.0
ORIENTATION_UNUSABLE = Flag(
    "orientation_unusable",
    "The file names a place in the patient that cannot be (axes of no unit length or at no right angle, or a place far"
    " away): it was looked at as one that names none.",
)
# Difference of direction cosines from which on two slices are not parallel, and how far their lengths may be off.
ANGLE, UNIT = 1e-3, 1e-3


@dataclass(frozen=True, eq=False)
class Place:
    """Where one frame lies. ``instance`` counts from 0, ``frame`` from 1.

    ``pixel`` is mm between (rows, columns), ``thickness`` mm across the slice, both None where unknown.
    """

    instance: int
    frame: int
    position: Vector
    rows_along: Vector
    columns_along: Vector
    pixel: tuple[float, float] | None
    phases: Keys
    thickness: float | None = None

    @property
    def normal(self) -> Vector:
        """Unit vector from slice to slice."""
        return np.cross(self.rows_along, self.columns_along)

    @property
    def distance(self) -> float:
        """mm along the normal."""
        return float(self.normal @ self.position)

    def parallel(self, other: Place) -> bool:
        """Whether both have one orientation and one pixel spacing."""
        known = (self.pixel is None) == (other.pixel is None)
        same = known and np.allclose(self.pixel or (0, 0), other.pixel or (0, 0), rtol=1e-3)
        turned = self.rows_along - other.rows_along, self.columns_along - other.columns_along
        return bool(same and np.abs(turned).max() < ANGLE)


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order along their normal, or, where all lie at one place, in order of time.

    ``step`` is mm between them, None for one slice or uneven ones; ``affine`` as in `service.source.Source`.
    """

    places: tuple[Place, ...]
    axis: DepthAxis
    step: float | None = None
    affine: Affine | None = None
    flags: tuple[Flag, ...] = ()
    phases: int = 1


def place_of(frame: Frame, instance: int) -> Place | None:
    """Where a frame lies, None where it does not say or says what cannot be."""
    position = frame.numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    axes = frame.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    return _place(frame, instance, position, axes)


def place_in_volume(frame: Frame, instance: int) -> Place | None:
    """Where a frame of an ultrasound volume lies in that volume (PS3.3 C.8.24.3), None as `place_of`."""
    position = frame.numbers("PlanePositionVolumeSequence", "ImagePositionVolume", 3)
    axes = frame.numbers("PlaneOrientationVolumeSequence", "ImageOrientationVolume", 6)
    return _place(frame, instance, position, axes)


def _place(frame: Frame, instance: int, position: Sequence[float] | None, axes: Sequence[float] | None) -> Place | None:
    if position is None or axes is None:
        return None
    rows_along, columns_along = np.array(axes[:3]), np.array(axes[3:])
    lengths = np.linalg.norm(rows_along), np.linalg.norm(columns_along)
    if np.abs(np.array(lengths) - 1).max() > UNIT or abs(rows_along @ columns_along) > UNIT:
        return None
    if max(map(abs, position)) > FARTHEST_MM:
        return None
    pixel = frame.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    usable = (pixel[0], pixel[1]) if pixel and all(map(plausible, pixel)) else None
    thick = frame.number_of("PixelMeasuresSequence", "SliceThickness")
    across = thick if thick and plausible(thick) else None
    return Place(
        instance, frame.number, np.array(position), rows_along, columns_along, usable, phases_of(frame), across
    )


def misplaced(frame: Frame, place: Place | None) -> bool:
    """Whether a frame says where it lies, and it cannot lie there."""
    said = (
        frame.value("PlanePositionSequence", "ImagePositionPatient"),
        frame.value("PlaneOrientationSequence", "ImageOrientationPatient"),
    )
    return place is None and None not in said


def stacked(places: Sequence[Place], phase: int | None) -> Stack:
    """Parallel places in order along their normal.

    Raises BadParameter where a phase must be chosen or is not there, UnusableImage when slices lie on each other and
    nothing tells them apart, or beside each other.
    """
    ordered = sorted(places, key=lambda one: one.distance)
    groups = _shifted_phases(ordered) or _at_one_place(ordered, SAME_PLACE)
    if len(groups) < len(ordered):
        groups = _by_phase(groups)
    count = len(groups[0])
    if len(groups) == 1 and count > 1 and phase is None:
        return Stack(tuple(groups[0]), "time", affine=_affine(ordered[0], ordered[0].normal))
    check_phase(phase, count)
    return _measured([group[phase or 0] for group in groups], count)


def check_phase(phase: int | None, count: int) -> None:
    """Raises BadParameter for a phase there is not, and where one of several must be named."""
    if phase is None and count > 1:
        raise BadParameter(
            f"{count} volumes at one place (time points, echoes or b-values)",
            "one of them",
            f"Choose one with the parameter `phase`, 0 to {count - 1}.",
            "needs_phase",
        )
    if phase is not None and phase >= count:
        raise BadParameter(f"phase={phase}", f"0 to {count - 1}", "Ask for a phase that the file has, or leave it out.")


def _shifted_phases(ordered: Sequence[Place]) -> list[list[Place]] | None:
    """Groups of slices a little off each other, None unless each holds one slice of each phase.

    The step is the widest distance there is, so that what lies evenly is never taken for phases.
    """
    steps = np.diff([one.distance for one in ordered])
    within = min(UNEVEN * float(steps.max(initial=0)), PHASES_APART)
    if within <= SAME_PLACE or not ((steps >= SAME_PLACE) & (steps < within)).any():
        return None
    groups = _at_one_place(ordered, within)
    alike = len({len(group) for group in groups}) == 1
    return groups if alike and telling([[one.phases for one in group] for group in groups]) else None


def _at_one_place(ordered: Sequence[Place], within: float) -> list[list[Place]]:
    groups: list[list[Place]] = []
    for one in ordered:
        if groups and one.distance - groups[-1][0].distance < within:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _by_phase(groups: Sequence[Sequence[Place]]) -> list[list[Place]]:
    """Each group sorted by what tells the slices of all groups apart."""
    if len({len(group) for group in groups}) == 1:
        key = telling([[one.phases for one in group] for group in groups])
        if key is not None:
            return [sorted(group, key=lambda one: key(one.phases)) for group in groups]
    slices, places = counted(sum(map(len, groups)), "slice"), counted(len(groups), "place")
    raise UnusableImage(
        f"{slices} at {places}, and nothing that tells them apart",
        "one slice at each place",
        "Send one time point or reconstruction alone.",
        "duplicate_positions",
    )


def _measured(places: Sequence[Place], phases: int) -> Stack:
    first, last = places[0], places[-1]
    if len(places) == 1:
        return Stack(tuple(places), "none", affine=_affine(first, first.normal), phases=phases)
    _check_aligned(places)
    steps = np.diff([one.distance for one in places])
    usual = float(np.median(steps))
    if (np.abs(steps - usual) > UNEVEN * usual).any():
        return Stack(tuple(places), "space", flags=(_uneven(steps, usual),), phases=phases)
    step = (last.position - first.position) / (len(places) - 1)
    return Stack(
        tuple(places), "space", float(steps.mean()), _affine(first, step), _far_apart(first, usual), phases=phases
    )


def _far_apart(first: Place, step: float) -> tuple[Flag, ...]:
    """Even distances say nothing of slices that are missing, where every second one is or there are but two."""
    most = FAR_APART if first.thickness is None else THICKNESSES_APART * first.thickness
    if step <= most:
        return ()
    thick = "" if first.thickness is None else f" and are {first.thickness:g} mm thick"
    text = f"Slices lie {step:g} mm apart{thick}: some may be missing, and a volume in ml counts what lies between."
    return (Flag("slices_far_apart", text),)


def _check_aligned(places: Sequence[Place]) -> None:
    """Raises UnusableImage when slices lie beside the line from the first to the last."""
    first, last = places[0], places[-1]
    along = (last.position - first.position) / (last.distance - first.distance)
    offsets = [one.position - first.position - along * (one.distance - first.distance) for one in places]
    room = min(first.pixel) if first.pixel else 1.0
    if max(float(np.linalg.norm(offset)) for offset in offsets) > room / 2:
        raise UnusableImage(
            "slices that lie beside each other", "slices one behind the other", "Send each stack alone.", "mixed_series"
        )


def _uneven(steps: Vector, usual: float) -> Flag:
    missing = int(sum(max(round(float(step) / usual) - 1, 0) for step in steps))
    what = f"{counted(missing, 'slice')} seem to be missing" if missing > 1 else "One slice seems to be missing"
    text = what if missing else "Slices lie at uneven distances"
    return Flag("uneven_slices", f"{text}: from slice to slice there is no one distance, so there is no volume in ml.")


def _affine(place: Place, step: Vector) -> Affine | None:
    if place.pixel is None:
        return None
    down, across = place.pixel
    affine = np.eye(4)
    affine[:3] = np.stack([place.rows_along * across, place.columns_along * down, step, place.position], axis=1)
    return affine
