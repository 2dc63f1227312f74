"""What fills the breast of a mammogram: fibroglandular tissue of a wanted density, ducts, ligaments, vessels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.mammogram_shape import Plane, Shape
from training.phantoms.texture import Field, bent, blurred, drawn, fractal, ridges, smooth, smoothstep, unit

Density = Literal["a", "b", "c", "d"]
# Share of the breast without pectoral muscle that is fibroglandular, by the names that BI-RADS gives to the four
# patterns. The limits are those of this phantom: BI-RADS has had no percentages since its fifth edition.
DENSITIES: Mapping[Density, tuple[float, float]] = {
    "a": (0.03, 0.12),
    "b": (0.12, 0.3),
    "c": (0.3, 0.5),
    "d": (0.5, 0.72),
}
SMALLEST = 0.004  # share of the breast; islands and holes below it are no region of their own
HEM = 0.012  # of the height: fat under the skin without glands


@dataclass(frozen=True, eq=False)
class Glands:
    """Fibroglandular tissue as it is projected.

    Attributes:
        region: bool (height, width), its extent.
        fullness: float32, negative outside the region and positive inside, the more the further from its border.
    """

    region: Plane
    fullness: Field


def gland_region(shape: Shape, density: float, rng: np.random.Generator) -> Glands:
    """Where fibroglandular tissue is: a share of ``density`` of the breast outside the muscle."""
    score = _likely(shape, rng) + _rough(shape, rng)
    breast = shape.inside & ~shape.pectoral
    depth = cv2.distanceTransform(shape.inside.astype(np.uint8), cv2.DIST_L2, 5) / len(score)
    score = np.asarray(score - 1.5 * np.exp(-depth / HEM), np.float32)
    room = breast & (depth > HEM / 2)
    wanted = density * breast.sum() / max(int(room.sum()), 1)
    limit = float(np.quantile(score[room], 1 - min(wanted, 1))) if room.any() else np.inf
    region = _tidied((score > limit) & room, SMALLEST * breast.sum())
    return Glands(region, np.asarray(score - limit, np.float32))


def _likely(shape: Shape, rng: np.random.Generator) -> Field:
    """High in a cone behind the nipple, which widens towards the chest and leans up or down."""
    height, width = shape.inside.shape
    x, y = shape.nipple
    back = rng.uniform(0.3, 0.62)
    centre = (x * (1 - back), y + height * rng.uniform(-0.1, 0.05))
    columns = (np.arange(width, dtype=np.float32)[None, :] - centre[0]) / (x * rng.uniform(0.5, 0.8))
    rows = (np.arange(height, dtype=np.float32)[:, None] - centre[1]) / (height * rng.uniform(0.17, 0.26))
    towards = rng.uniform(0.1, 0.4) * columns  # narrower in front
    return np.asarray(-2.2 * np.sqrt(columns**2 + (rows * (1 + np.clip(towards, -0.4, 0.6))) ** 2), np.float32)


def _rough(shape: Shape, rng: np.random.Generator) -> Field:
    size = shape.inside.shape
    broad = smooth(rng, size, (size[0] / 16, size[0] / 16))
    fine = fractal(rng, size, 3.4, 0.12)
    return np.asarray(rng.uniform(0.5, 1.0) * broad + rng.uniform(0.15, 0.35) * fine + 0.4 * ducts(shape, rng, 0.05))


def _tidied(region: Plane, smallest: float) -> Plane:
    """The region without islands and holes of fewer than ``smallest`` pixels, its border smoothed a little."""
    calm = cv2.GaussianBlur(region.astype(np.float32), (0, 0), 3.0) > 0.5
    return _without_specks(~_without_specks(~(calm & region), smallest), smallest)


def _without_specks(region: Plane, smallest: float) -> Plane:
    _, parts, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= smallest
    keep[0] = False
    return np.asarray(keep[parts])


def ducts(shape: Shape, rng: np.random.Generator, width: float) -> Field:
    """Unit noise stretched along the lines that run to the nipple; ``width`` is that of a strand, in radians."""
    height, columns = shape.inside.shape
    x, y = shape.nipple
    rows = np.arange(height, dtype=np.float32)[:, None] - y
    behind = x + 0.06 * height - np.arange(columns, dtype=np.float32)[None, :]
    angle = np.arctan2(rows, np.maximum(behind, 1)) / np.pi + 0.5  # 0 to 1, up to down
    radius = np.log1p(np.hypot(rows, behind) / (0.05 * height)) / np.log1p(30)
    table = smooth(rng, (512, 128), (512 * width / np.pi, rng.uniform(3, 5)))
    waves = 512 * 0.016 * smooth(rng, shape.inside.shape, (height / 22, height / 22))
    return np.asarray(
        cv2.remap(table, (radius * 127).astype(np.float32), (angle * 511 + waves).astype(np.float32), cv2.INTER_LINEAR),
        np.float32,
    )


def gland_texture(glands: Glands, shape: Shape, rng: np.random.Generator) -> Field:
    """Projected fibroglandular tissue, near 0 where there is none, about 1 on average inside the region.

    The region's border is where it becomes more than half; strands of it run out into the fat.
    """
    size = glands.region.shape
    height = size[0]
    web = filaments(shape, rng, ((0.12, 0.8), (0.07, 1.0), (0.04, 1.0), (0.024, 0.8)), rng.uniform(0.3, 0.55))
    frayed = glands.fullness + rng.uniform(0.05, 0.12) * fractal(rng, size, 3.8, 0.1) + rng.uniform(0.08, 0.25) * web
    edge = 1 / (1 + np.exp(-np.clip(frayed / rng.uniform(0.12, 0.3), -30, 30)))
    close = blurred(glands.region.astype(np.float32), 0.02 * height)
    edge *= np.clip(1.35 * close, 0.12 * close, 1)
    cloud = fractal(rng, size, rng.uniform(3.0, 3.5), 0.25)
    holes = smoothstep(np.asarray(smooth(rng, size, (height / 40, height / 40)) - rng.uniform(0.4, 1.4), np.float32))
    inside = 0.92 + rng.uniform(0.12, 0.22) * cloud + rng.uniform(0.1, 0.21) * web - 0.4 * holes
    return np.asarray(edge * np.clip(inside, 0.12, 1.9), np.float32)


def fat_texture(shape: Shape, rng: np.random.Generator) -> Field:
    """Strands and lobules in fat, as shares of the fat's attenuation: 0 on average, Cooper's ligaments above it."""
    size = shape.inside.shape
    height = size[0]
    strong = drawn(rng, (0.3, 1.0))
    web = filaments(shape, rng, ((0.1, 0.5), (0.06, 0.9), (0.034, 1.0), (0.02, 0.9)), rng.uniform(0.16, 0.3))
    septa = _ligaments(size, rng)
    grain = 0.012 * fractal(rng, size, 2.6, 0.05)
    vessels = _vessels(shape, rng) * drawn(rng, (0.04, 0.12)) * blurred(shape.thickness, height / 100)
    lines = strong * (0.07 * web + drawn(rng, (0.03, 0.09)) * (septa - septa.mean()))
    return np.asarray(0.045 * fractal(rng, size, 3.2, 0.3) + lines + grain + vessels, np.float32)


def filaments(shape: Shape, rng: np.random.Generator, scales: Sequence[tuple[float, float]], width: float) -> Field:
    """Unit web of curved strands of several sizes, stretched towards the nipple, here strong and there lost.

    ``scales`` are the size of a mesh in radians and its strength; ``width`` is a strand's share of a mesh.
    """
    size = shape.inside.shape
    total = np.zeros(size, np.float32)
    for mesh, strength in scales:
        lost = smoothstep(0.6 * smooth(rng, size, (size[0] / 24, size[0] / 24)) + 0.4)
        total += strength * ridges(ducts(shape, rng, mesh), width) * lost
    return unit(total)


def _ligaments(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Thin curved septa between lobules of fat, which know nothing of the nipple, bent, broken here and there."""
    height = size[0]
    bend = [height / 45 * smooth(rng, size, (height / 40, height / 40)) for _ in range(2)]
    webs = np.zeros(size, np.float32)
    for share, strength in ((22, 1.0), (40, 0.9)):
        lobules = bent(smooth(rng, size, (height / share, 1.25 * height / share)), bend[0], bend[1])
        broken = smoothstep(smooth(rng, size, (height / 28, height / 28)) * 0.6 + 0.3)
        webs += strength * ridges(lobules, 0.11) * broken
    return webs


