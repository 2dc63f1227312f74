"""From tissue to picture: speckle, beam width, attenuation and log compression of a linear probe.

Fields are float32 (height, width), row 0 at the skin. Levels are decibels of echo amplitude; 0 dB is the brightest
tissue. No claim to physics beyond what a segmentation network can see: Rayleigh-like speckle that widens away from the
focus, shadow and enhancement behind lesions, and a compressed grey scale.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Grey = NDArray[np.uint8]

AXIAL_SIGMA = 1.2  # pixels; the pulse is short, whatever the depth
LATERAL_SIGMAS = (1.9, 3.1, 4.8)  # pixels; at the focus, half-way off, far off
FOCUS = 0.38  # fraction of the depth
LOOKS = 3  # pictures compounded into one, which calms the speckle as scanners do
DYNAMIC_RANGE = 58.0  # decibels from black to white
HEADROOM = 6.0  # decibels above 0 that still fit: speckle peaks


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], sigma: tuple[float, float]) -> Field:
    """Gaussian noise of mean 0 and deviation 1, correlated over ``sigma`` = (down, across) pixels."""
    noise = blurred(rng.standard_normal(size).astype(np.float32), sigma)
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-9), np.float32)


def blurred(field: Field, sigma: tuple[float, float]) -> Field:
    """Gaussian blur by (down, across) pixels, mirrored at the edges."""
    down, across = sigma
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigmaX=across, sigmaY=down), np.float32)


def speckled(level: Field, rng: np.random.Generator) -> Field:
    """Envelope in decibels of random scatterers of strength ``level``, seen through the beam."""
    amplitude = (10 ** (level / 20)).astype(np.float32)
    power = np.zeros_like(level)
    for _ in range(2 * LOOKS):  # a real and an imaginary part per look
        power += _through_beam(amplitude * rng.standard_normal(level.shape).astype(np.float32)) ** 2
    return np.asarray(10 * np.log10(power / (2 * LOOKS) + 1e-9), np.float32)


def _through_beam(scatter: Field) -> Field:
    """Blur whose width across grows with the distance from the focus; white noise keeps its power."""
    rows = np.linspace(0, 1, len(scatter), dtype=np.float32)
    position = np.abs(rows - FOCUS) / max(FOCUS, 1 - FOCUS) * (len(LATERAL_SIGMAS) - 1)
    result = np.zeros_like(scatter)
    for step, sigma in enumerate(LATERAL_SIGMAS):
        weight = np.clip(1 - np.abs(position - step), 0, 1)[:, None]
        power = np.sqrt(4 * np.pi * AXIAL_SIGMA * sigma)
        result += weight * power * blurred(scatter, (AXIAL_SIGMA, sigma))
    return result


def cast_behind(mask: Grey, decibels: float) -> Field:
    """What a lesion does to the echoes behind it: negative is shadow, positive is enhancement.

    Grows along the path through the lesion up to ``decibels`` behind its thickest part, and fades again with depth.
    """
    thickness = np.cumsum(mask > 0, axis=0, dtype=np.float32)
    path = thickness / max(float(thickness.max()), 1.0)
    depth = np.cumsum(path >= path[-1:] * 0.999, axis=0, dtype=np.float32) / len(mask)
    return decibels * blurred(path * np.exp(-1.6 * depth).astype(np.float32), (1.0, 6.0))


def compressed(decibels: Field) -> Grey:
    """Log-compressed grey scale, uint8."""
    fraction = (decibels - HEADROOM + DYNAMIC_RANGE) / DYNAMIC_RANGE
    return np.asarray(np.clip(fraction * 255, 0, 255).round(), np.uint8)
