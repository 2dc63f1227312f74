"""Mammogram phantoms: whole pictures, drawn, seeded, with the exact truth of four tissues and of every finding.

They teach what no real data set here has outlines for. They are no evidence of quality: a network that does well on
them has shown nothing about patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from training.phantoms.film import Grey, Response, Scan, air, developed, eight_bits
from training.phantoms.mammogram_findings import ClusterRanges, MassRanges
from training.phantoms.mammogram_insert import Inserted, Ranges, Where, insert
from training.phantoms.mammogram_marks import digital_marks, film_marks
from training.phantoms.mammogram_shape import VIEWS, Shape, View, breast_shape
from training.phantoms.mammogram_tissue import (
    DENSITIES,
    Density,
    Glands,
    fat_texture,
    gland_region,
    gland_texture,
    labels,
    muscle_texture,
)
from training.phantoms.texture import check_choice, drawn

Look = Literal["film", "digital"]
LABELS = ("background", "adipose", "fibroglandular", "pectoral muscle")
SMALLEST = 160  # pixels; below it nothing of the texture is left
# Grey values where the breast is thickest; glands and muscle lie above fat by the second and third.
FAT, GLAND_ABOVE, MUSCLE_ABOVE = (96.0, 148.0), (34.0, 88.0), (74.0, 135.0)
BRIGHTEST = 240.0
AIR: Mapping[Look, tuple[float, float]] = {"film": (2.0, 18.0), "digital": (0.0, 1.5)}
MASSES, CLUSTERS = (0.4, 0.45, 0.15), (0.85, 0.15)  # how likely 0, 1, 2 masses and 0, 1 clusters are
DENSITY_NAMES: tuple[Density, ...] = get_args(Density)


@dataclass(frozen=True)
class Wish:
    """What a phantom shall be; what is left out is drawn.

    Attributes:
        view: ``CC`` or ``MLO``.
        density: ``a`` to ``d``, see `DENSITIES`.
        look: ``film`` or ``digital``.
        masses: how many, 0 to 3.
        clusters: of calcifications, 0 to 3.
        side: of the woman, ``L`` or ``R``; also of the marker that is burnt in.
        size: (height, width) in pixels.
    """

    view: View | None = None
    density: Density | None = None
    look: Look | None = None
    masses: int | None = None
    clusters: int | None = None
    side: Literal["L", "R"] | None = None
    size: tuple[int, int] = (960, 480)


@dataclass(frozen=True, eq=False)
class Mammogram:
    """A drawn mammogram and its truth.

    Attributes:
        image: uint8 (height, width).
        tissue: uint8 (height, width), index in `LABELS`; masses are fibroglandular, as the makers of the real masks
            have them.
        lesions: uint8 (height, width), 0, then 1, 2, ... for each finding's extent in the order of ``kinds``.
        kinds: margin of each mass, ``calcifications`` for a cluster.
        density: share of the breast without muscle that was drawn as fibroglandular before masses were added.
        metadata: what it is and how it was drawn, as text; always holds ``phantom: yes``.
    """

    image: Grey
    tissue: Grey
    lesions: Grey
    kinds: tuple[str, ...]
    density: float
    metadata: Mapping[str, str] = field(default_factory=dict)


def mammogram_phantom(seed: int, wish: Wish | None = None) -> Mammogram:
    """Draw one phantom; equal arguments give equal pixels.

    Raises:
        ValueError: for a size or a number of findings that cannot be drawn.
    """
    wish = wish or Wish()
    _check(wish)
    rng = np.random.default_rng(seed)
    view = wish.view or VIEWS[rng.integers(len(VIEWS))]
    look = wish.look or ("film" if rng.random() < 0.7 else "digital")
    side = wish.side or ("L" if rng.random() < 0.5 else "R")
    shape, glands, density = _anatomy(wish, view, rng)
    picture = _exposed(shape, glands, _scan(look, rng), rng)
    tissue = labels(shape, glands.region)
    findings = _findings(picture, tissue, _counts(wish, rng), rng)
    picture, tissue, lesions = _with_findings(picture, tissue, findings)
    turn = -1 if side == "R" else 1
    picture, tissue, lesions = (np.ascontiguousarray(plane[:, ::turn]) for plane in (picture, tissue, lesions))
    marks = film_marks if look == "film" else digital_marks
    image = marks(picture, tissue > 0, side + view, rng)
    kinds = tuple(one.kind for one in findings)
    facts = {"view": view, "look": look, "laterality": side, "density": f"{density:.3f}", "seed": str(seed)}
    return Mammogram(image, tissue, lesions, kinds, density, _metadata(kinds, facts))


def _check(wish: Wish) -> None:
    if min(wish.size) < SMALLEST:
        raise ValueError(f"Found size {wish.size}; wanted {SMALLEST} pixels each way or more. Give a larger one.")
    check_choice("view", wish.view, VIEWS)
    check_choice("density", wish.density, DENSITY_NAMES)
    check_choice("look", wish.look, get_args(Look))
    check_choice("side", wish.side, ("L", "R"))
    for name, count in (("masses", wish.masses), ("clusters", wish.clusters)):
        if count is not None and not 0 <= count <= 3:
            raise ValueError(f"Found {count} {name}; wanted 0 to 3. Give fewer.")


def _anatomy(wish: Wish, view: View, rng: np.random.Generator) -> tuple[Shape, Glands, float]:
    name = wish.density or DENSITY_NAMES[rng.choice(len(DENSITY_NAMES), p=(0.2, 0.35, 0.32, 0.13))]
    shape = breast_shape(wish.size, view, rng)
    wanted = drawn(rng, DENSITIES[name])
    glands = gland_region(shape, wanted, rng)
    breast = int((shape.inside & ~shape.pectoral).sum())
    return shape, glands, float(glands.region.sum() / max(breast, 1))


def _scan(look: Look, rng: np.random.Generator) -> Scan:
    if look == "film":
        return Scan(
            drawn(rng, AIR[look]), drawn(rng, (0.006, 0.022)), drawn(rng, (0.6, 1.2)), drawn(rng, (0.6, 1.5)), 1.0
        )
    return Scan(drawn(rng, AIR[look]), drawn(rng, (0.008, 0.025)), 0.45, drawn(rng, (0.3, 0.8)), 0.0)


def _exposed(shape: Shape, glands: Glands, scan: Scan, rng: np.random.Generator) -> Grey:
    """Grey values of breast and air, uint8; the marks are still missing."""
    response = Response()
    fat = drawn(rng, FAT)
    greys = [
        scan.air,
        fat,
        min(fat + drawn(rng, GLAND_ABOVE), BRIGHTEST),
        min(fat + drawn(rng, MUSCLE_ABOVE), BRIGHTEST),
    ]
    none, fatty, dense, muscle = response.attenuation(np.array(greys))
    mixture = (fatty - none) * (1 + fat_texture(shape, rng)) + (dense - fatty) * gland_texture(glands, shape, rng)
    pectoral = shape.muscle * (muscle - fatty) * (1 + muscle_texture(shape, rng))
    beam = shape.thickness * (mixture * (1 - 0.6 * shape.muscle) + 0.6 * shape.muscle * (fatty - none)) + pectoral
    beam += drawn(rng, (0.0, 0.13)) * (fatty - none) * shape.skin
    inside = developed(np.asarray(none + beam, np.float32), scan, rng)
    return eight_bits(np.asarray(np.where(shape.inside, inside, air(shape.inside.shape, scan, rng)), np.float32))


def _counts(wish: Wish, rng: np.random.Generator) -> tuple[int, int]:
    masses, clusters = int(rng.choice(3, p=MASSES)), int(rng.choice(2, p=CLUSTERS))
    return masses if wish.masses is None else wish.masses, clusters if wish.clusters is None else wish.clusters


def _findings(picture: Grey, tissue: Grey, counts: tuple[int, int], rng: np.random.Generator) -> list[Inserted]:
    """Masses, then clusters, each in the breast, out of the muscle and clear of the others."""
    found: list[Inserted] = []
    taken = tissue == LABELS.index("pectoral muscle")
    kinds: list[Ranges] = [MassRanges() for _ in range(counts[0])] + [ClusterRanges() for _ in range(counts[1])]
    for ranges in kinds:
        found.append(insert(picture, rng, ranges, Where(breast=tissue > 0, forbidden=taken)))
        picture, taken = found[-1].image, taken | (found[-1].region > 0)
    return found


def _with_findings(picture: Grey, tissue: Grey, findings: Sequence[Inserted]) -> tuple[Grey, ...]:
    lesions = np.zeros_like(tissue)
    tissue = tissue.copy()
    for number, one in enumerate(findings, start=1):
        picture = one.image
        lesions[one.region > 0] = number
        if one.kind != "calcifications":
            tissue[one.mask > 0] = LABELS.index("fibroglandular")
    return picture, tissue, lesions


def _metadata(kinds: Sequence[str], facts: Mapping[str, str]) -> dict[str, str]:
    return {
        "phantom": "yes",
        "modality": "MG",
        "lesions": ", ".join(kinds) or "none",
        **facts,
        "note": "Drawn by Breast Cascade; no patient was ever imaged.",
    }


def lesion_mask(phantom: Mammogram) -> NDArray[np.uint8]:
    """1 where any finding is, else 0, uint8 (height, width)."""
    return (phantom.lesions > 0).astype(np.uint8)