def _vessels(shape: Shape, rng: np.random.Generator) -> Field:
    """A few winding lines from the chest towards the front, 0 to 1."""
    height, width = shape.inside.shape
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(2, 7)):
        steps = 60
        start = np.array([0.0, height * rng.uniform(0.15, 0.85)])
        heading = np.arctan2(shape.nipple[1] - start[1], shape.nipple[0]) + rng.uniform(-0.5, 0.5)
        turns = heading + 0.35 * smooth(rng, (steps,), (3,)) + 0.3 * smooth(rng, (steps,), (12,))
        stride = shape.nipple[0] * rng.uniform(0.5, 1.0) / steps
        path = start + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1) * stride, axis=0)
        thick = max(1, round(height * rng.uniform(0.001, 0.0035)))
        points = np.round(path * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, int(rng.integers(110, 255)), thick, cv2.LINE_AA, 4)
    return blurred(canvas.astype(np.float32) / 255, 1.0)


def muscle_texture(shape: Shape, rng: np.random.Generator) -> Field:
    """Fibres along the muscle's border, as shares of its attenuation, 0 on average."""
    size = shape.inside.shape
    height, width = size
    slant = rng.uniform(0.25, 0.75)
    noise = smooth(rng, (height, width + height), (height / 12, 3.5))
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :] + slant * rows
    map_x, map_y = np.broadcast_to(columns, size), np.broadcast_to(rows, size)
    fibres = cv2.remap(noise, np.ascontiguousarray(map_x), np.ascontiguousarray(map_y), cv2.INTER_LINEAR)
    return np.asarray(0.025 * fibres + 0.06 * fractal(rng, size, 3.2, 0.4), np.float32)


def labels(shape: Shape, glands: Plane) -> NDArray[np.uint8]:
    """0 background, 1 adipose, 2 fibroglandular, 3 pectoral muscle, uint8 (height, width)."""
    found = shape.inside.astype(np.uint8)
    found[glands] = 2
    found[shape.pectoral] = 3
    return found
