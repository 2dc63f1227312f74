"""Light and camera of a photograph phantom: from a height field and its colours to an sRGB picture.

Lambert's law with softer red (light wanders under skin), a highlight after Blinn, shadows cast by the height field
itself, less light in creases, then exposure, white balance, blur, noise and the sRGB curve (IEC 61966-2-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.photo_skin import Colour, mottle
from training.phantoms.photo_view import Plane, Surface

Picture = NDArray[np.uint8]
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
# Steps of the march along a ray, and how far it goes, cm.
STEPS, REACH = 14, 14.0
# A surface is never seen steeper than this, as height over width.
STEEPEST = 4.0


@dataclass(frozen=True)
class Lamp:
    """The light.

    Attributes:
        towards: unit vector (x, y, z) to the key light.
        key, fill: of the key light and of what comes from everywhere.
        colour: of the key light, (red, green, blue).
        shine, gloss: strength of the highlight, and its exponent.
    """

    towards: tuple[float, float, float]
    key: float
    fill: float
    colour: tuple[float, float, float]
    shine: float
    gloss: float


@dataclass(frozen=True)
class Camera:
    """What the camera does: pixels of blur, noise, exposure, white balance and contrast."""

    blur: float
    noise: float
    exposure: float
    balance: tuple[float, float, float]
    contrast: float
    vignette: float


def drawn_lamp(rng: np.random.Generator) -> Lamp:
    """A flash beside the lens, a ceiling lamp, or a window."""
    kind = rng.choice(3, p=(0.4, 0.35, 0.25))
    spread, rise = ((0.25, 0.25), (0.35, 0.9), (1.2, 0.4))[kind]
    x, y = rng.normal(0, spread), -abs(rng.normal(rise, 0.2))
    towards = np.array([x, y, 1.0]) / np.sqrt(x * x + y * y + 1)
    warm, green = rng.normal(0, 0.12), rng.normal(0, 0.03)
    fill = rng.uniform(0.25, 0.6)
    return Lamp(
        towards=(float(towards[0]), float(towards[1]), float(towards[2])),
        key=1 - fill,
        fill=fill,
        colour=(float(np.exp(warm)), float(np.exp(green)), float(np.exp(-warm))),
        shine=float(rng.beta(1.2, 4)) * 0.22,
        gloss=float(rng.uniform(8, 45)),
    )


def drawn_camera(rng: np.random.Generator) -> Camera:
    """From a good camera to a poor one."""
    warm, green = rng.normal(0, 0.06), rng.normal(0, 0.02)
    return Camera(
        blur=float(rng.choice((0.45, rng.uniform(0.4, 0.9), rng.uniform(0.8, 1.8)), p=(0.5, 0.35, 0.15))),
        noise=float(rng.beta(1, 4)) * 0.05,
        exposure=float(np.exp(rng.normal(0, 0.22))),
        balance=(float(np.exp(warm)), float(np.exp(green)), float(np.exp(-warm))),
        contrast=float(rng.uniform(0.88, 1.15)),
        vignette=float(rng.beta(1, 3)) * 0.4,
    )


def lit(surface: Surface, colour: Colour, lamp: Lamp, scale: float) -> Colour:
    """Linear light from a surface of that colour, (height, width, 3); ``scale`` in pixels per cm."""
    normal, facing = _normals(surface.z, lamp, scale)
    key = np.maximum(facing, 0) * (1 - _shadow(surface.z, lamp, scale))
    # Under skin red light spreads over millimetres, blue hardly at all.
    spread = cv2.GaussianBlur(key, (0, 0), max(0.3, 0.22 * scale))
    keys = np.stack([0.35 * key + 0.65 * spread, 0.75 * key + 0.25 * spread, key], axis=-1)
    crease = _crease(surface.z, scale)[..., None]
    tint = np.array(lamp.colour, np.float32)
    diffuse = colour * (np.float32(lamp.fill) * crease * _from_above(normal) + np.float32(lamp.key) * tint * keys)
    half = np.array(lamp.towards, np.float32) + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    glint = np.maximum(normal @ half, 0) ** np.float32(lamp.gloss) * (key > 0)
    return np.asarray(
        diffuse + (np.float32(lamp.shine * lamp.key) * glint * crease[..., 0])[..., None] * tint, np.float32
    )


def _normals(z: Plane, lamp: Lamp, scale: float) -> tuple[Plane, Plane]:
    """Unit normals (height, width, 3), and their cosine to the key light."""
    smooth = cv2.GaussianBlur(z, (0, 0), 0.8)
    kernel = np.float32(scale / 8)
    across, down = (
        np.clip(cv2.Sobel(smooth, cv2.CV_32F, *order) * kernel, -STEEPEST, STEEPEST) for order in ((1, 0), (0, 1))
    )
    length = np.sqrt(across * across + down * down + 1)
    normal = np.stack([-across / length, -down / length, 1 / length], axis=-1).astype(np.float32)
    return normal, normal @ np.array(lamp.towards, np.float32)


def _from_above(normal: Plane) -> Plane:
    """Fill light comes more from the ceiling than from the floor."""
    return np.asarray(0.85 - 0.2 * normal[..., 1:2], np.float32)


def _shadow(z: Plane, lamp: Lamp, scale: float) -> Plane:
    """Share of the key light that is blocked on its way, 0 to 1, soft with distance."""
    x, y, up = lamp.towards
    level = float(np.hypot(x, y))
    if level < 0.05:
        return np.zeros_like(z)
    blocked = np.zeros_like(z)
    for step in np.geomspace(0.4, REACH, STEPS):
        shift = np.array([[1, 0, step * scale * x / level], [0, 1, step * scale * y / level]], np.float32)
        there = cv2.warpAffine(z, shift, z.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=-60)
        higher = there - z - np.float32(step * up / level)
        blocked = np.maximum(blocked, higher / np.float32(0.3 + 0.12 * step))
    return np.asarray(cv2.GaussianBlur(np.clip(blocked, 0, 1), (0, 0), 0.15 * scale), np.float32)


def _crease(z: Plane, scale: float) -> Plane:
    """Share of the fill light that reaches folds and grooves, 0 to 1."""
    share = np.ones_like(z)
    small = cv2.resize(z, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    for reach, strength in ((0.6, 0.9), (2.0, 0.5)):
        around = cv2.GaussianBlur(small, (0, 0), max(0.5, 0.25 * reach * scale))
        around = cv2.resize(around, z.shape[::-1], interpolation=cv2.INTER_LINEAR)
        share *= np.exp(-np.float32(strength / reach) * np.clip(around - z, 0, 2 * reach))
    return np.asarray(share, np.float32)


def over(below: Colour, above: Colour, rim: Plane, scale: float) -> Colour:
    """``above`` where its outline holds it, mixed with what is below in the pixels that the outline crosses."""
    share = np.clip(rim * np.float32(scale) + np.float32(0.5), 0, 1)[..., None]
    return np.asarray(below + share * (above - below), np.float32)


def shadow_on_wall(rim: Plane, lamp: Lamp, distance: float, scale: float) -> Plane:
    """How much light a wall so far behind (cm) keeps, (height, width), 0 to 1."""
    x, y, up = lamp.towards
    shift = np.array([[1, 0, -distance * scale * x / up], [0, 1, -distance * scale * y / up]], np.float32)
    inside = cv2.resize((rim > 0).astype(np.float32), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(inside, (0, 0), max(0.5, 0.25 * scale * (0.3 + 0.08 * distance)))
    cast = cv2.warpAffine(cv2.resize(soft, rim.shape[::-1]), shift, rim.shape[::-1])
    return np.asarray(1 - np.float32(0.75 * lamp.key) * cast, np.float32)


def photographed(light: Colour, skin: NDArray[np.bool_], camera: Camera, rng: np.random.Generator) -> Picture:
    """The picture that a camera makes of linear light, metered in part on the ``skin``."""
    metered = float((light[skin] @ LUMINANCE).mean()) if skin.any() else 0.2
    light = light * np.float32(camera.exposure * (0.42 / max(metered, 1e-3)) ** 0.55)
    light = light * np.array(camera.balance, np.float32) * _vignette(light.shape[:2], camera.vignette)
    light = cv2.GaussianBlur(light, (0, 0), camera.blur)
    light += _noise(light, camera.noise, rng)
    shown = _curve(np.clip(light, 0, 1))
    return np.asarray(np.clip(255 * shown ** np.float32(camera.contrast), 0, 255).round(), np.uint8)


def _vignette(size: tuple[int, int], strength: float) -> Plane:
    x, y = (np.linspace(-1, 1, side, dtype=np.float32) for side in size[::-1])
    return np.asarray(1 - np.float32(strength / 2) * (x**2 + y[:, None] ** 2), np.float32)[..., None]


def _noise(light: Colour, strength: float, rng: np.random.Generator) -> Colour:
    grain = cv2.GaussianBlur(rng.standard_normal(light.shape, np.float32), (0, 0), 0.5)
    blotches = np.stack([mottle(light.shape[:2], 4, rng) for _ in range(3)], axis=-1)
    return np.asarray(
        (grain + 0.3 * blotches) * np.sqrt(np.maximum(light, 0) + 0.02) * np.float32(strength), np.float32
    )


def _curve(light: Colour) -> Colour:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055)
