"""Augmentation: what differs between a clean picture and somebody else's, a screenshot of ultrasound above all.

All functions take and give pictures (height, width) or (height, width, 3) and label maps of the same size, and draw
from the generator they are given. They act on source pixels, before `service.preprocess.prepare`, so that the network
sees nothing that serving could not produce. Changes of grey values need uint8; `in_eight_bits` lends it to other types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.image import Region
from service.manifest import Frozen

Grey = NDArray[np.uint8]
GENTLE = 1 / 3
LONGEST = 448
CHARACTERS = np.array(list("ABCDEFGHIKLMNOPRSTUVXYZ0123456789.:-/ "))


class Strength(Frozen):
    """How far augmentation goes.

    Attributes:
        scale: factor range of the shown size (0.6 shows more than the region, with black around the picture).
        stretch: greatest change of aspect ratio, as a factor above 1.
        shift: of the region, fraction of its side.
        rotation: degrees either way.
        gentle: probability that scale, shift and rotation go only a third of that far, so that pictures as they come
            stay the most frequent ones.
        echo: probability that the lesion's own brightness changes against its surroundings.
        photometric: probability of each change of grey values.
        burn_in: probability of each kind of burnt-in mark.
        flips: probability of being mirrored left to right, and top to bottom.
        light: probability of another brightness and contrast, as far as ``light_range`` either way.
        noise: probability of Gaussian noise.
        paste: probability that another case's lesion is pasted in (`training.transplant`).
        elastic: probability of a soft deformation (there, too).
    """

    scale: tuple[float, float] = (0.6, 1.6)
    stretch: float = 1.2
    shift: float = 0.1
    rotation: float = 12.0
    gentle: float = 0.5
    echo: float = 0.2
    photometric: float = 0.35
    burn_in: float = 0.3
    flips: tuple[float, float] = (0.5, 0.0)
    light: float = 0.0
    light_range: float = 0.2
    noise: float = 0.0
    paste: float = 0.0
    elastic: float = 0.0


NONE = Strength(scale=(1, 1), stretch=1, shift=0, rotation=0, gentle=0, echo=0, photometric=0, burn_in=0, flips=(0, 0))


@dataclass(frozen=True, eq=False)
class Geometry:
    """How source pixels come to lie in a view: ``matrix`` 2 x 3, ``size`` (width, height) of the view."""

    matrix: NDArray[np.float64]
    size: tuple[int, int]

    @property
    def mirrored(self) -> bool:
        """Whether left and right have changed places."""
        return bool(self.matrix[0, 0] < 0)

    def warp(self, plane: NDArray[Any], *, labels: bool = False) -> NDArray[Any]:
        """A plane seen so: between its pixels linearly, or the nearest of ``labels``; outside the picture is 0."""
        method = cv2.INTER_NEAREST if labels else cv2.INTER_LINEAR
        source = plane if plane.dtype in (np.uint8, np.uint16, np.int16, np.float32) else plane.astype(np.float32)
        return np.asarray(cv2.warpAffine(source, self.matrix, self.size, flags=method, borderMode=cv2.BORDER_CONSTANT))


def view(image: Grey, mask: Grey, region: Region, strength: Strength, rng: np.random.Generator) -> tuple[Grey, Grey]:
    """What is seen when ``region`` is looked at through a random flip, scale, stretch, shift and rotation.

    The result has about the region's own size in pixels, at most 448 on the longer side; outside the picture is 0.
    """
    seen = geometry(region, strength, rng)
    return seen.warp(image), seen.warp(mask, labels=True)


def geometry(region: Region, strength: Strength, rng: np.random.Generator, longest: int = LONGEST) -> Geometry:
    """A random view of ``region``, of about its own size in pixels, at most ``longest`` on the longer side."""
    cap = min(1.0, longest / max(region.width, region.height))
    size = max(8, round(region.width * cap)), max(8, round(region.height * cap))
    return Geometry(_affine(region, size, strength, rng), size)


def _affine(region: Region, size: tuple[int, int], strength: Strength, rng: np.random.Generator) -> NDArray[np.float64]:
    """2 x 3 map from source pixels to a view of ``size`` (width, height)."""
    reach = GENTLE if rng.random() < strength.gentle else 1.0
    low, high = np.log(strength.scale)
    zoom = np.exp(reach * rng.uniform(low, high))
    stretch = np.exp(rng.uniform(-1, 1) * np.log(strength.stretch))
    horizontal, vertical = strength.flips
    # One draw at one half, as ever: recipes of old see the same pictures.
    mirror = rng.choice((-1, 1)) if horizontal == 0.5 else _sign(horizontal, rng)
    sx = zoom * stretch * size[0] / region.width * mirror
    sy = zoom / stretch * size[1] / region.height * _sign(vertical, rng)
    angle = reach * np.deg2rad(rng.uniform(-strength.rotation, strength.rotation))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([sx, sy])
    centre = np.array([region.left + region.right - 1, region.top + region.bottom - 1]) / 2
    centre += reach * rng.uniform(-strength.shift, strength.shift, 2) * (region.width, region.height)
    middle = (np.array(size) - 1) / 2
    return np.column_stack([linear, middle - linear @ centre])


def _sign(probability: float, rng: np.random.Generator) -> int:
    """-1 with ``probability``, else 1; draws nothing where it cannot happen."""
    return -1 if probability and rng.random() < probability else 1


def in_eight_bits(picture: NDArray[Any], change: Callable[[Grey], Grey]) -> NDArray[Any]:
    """``change`` on a picture of any real type: between its least and its greatest value lie 256 grey values."""
    if picture.dtype == np.uint8:
        return change(picture)
    low, high = float(picture.min()), float(picture.max())
    step = (high - low) / 255 or 1.0
    changed = change(np.round((picture - low) / step).astype(np.uint8))
    return (low + changed.astype(np.float32) * np.float32(step)).astype(picture.dtype)


def light(image: Grey, strength: Strength, rng: np.random.Generator) -> Grey:
    """Another brightness and contrast, and Gaussian noise, each with its probability."""
    if strength.light and rng.random() < strength.light:
        contrast, brightness = rng.uniform(-strength.light_range, strength.light_range, 2)
        image = _table(image, np.arange(256) * (1 + contrast) + 255 * brightness)
    if strength.noise and rng.random() < strength.noise:
        spread = np.float32(rng.uniform(3, 7))
        grains = rng.standard_normal(image.shape, np.float32)
        image = np.clip(image + spread * grains, 0, 255).astype(np.uint8)
    return image


def lesion_echo(image: Grey, mask: Grey, probability: float, rng: np.random.Generator) -> Grey:
    """Brighten or darken the lesion against its surroundings, with ``probability``.

    Most lesions of public sets are darker than the tissue around them; the few isoechoic and hyperechoic ones are what
    networks trained on those sets miss.
    """
    if rng.random() >= probability or not mask.any():
        return image
    soft = _beside(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), rng.uniform(0.8, 3.0)), image)
    inside, around = float(image[mask > 0].mean()), float(image[mask == 0].mean()) if (mask == 0).any() else 0.0
    wanted = rng.uniform(0.4, 1.5) * max(around, 10.0)
    changed = image * np.float32(np.clip(wanted / max(inside, 8.0), 0.5, 3.0))
    return np.asarray(np.clip(image * (1 - soft) + changed * soft, 0, 255), np.uint8)


def photometric(image: Grey, probability: float, rng: np.random.Generator) -> Grey:
    """Gamma, gain, depth gain, blur, low resolution, speckle and shadow, each with ``probability``."""
    for change in (_gamma, _gain, _depth_gain, _blur, _low_resolution, _speckle, _shadow):
        if rng.random() < probability:
            image = change(image, rng)
    return image


def _beside(plane: NDArray[Any], image: Grey) -> NDArray[Any]:
    """A plane (height, width) shaped so that it acts on all channels of ``image``."""
    return plane if image.ndim == plane.ndim else plane[..., None]


def _table(image: Grey, curve: NDArray[np.float64]) -> Grey:
    return np.asarray(cv2.LUT(image, np.clip(curve, 0, 255).astype(np.uint8)), np.uint8)


def _gamma(image: Grey, rng: np.random.Generator) -> Grey:
    return _table(image, 255 * np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.6, 0.6)))


def _gain(image: Grey, rng: np.random.Generator) -> Grey:
    return _table(image, np.arange(256) * rng.uniform(0.6, 1.5) + rng.uniform(-25, 25) * (np.arange(256) > 0))


def _depth_gain(image: Grey, rng: np.random.Generator) -> Grey:
    ramp = np.exp(np.linspace(-1, 1, image.shape[0], dtype=np.float32) * np.float32(rng.uniform(-0.5, 0.5)))
    return np.asarray(np.clip(image * _beside(ramp[:, None], image), 0, 255), np.uint8)


def _blur(image: Grey, rng: np.random.Generator) -> Grey:
    sigma = rng.uniform(0.4, 1.0) * max(image.shape) / 256
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma * rng.uniform(0.7, 1.5), sigmaY=sigma), np.uint8)


def _low_resolution(image: Grey, rng: np.random.Generator) -> Grey:
    height, width = image.shape[:2]
    factor = rng.uniform(0.3, 0.7)
    small = cv2.resize(image, (max(4, int(width * factor)), max(4, int(height * factor))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _speckle(image: Grey, rng: np.random.Generator) -> Grey:
    height, width = image.shape[:2]
    coarse = rng.uniform(1.0, 2.5)
    noise = rng.standard_normal((max(2, int(height / coarse)), max(2, int(width / coarse))), np.float32)
    field = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(rng.uniform(0.08, 0.25))
    return np.asarray(np.clip(image * _beside(1 + field, image), 0, 255), np.uint8)


def _shadow(image: Grey, rng: np.random.Generator) -> Grey:
    """A column darkened from some depth downwards, as below calcification or poor contact."""
    height, width = image.shape[:2]
    x = np.arange(width, dtype=np.float32)
    depth = rng.uniform(0.3, 0.8) * np.exp(-(((x - rng.uniform(0, width)) / (width * rng.uniform(0.02, 0.1))) ** 2))
    below = np.arange(height)[:, None] >= rng.integers(0, max(1, height // 2))
    return np.asarray(image * _beside(np.where(below, 1 - depth, 1), image), np.uint8)


def burn_in(image: Grey, mask: Grey, probability: float, rng: np.random.Generator) -> Grey:
    """Calipers on the lesion, text and a bar along an edge, each with ``probability``; the mask stays as it is."""
    image = image.copy()
    if rng.random() < probability:
        _calipers(image, mask, rng)
    if rng.random() < probability:
        _text(image, rng)
    if rng.random() < probability / 2:
        _bar(image, rng)
    return image


def _calipers(image: Grey, mask: Grey, rng: np.random.Generator) -> None:
    """Two crosses at the ends of a dotted line: across the lesion, or where there is none at a random place."""
    points = np.argwhere(mask)
    if len(points):
        ends = points[[points[:, 1].argmin(), points[:, 1].argmax()]] if rng.random() < 0.6 else points[[0, -1]]
    elif rng.random() < 0.3:
        ends = rng.integers(0, image.shape[:2], (2, 2))
    else:
        return
    grey, arm = int(rng.integers(160, 256)), int(rng.integers(3, 8))
    (y0, x0), (y1, x1) = ends.tolist()
    for x, y in ((x0, y0), (x1, y1)):
        shape = cv2.MARKER_CROSS if rng.random() < 0.7 else cv2.MARKER_TILTED_CROSS
        cv2.drawMarker(image, (x, y), (grey,) * 3, shape, 2 * arm)
    if rng.random() < 0.7:
        for t in np.linspace(0, 1, int(rng.integers(8, 30))):
            cv2.circle(image, (int(x0 + t * (x1 - x0)), int(y0 + t * (y1 - y0))), 0, (grey,) * 3, -1)


def _text(image: Grey, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        words = "".join(rng.choice(CHARACTERS, int(rng.integers(2, 14))))
        place = int(rng.integers(0, max(1, width - 20))), int(rng.integers(10, max(11, height)))
        size = rng.uniform(0.25, 0.6) * max(width, 160) / 256
        ink = (int(rng.integers(140, 256)),) * 3
        cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)


def _bar(image: Grey, rng: np.random.Generator) -> None:
    """Cover a strip along one edge: the frame of a viewer, a grey wedge, an empty margin."""
    turned = np.rot90(image, int(rng.integers(0, 4)))
    strip = turned[: max(1, int(turned.shape[0] * rng.uniform(0.02, 0.12)))]
    wedge = np.linspace(0, 255, strip.shape[1]).astype(np.uint8)
    strip[:] = _beside(wedge, strip[0]) if rng.random() < 0.2 else int(rng.choice((0, 0, 40)))
