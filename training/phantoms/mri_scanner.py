"""From signal to picture: coil shading, unsaturated fat, motion between time points, ghosts, Rician noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.mri_body import Body
from training.phantoms.mri_grid import Grid
from training.phantoms.texture import Field, drawn

Counts = NDArray[np.uint16]
NOISE = (0.008, 0.045)  # deviation as a share of the brightest coil's signal of 1
MOTION = (0.0, 0.6)  # voxels in the plane between two time points
SHARPNESS = (0.3, 0.75)  # pixels of blur in the plane
GHOST = (0.0, 0.03)  # of pulsating blood's signal
SCALE = (500.0, 1400.0)  # stored value of a signal of 1


@dataclass(frozen=True, eq=False)
class Scanner:
    """One examination's circumstances.

    Attributes:
        shading: float32, by what the coils multiply the signal.
        noise: deviation of each of the two channels.
        blur: in the plane, pixels; half of it is seen by the noise, too.
        ghost: strength of the ghosts of pulsating blood, and how many pixels they are away.
        scale: stored value of a signal of 1.
    """

    shading: Field
    noise: float
    blur: float
    ghost: tuple[float, int]
    scale: float


def scanner(subject: Body, grid: Grid, rng: np.random.Generator) -> Scanner:
    """Draw the circumstances of one examination."""
    apart = grid.shape[1] // int(rng.integers(3, 6))
    return Scanner(
        _shading(subject, grid, rng),
        drawn(rng, NOISE),
        drawn(rng, SHARPNESS),
        (drawn(rng, GHOST), apart),
        drawn(rng, SCALE),
    )


def _shading(subject: Body, grid: Grid, rng: np.random.Generator) -> Field:
    """Bright near the surface coils at the breasts' sides and base, falling towards the back; a slow bias over all."""
    x, y, z = grid.coordinates()
    reach, floor = drawn(rng, (55, 120)), drawn(rng, (0.1, 0.3))
    fall = floor + (1 - floor) / (1 + np.exp((y - drawn(rng, (-10, 45))) / (reach / 3)))
    ends = np.exp(-(((z - grid.centre[2]) / drawn(rng, (90, 170))) ** 2) / 2)
    near = 1 + drawn(rng, (0.0, 0.9)) * np.exp(-np.clip(subject.depth, 0, 60) / drawn(rng, (6, 16)))
    tilt = np.exp(drawn(rng, (-0.25, 0.25)) * x / 100)
    bias = np.exp(drawn(rng, (0.05, 0.16)) * grid.noise(rng, 55.0))
    return np.asarray(fall * ends * near * tilt * bias, np.float32)


def unsaturated(subject: Body, grid: Grid, rng: np.random.Generator) -> Field:
    """0 to 1: where fat saturation failed, as it does in the cleavage and at the edges of the coil."""
    patch = grid.noise(rng, 30.0) - drawn(rng, (1.3, 2.4))
    return np.asarray(np.clip(patch, 0, 1) * np.exp(-np.clip(subject.depth, 0, 99) / 25), np.float32)


def measured(signal: Field, pulse: Field, grid: Grid, machine: Scanner, rng: np.random.Generator) -> Counts:
    """A time point as it is stored, without motion."""
    signal = _ghosted(signal * machine.shading, pulse, grid, machine.ghost)
    channels = [_noisy(signal, machine, rng), _noisy(None, machine, rng, signal.shape)]
    magnitude = np.sqrt(channels[0] ** 2 + channels[1] ** 2)
    return np.asarray(np.clip(np.round(magnitude * machine.scale), 0, 65535), np.uint16)


def _ghosted(signal: Field, pulse: Field, grid: Grid, ghost: tuple[float, int]) -> Field:
    """Copies of pulsating blood along the phase-encoding axis: across in axial planes, up and down in sagittal ones."""
    strength, apart = ghost
    axis = 2 if grid.plane == "axial" else 1
    copies = np.roll(pulse * signal, apart, axis) + np.roll(pulse * signal, -apart, axis)
    return np.asarray(signal + strength * copies, np.float32)


def _noisy(
    signal: Field | None, machine: Scanner, rng: np.random.Generator, shape: tuple[int, ...] | None = None
) -> Field:
    """One channel. Zero-filling correlates the noise, hence some of the blur comes after it."""
    size = shape if signal is None else signal.shape
    noise = rng.standard_normal(size, dtype=np.float32) * np.float32(machine.noise)
    total = noise if signal is None else noise + signal
    return _in_planes(total, machine.blur)


def _in_planes(volume: Field, sigma: float) -> Field:
    return np.stack([cv2.GaussianBlur(plane, (5, 5), sigma) for plane in volume])


def moved(signal: Field, rng: np.random.Generator) -> Field:
    """The signal after the patient moved a little: shifted and stretched in the plane by less than a voxel."""
    down, across = (drawn(rng, MOTION) * rng.choice([-1, 1]) for _ in range(2))
    swell = 1 + drawn(rng, (-0.002, 0.002))
    middle = np.array(signal.shape[1:]) / 2
    matrix = np.array([[swell, 0, across + middle[1] * (1 - swell)], [0, swell, down + middle[0] * (1 - swell)]])
    size = signal.shape[2], signal.shape[1]
    planes = [
        cv2.warpAffine(one, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for one in signal
    ]
    return np.stack(planes)
