"""What NIfTI and NRRD have in common: a block of numbers in a file's own order, to an `Image` on a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import UnusableImage
from service.formats.mapped import mapped, part_of
from service.formats.options import Options
from service.formats.orientation import (
    AS_STORED,
    OBLIQUE,
    image_affine,
    is_straight,
    rectangular,
    spacing_of,
    turn_of,
)
from service.image import NO_SPACING, Image, Spacing, SpacingSource
from service.source import Affine, Flag, Source, SourceKind, Stored

ORIENTATION_UNKNOWN = Flag(
    "orientation_unknown", "The file does not say how its axes lie in the patient: slices are shown as they are stored."
)
SHEARED = Flag("sheared_grid", "The file's axes do not stand at right angles, so nothing is in mm.")


# All volumes of a file may have so many times what one may: those beside the one asked for must be passed over.
MOST_VOLUMES = 4
# Numbers that are checked at a time: they fit a processor's cache.
PIECE = 1 << 17


@dataclass(frozen=True, eq=False)
class Block:
    """A volume as its file holds it.

    Attributes:
        shape: the file's three spatial axes, fastest first.
        dtype: of one number, in the file's byte order.
        channels: 1 or 3, which lie together in the file.
        affine: from (i, j, k) to mm in RAS, None where the file does not place it.
        stored_affine: the same in the file's own unit.
        slope intercept: values are slope x stored + intercept.
        spacing: mm as (k, j, i) where there is no affine.
        header: for outputs.
        phase: which volume was chosen, None where there is one.
        phases: how many volumes there are.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    header: Any
    affine: Affine | None = None
    stored_affine: Affine = field(default_factory=lambda: np.eye(4))
    channels: int = 1
    slope: float = 1.0
    intercept: float = 0.0
    spacing: Spacing = NO_SPACING
    phase: int | None = None
    phases: int = 1
    flags: tuple[Flag, ...] = ()

    @property
    def count(self) -> int:
        """Numbers in one volume."""
        return int(np.prod(self.shape)) * self.channels

    @property
    def size(self) -> int:
        """Bytes of one volume."""
        return self.count * self.dtype.itemsize

    @property
    def start(self) -> int:
        """Where the chosen volume begins among all of them."""
        return (self.phase or 0) * self.size

    @property
    def total(self) -> int:
        """Bytes of all volumes."""
        return self.phases * self.size


@dataclass(frozen=True)
class _Scale:
    """Stored numbers to values in native byte order."""

    slope: float
    intercept: float
    dtype: np.dtype[Any]

    def __call__(self, plane: NDArray[Any]) -> NDArray[Any]:
        if (self.slope, self.intercept) == (1.0, 0.0):
            return plane.astype(self.dtype)
        return (plane.astype(np.float64) * self.slope + self.intercept).astype(self.dtype)


def image_of(
    kind: SourceKind, block: Block, read: Callable[[], bytes | bytearray | memoryview], options: Options
) -> Image:
    """The image of a block whose bytes ``read`` gives; limits are checked before it is called.

    Raises TooLarge, and UnusableImage with code ``too_small`` or ``not_finite``.
    """
    turn = AS_STORED if block.affine is None else turn_of(block.affine)
    depth, height, width = (block.shape[axis] for axis in turn[0])
    options.limits.check_pixels(width, height)
    options.limits.check_sides(width, height)
    options.limits.check_volume(max(block.size, block.total // MOST_VOLUMES))
    stored = Stored(block.shape, *turn, block.stored_affine, block.header, block.phase)
    held = options.held(depth)
    numbers, scale = np.frombuffer(read(), block.dtype, block.count), _scale(block)
    _check_finite(numbers, scale)
    turned = stored.turned(np.moveaxis(numbers.reshape((block.channels, *block.shape), order="F"), 0, -1))
    voxels, part = part_of(mapped(turned[held.start : held.stop], (scale,), scale.dtype), held, depth)
    spacing, source, flags = _spacing(kind, block)
    return Image(
        voxels,
        spacing=spacing,
        spacing_source=source,
        depth_axis="space" if depth > 1 else "none",
        notes=_notes(block),
        flags=(*block.flags, *flags),
        source=Source(kind, _affine(block, turn), stored=stored),
        held=part,
    )


def _affine(block: Block, turn: Any) -> Affine | None:
    return None if block.affine is None else image_affine(block.affine, turn, block.shape)


def _spacing(kind: SourceKind, block: Block) -> tuple[Spacing, SpacingSource, tuple[Flag, ...]]:
    source: SpacingSource = "nrrd" if kind == "nrrd" else "nifti"
    if block.affine is None:
        known = block.spacing if block.spacing != NO_SPACING else None
        return known or NO_SPACING, source if known else "none", (ORIENTATION_UNKNOWN,)
    if not rectangular(block.affine):
        return NO_SPACING, "none", (SHEARED,)
    bent = () if is_straight(block.affine, block.shape) else (OBLIQUE,)
    return spacing_of(block.affine, turn_of(block.affine)), source, bent


def _scale(block: Block) -> _Scale:
    scaled = (block.slope, block.intercept) != (1.0, 0.0)
    dtype = np.dtype(np.float32) if scaled or block.dtype.kind == "f" else block.dtype.newbyteorder("=")
    return _Scale(block.slope, block.intercept, dtype)


def _check_finite(numbers: NDArray[Any], scale: _Scale) -> None:
    """In the file's order, which is the fastest, a piece at a time. Of all slices, whichever are looked at."""
    if scale.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        pieces = (numbers[start : start + PIECE] for start in range(0, numbers.size, PIECE))
        finite = all(np.isfinite(scale(piece)).all() for piece in pieces)
    if not finite:
        raise UnusableImage(
            "values that are not finite", "finite values", "Replace NaN and infinite values.", "not_finite"
        )


def _notes(block: Block) -> tuple[str, ...]:
    scaled = (block.slope, block.intercept) != (1.0, 0.0)
    notes = [f"scaled {block.slope:g} x + {block.intercept:g}"] if scaled else []
    return (*notes, *([f"phase {block.phase}"] if block.phase is not None else []))
