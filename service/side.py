"""On which side of a picture the chest wall lies, for networks that know one side only.

The rule: the breast (`service.enhance.breast_mask` on the picture at no more than 512 pixels) touches the side whose
outer quarter holds clearly more of it. What the file says of the breast's side only confirms or disputes that, since
pictures of a right breast are found both ways round: of 206 films of CBIS-DDSM 157 hang as DICOM's usual hanging would
have them (left breast, chest wall at the left edge), of the 60 right ones of the tissue set 11. The rule finds the side
of the pectoral muscle in all 60 of these. Where the picture
does not tell, the file's word counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.enhance import breast_mask
from service.image import Image
from service.manifest import Edge, Window
from service.preprocess import grey, resize, windowed
from service.source import Flag

LONGEST = 512
# How many times more of the breast one outer quarter must hold than the other.
CLEARLY = 1.25
# The usual hanging: back to back, so that a left breast has its chest wall at the left edge.
HANGING: dict[str, Edge] = {"L": "left", "R": "right"}
SHAPE = Window(kind="percentile", low=0.5, high=99.5)


@dataclass(frozen=True)
class Side:
    """Where the chest wall lies and how that is known; whether the picture was mirrored for the networks."""

    chest_wall: Edge | None
    source: Literal["picture", "file", "none"]
    mirrored: bool
    flags: tuple[Flag, ...]


def side_of(image: Image, canonical: Edge) -> Side:
    """The side of an image of which networks know the ``canonical`` one."""
    seen, said = seen_side(image), HANGING.get(image.laterality or "")
    chest_wall = seen or said
    mirrored = chest_wall is not None and chest_wall != canonical
    source: Literal["picture", "file", "none"] = "picture" if seen else "file" if said else "none"
    return Side(chest_wall, source, mirrored, _flags(seen, said, image.laterality))


def seen_side(image: Image) -> Edge | None:
    """The edge that the breast touches in the middle slice; None where it is not clear."""
    field = image.field
    z = (field.z0 + field.z1) // 2
    _, rows, columns = field.slices
    breast = breast_mask(_small(image.slab(z, z + 1)[0][rows, columns]))
    quarter = max(1, breast.shape[1] // 4)
    left, right = int(breast[:, :quarter].sum()), int(breast[:, -quarter:].sum())
    if max(left, right) <= CLEARLY * min(left, right):
        return None
    return "left" if left > right else "right"


def _small(plane: NDArray[Any]) -> NDArray[np.uint8]:
    height, width = plane.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = grey(resize(plane.astype(np.float32), *size))
    return np.rint(windowed(small, SHAPE)[..., 0] * 255).astype(np.uint8)


def _flags(seen: Edge | None, said: Edge | None, laterality: str | None) -> tuple[Flag, ...]:
    if seen is None and said is None:
        text = "The picture does not show on which side its chest wall lies; it was looked at as it is."
        return (Flag("side_unknown", text),)
    if seen is not None and said is None:
        text = f"The file does not say which breast it shows: its chest wall was taken to lie at the {seen} edge."
        return (Flag("side_guessed", text),)
    if seen is not None and seen != said:
        text = (
            f"The file says laterality {laterality}, whose chest wall usually lies at the {said} edge, but the breast "
            f"touches the {seen} edge: that is what counted."
        )
        return (Flag("side_disputed", text),)
    return ()
