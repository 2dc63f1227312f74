"""Random fields from which phantoms are made: smooth noise of any number of axes, fractal noise, ridges, bent planes.

Fields are float32. "Unit" means mean 0 and deviation 1 over the field.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

Field = NDArray[np.float32]
STEP = 0.8  # of a coarse grid's cells, in deviations of the kernel: finer shows nothing more
REACH = 3.0  # deviations of the kernel beyond the field's edge from which noise still counts


def smooth(rng: np.random.Generator, shape: Sequence[int], sigma: Sequence[float]) -> Field:
    """Unit noise of any number of axes, correlated as a Gaussian of ``sigma`` pixels along each.

    White noise on a coarse grid is spread by one kernel matrix an axis, so that broad noise costs less than fine.
    """
    kernels = [_kernel(side, max(width, 1e-3)) for side, width in zip(shape, sigma, strict=True)]
    field = rng.standard_normal([kernel.shape[1] for kernel in kernels], dtype=np.float32)
    for axis, kernel in enumerate(kernels):
        field = np.moveaxis(np.tensordot(kernel, field, (1, axis)), 0, axis)
    return unit(field)


def _kernel(side: int, sigma: float) -> Field:
    if sigma < 0.4:
        return np.eye(side, dtype=np.float32)
    centres = np.arange(-REACH * sigma, side + REACH * sigma, STEP * sigma, dtype=np.float32)
    distance = np.arange(side, dtype=np.float32)[:, None] - centres
    return np.asarray(np.exp(-0.5 * (distance / sigma) ** 2), np.float32)


def unit(field: Field) -> Field:
    """The field shifted and scaled to mean 0 and deviation 1; a flat one becomes 0."""
    return np.asarray((field - field.mean()) / (field.std() + 1e-9), np.float32)


def fractal(rng: np.random.Generator, size: tuple[int, int], exponent: float = 3.0, coarsest: float = 0.5) -> Field:
    """Unit noise (height, width) whose power falls with the frequency to ``-exponent``.

    About 3 is what mammograms of many women show (Burgess, Jacobson and Judy, Med Phys 28 (2001) 419). Waves longer
    than ``coarsest`` of the longer side are left out, those of the anatomy are drawn otherwise.
    """
    height, width = (fft.next_fast_len(side + 32, real=True) for side in size)
    across = np.fft.rfftfreq(width).astype(np.float32)
    down = np.fft.fftfreq(height).astype(np.float32)[:, None]
    frequency = np.hypot(down, across)
    lowest = 1 / (coarsest * max(size))
    gain = np.where(frequency < lowest, 0, np.maximum(frequency, lowest) ** (-exponent / 2)).astype(np.float32)
    white = rng.standard_normal((height, width), dtype=np.float32)
    return unit(np.asarray(fft.irfft2(fft.rfft2(white) * gain, (height, width)), np.float32)[: size[0], : size[1]])


def ridges(noise: Field, width: float) -> Field:
    """1 along the lines where ``noise`` changes its sign, 0 away from them: a web of fibres."""
    return np.asarray(np.exp(-((noise / width) ** 2)), np.float32)


def bent(field: Field, down: Field, across: Field) -> Field:
    """The picture ``field`` with each pixel taken from ``down`` and ``across`` pixels away, mirrored at the edges."""
    height, width = down.shape
    rows = np.arange(height, dtype=np.float32)[:, None] + down
    columns = np.arange(width, dtype=np.float32)[None, :] + across
    return np.asarray(cv2.remap(field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.float32)


def blurred(field: Field, sigma: float) -> Field:
    """Gaussian blur by ``sigma`` pixels each way, mirrored at the edges."""
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), np.float32) if sigma > 0.2 else field


def drawn(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """A number between the two ends of ``span``, each as likely as the next."""
    return float(rng.uniform(*span))


def smoothstep(field: Field) -> Field:
    """0 up to 0, 1 from 1 on, without a kink between."""
    clipped = np.clip(field, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)


def check_choice(what: str, found: object, choices: Sequence[object]) -> None:
    """Raises ValueError for what is neither None, to be drawn, nor one of ``choices``."""
    if found is not None and found not in choices:
        shown = ", ".join(map(str, choices))
        raise ValueError(f"Found {what} {found!r}; wanted {shown}. Choose one of them or leave it out.")
