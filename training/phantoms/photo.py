"""Photograph phantoms: a torso as clinical photographs show it, drawn from a height field, with the exact truth.

    breast-cascade-train phantoms photo -n 200 -o phantoms_photo

The folder is laid out as `training.datasets.photographs` reads it: ``images/``, ``masks/`` and ``depth/``. Nobody was
ever photographed. A network that does well on them has shown nothing about patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.datasets.photographs import SIDES
from training.phantoms.photo_arms import with_arms
from training.phantoms.photo_body import NAVEL, POSES, Build, Pose, chest_wall, drawn_build, torso_surface
from training.phantoms.photo_breast import Breast, Mound, areola_distance, drawn_pair, mound
from training.phantoms.photo_light import Lamp, drawn_camera, drawn_lamp, lit, over, photographed, shadow_on_wall
from training.phantoms.photo_scene import Layer, background, hair, trousers
from training.phantoms.photo_skin import drawn_tone, skin
from training.phantoms.photo_view import Plane, Surface, View, look_at
from training.phantoms.ultrasound import save_png

Labels = NDArray[np.uint8]
# Grey of each of `SIDES` in the masks that are written.
GREYS = {50 * label: name for label, name in enumerate(SIDES)}
BODY, BREASTS, NIPPLES = 1, {1: 2, -1: 3}, {1: 4, -1: 5}
SMALLEST = 96
# (height, width) of what is written, for a longer side of 512: square, landscape, portrait.
SHAPES = ((512, 512), (384, 512), (432, 512), (512, 384), (512, 432))
NAME = "photo_phantom_{:06d}"


@dataclass(frozen=True, eq=False)
class Photo:
    """A drawn photograph and its truth.

    Attributes:
        image: uint8 (height, width, 3), red first.
        labels: uint8 (height, width), indices of `SIDES`. Hair and clothes are background, a nipple has its areola.
        distance: float32 (height, width), cm from the camera.
        pixel: cm of a pixel in the body's frontal plane.
        notch, navel: (x, y) in pixels of the sternal notch and of the navel, perhaps outside of the picture.
        quality: of the JPEG that it is written as.
        metadata: what it is and how it was drawn, as text; always holds ``phantom: yes``.
    """

    image: NDArray[np.uint8]
    labels: Labels
    distance: Plane
    pixel: float
    notch: tuple[float, float]
    navel: tuple[float, float]
    quality: int
    metadata: Mapping[str, str]

    @property
    def depth(self) -> Labels:
        """Relative inverse distance as `data depth` keeps it: uint8, 0 farthest, 255 nearest."""
        near = 1 / self.distance
        return np.asarray(np.round(255 * (near - near.min()) / max(float(np.ptp(near)), 1e-9)), np.uint8)


def photo_phantom(*, seed: int, size: tuple[int, int] = (512, 512), pose: Pose | None = None) -> Photo:
    """Draw one photograph; equal arguments give equal pixels.

    Args:
        seed: of everything random.
        size: (height, width) in pixels.
        pose: of the arms; drawn at random when left out.

    Raises:
        ValueError: for a size that is too small, or an unknown pose.
    """
    if min(size) < SMALLEST:
        raise ValueError(f"Found size {size}; wanted at least {SMALLEST} pixels each way. Draw it larger.")
    if pose not in (None, *POSES):
        raise ValueError(f"Found pose {pose!r}; wanted one of {', '.join(POSES)}. Name one of these.")
    rng = np.random.default_rng(seed)
    build = drawn_build(rng)
    build = build if pose is None else replace(build, pose=pose)
    breasts = drawn_pair(build, rng)
    view = _framed(size, breasts, rng)
    image, labels, z = _drawn(build, breasts, view, rng)
    return Photo(
        image=image,
        labels=labels,
        distance=np.float32(rng.uniform(90, 220)) - z,
        pixel=1 / view.scale,
        notch=view.pixel(0, 0),
        navel=view.pixel(build.lean * NAVEL, NAVEL),
        quality=int(rng.integers(55, 97)),
        metadata=_told(seed, build, breasts),
    )


def _framed(size: tuple[int, int], breasts: Sequence[Breast], rng: np.random.Generator) -> View:
    """From above the collar bones to the waist or the hips, all of both breasts in view."""
    top, bottom = rng.uniform(-13, -1), rng.uniform(36, 60)
    needed = max(2 * (abs(one.x) + one.across) for one in breasts) + 5
    width = max((bottom - top) * size[1] / size[0], needed)
    centre = float(np.clip(rng.normal(0, 0.03 * width), *sorted((0.5 * (needed - width), 0.5 * (width - needed)))))
    return look_at(size, (centre, top + 0.5 * width * size[0] / size[1]), width, float(rng.normal(0, 0.025)))


def _drawn(
    build: Build, breasts: Sequence[Breast], view: View, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Labels, Plane]:
    """Picture, labels, and z of all that is seen."""
    mounds = [mound(one, view) for one in breasts]
    torso = _with_breasts(torso_surface(build, view), mounds, build, view)
    body, arms = with_arms(torso, build, view, rng)
    person = Layer(body, skin(drawn_tone(rng), build, breasts, view, rng))
    worn = [one for one in (trousers(build, torso, view, rng), hair(build, view, rng)) if one is not None]
    room, lamp = background(view, rng), drawn_lamp(rng)
    seen = body.rim > 0
    labels = _labels(seen, arms, breasts, mounds, view)
    light = _room_light(room, body, lamp, view.scale)
    light = over(light, lit(person.surface, person.colour, lamp, view.scale), body.rim, view.scale)
    z = np.where(seen, body.z, room.surface.z)
    for one in worn:
        before = _before(one, z, arms)
        light = over(light, lit(one.surface, one.colour, replace(lamp, shine=0.03), view.scale), before, view.scale)
        labels[before > 0] = 0
        z = np.where(before > 0, one.surface.z, z)
    camera = drawn_camera(rng)
    return photographed(light, labels > 0, camera, rng), labels, np.asarray(z, np.float32)


def _with_breasts(torso: Surface, mounds: Sequence[Mound], build: Build, view: View) -> Surface:
    """A breast may stand out beyond the flank: it lies on a chest wall that goes on there."""
    z, rim = torso.z, torso.rim
    wall = chest_wall(build, view)
    ground = np.maximum(torso.z, wall - 2)
    for one in mounds:
        inside = np.clip(one.rim / np.float32(2.5), 0, 1)
        raised = ground + inside * inside * (3 - 2 * inside) * np.maximum(wall - ground, 0) + one.height
        z, rim = np.where(one.rim > 0, np.maximum(z, raised), z), np.maximum(rim, one.rim)
    return Surface(np.asarray(z, np.float32), np.asarray(rim, np.float32))


def _before(layer: Layer, z: Plane, arms: NDArray[np.bool_]) -> Plane:
    """The outline of what is worn, taken away where an arm hangs before it."""
    hidden = arms & (z > layer.surface.z)
    return np.where(hidden, np.minimum(layer.surface.rim, -1), layer.surface.rim)


def _labels(
    seen: NDArray[np.bool_], arms: NDArray[np.bool_], breasts: Sequence[Breast], mounds: Sequence[Mound], view: View
) -> Labels:
    labels = np.where(seen, np.uint8(BODY), np.uint8(0))
    free, nearer = seen & ~arms, mounds[0].rim >= mounds[1].rim
    for one, mound_, own in zip(breasts, mounds, (nearer, ~nearer), strict=True):
        there = free & (mound_.rim > 0) & own
        labels[there] = BREASTS[one.side]
        labels[there & (areola_distance(one, view) <= 1)] = NIPPLES[one.side]
    return labels


def _room_light(room: Layer, body: Surface, lamp: Lamp, scale: float) -> NDArray[np.float32]:
    """A room is drawn with its shades; it takes the lamp's colour, and the body's shadow."""
    distance = min(60.0, -float(room.surface.z.mean()))
    tint = np.float32(lamp.fill) + np.float32(lamp.key) * np.array(lamp.colour, np.float32)
    return np.asarray(room.colour * tint * shadow_on_wall(body.rim, lamp, distance, scale)[..., None], np.float32)


def _told(seed: int, build: Build, breasts: Sequence[Breast]) -> dict[str, str]:
    treated = [{1: "left", -1: "right"}[one.side] for one in breasts if one.scar is not None]
    return {
        "phantom": "yes",
        "modality": "XC",
        "arms": build.pose,
        "treated": ", ".join(treated) or "none",
        "seed": str(seed),
        "note": "Drawn by Breast Cascade; nobody was ever photographed.",
    }


def save_photo(photo: Photo, folder: Path, stem: str) -> None:
    """Write ``images/STEM.jpg``, ``masks/STEM.png`` (greys as in `GREYS`) and ``depth/STEM.png``."""
    for part in ("images", "masks", "depth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    text = "; ".join(f"{key}: {value}" for key, value in photo.metadata.items())
    picture = Image.fromarray(photo.image)
    picture.save(folder / "images" / f"{stem}.jpg", quality=photo.quality, comment=text.encode())
    save_png(np.asarray(photo.labels * 50, np.uint8), folder / "masks" / f"{stem}.png", photo.metadata)
    save_png(photo.depth, folder / "depth" / f"{stem}.png", photo.metadata)


def write(folder: Path, seeds: Iterable[int], *, pose: Pose | None = None) -> Path:
    """Draw a photograph for each seed, in one of several shapes, as `photo_phantom`; the folder."""
    for seed in seeds:
        size = SHAPES[int(np.random.default_rng((seed, len(SHAPES))).integers(len(SHAPES)))]
        save_photo(photo_phantom(seed=seed, size=size, pose=pose), folder, NAME.format(seed))
    return folder
