"""X-ray exposure to grey value and back, and what film, scanner and detector add.

Attenuation is the natural logarithm of unhindered over transmitted exposure, times the film's gradient: what lies in
the beam one behind the other adds up in it, in other words multiplies the exposure. The grey value is a logistic curve
of it, as a film's density is of log exposure (Hurter and Driffield), so contrast fades towards black and white.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantoms.texture import Field, blurred, smooth

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Response:
    """The characteristic curve: ``black`` and ``white`` are the grey values that no exposure reaches.

    An attenuation of 0 is half-way between the two; one unit there is a quarter of their distance.
    """

    black: float = -2.0
    white: float = 257.0

    def grey(self, attenuation: Field) -> Field:
        """Grey value, not rounded, of each attenuation."""
        share = 1 / (1 + np.exp(-np.clip(attenuation, -30, 30)))
        return np.asarray(self.black + (self.white - self.black) * share, np.float32)

    def attenuation(self, grey: NDArray[np.generic]) -> Field:
        """Attenuation of each grey value between ``black`` and ``white``."""
        share = (np.asarray(grey, np.float32) - self.black) / (self.white - self.black)
        return np.asarray(np.log(share / (1 - share)), np.float32)


@dataclass(frozen=True)
class Scan:
    """How a picture was taken.

    Attributes:
        air: grey value of the air beside the breast.
        grain: deviation of the noise in mid-grey, units of attenuation.
        correlation: width of a grain, pixels.
        blur: of the whole system, pixels.
        uneven: how far the air's grey value wanders.
    """

    air: float
    grain: float
    correlation: float
    blur: float
    uneven: float


def developed(attenuation: Field, scan: Scan, rng: np.random.Generator) -> Field:
    """Grey value of each attenuation, with the system's blur and its noise: the fewer photons, the more."""
    size = attenuation.shape
    sharp = blurred(attenuation, scan.blur)
    noise = smooth(rng, size, (scan.correlation, scan.correlation)) * scan.grain
    return Response().grey(sharp + noise * np.exp(np.clip(sharp, -3, 2) / 4))


def air(size: tuple[int, int], scan: Scan, rng: np.random.Generator) -> Field:
    """Grey values of film without breast: dark, slightly uneven, grainy."""
    wander = scan.uneven * smooth(rng, size, (size[0] / 3, size[1] / 3))
    grain = scan.uneven * 0.5 * smooth(rng, size, (0.6, 0.6))
    return np.asarray(np.maximum(scan.air + wander + grain, 0), np.float32)


def eight_bits(grey: Field) -> Grey:
    """Rounded and clipped to 0..255."""
    return np.asarray(np.clip(np.round(grey), 0, 255), np.uint8)
