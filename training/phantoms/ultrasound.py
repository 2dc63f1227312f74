"""Breast ultrasound phantoms: drawn, seeded, with the exact truth.

    python -m training.phantoms.ultrasound -o DIR --count 3 --seed 7

They exercise the service and the tests where no real picture may be shipped. They are no evidence of quality: a network
that does well on them has shown nothing about patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from training.phantoms.acoustics import Grey, compressed, speckled
from training.phantoms.lesions import KINDS, Kind, insert, placed
from training.phantoms.screenshot import inner_size, screenshot
from training.phantoms.tissue import breast_levels

SMALLEST = 96  # pixels; below it the layers have no room


@dataclass(frozen=True, eq=False)
class Phantom:
    """A drawn picture and its truth.

    Attributes:
        image: uint8 (height, width).
        mask: uint8 (height, width), 1 inside a lesion, else 0.
        metadata: what it is and how it was drawn, as text; always holds ``phantom: yes``.
    """

    image: Grey
    mask: Grey
    metadata: Mapping[str, str] = field(default_factory=dict)


def ultrasound_phantom(
    *,
    seed: int,
    lesions: int = 1,
    size: tuple[int, int] = (420, 560),
    kind: Kind | None = None,
    framed: bool = False,
) -> Phantom:
    """Draw one phantom; equal arguments give equal pixels.

    Args:
        seed: of everything random.
        lesions: how many, 0 to 3.
        size: (height, width) of the picture in pixels, frame included.
        kind: of all lesions; drawn at random for each when left out.
        framed: as a screenshot, with padding bars, text and calipers.

    Raises:
        ValueError: for a number of lesions or a size that cannot be drawn.
    """
    if not 0 <= lesions <= 3:
        raise ValueError(f"found {lesions} lesions, wanted 0 to 3")
    if min(size) < SMALLEST:
        raise ValueError(f"found size {size}, wanted at least {SMALLEST} pixels each way")
    rng = np.random.default_rng(seed)
    kinds: list[Kind] = [kind or KINDS[rng.integers(len(KINDS))] for _ in range(lesions)]
    image, mask = _scan(inner_size(size) if framed else size, kinds, rng)
    if framed:
        image, mask = screenshot(image, mask, size)
    return Phantom(image, mask, _metadata(seed, kinds))


def _scan(size: tuple[int, int], kinds: list[Kind], rng: np.random.Generator) -> tuple[Grey, Grey]:
    level = breast_levels(size, rng)
    mask = np.zeros(size, np.uint8)
    for lesion in placed(size, kinds, rng):
        level = insert(level, lesion, rng)
        mask |= lesion.mask
    return compressed(speckled(level, rng)), mask


def _metadata(seed: int, kinds: list[Kind]) -> dict[str, str]:
    return {
        "phantom": "yes",
        "modality": "US",
        "lesions": ", ".join(kinds) or "none",
        "seed": str(seed),
        "note": "Drawn by Breast Cascade; no patient was ever imaged.",
    }


def save_png(picture: Grey, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a grey PNG that carries ``metadata`` as its text."""
    text = PngInfo()
    for key, value in metadata.items():
        text.add_text(key, value)
    Image.fromarray(picture).save(path, pnginfo=text, optimize=True)


def save(phantom: Phantom, folder: Path, stem: str) -> None:
    """Write ``<stem>.png`` and ``<stem>_mask.png`` (lesion = 255)."""
    folder.mkdir(parents=True, exist_ok=True)
    save_png(phantom.image, folder / f"{stem}.png", phantom.metadata)
    save_png(np.asarray(phantom.mask * 255, np.uint8), folder / f"{stem}_mask.png", phantom.metadata)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw breast ultrasound phantoms with their exact masks.")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the first one; each next takes the next (default 0)")
    parser.add_argument("--lesions", type=int, default=1, help="in each picture, 0 to 3 (default 1)")
    parser.add_argument("--framed", action="store_true", help="as screenshots with bars, text and calipers")
    return parser.parse_args()


def main() -> None:
    """Command line: write ``--count`` pictures and masks into the folder."""
    wanted = _arguments()
    for seed in range(wanted.seed, wanted.seed + wanted.count):
        phantom = ultrasound_phantom(seed=seed, lesions=wanted.lesions, framed=wanted.framed)
        save(phantom, wanted.output, f"ultrasound_phantom_{seed}")


if __name__ == "__main__":
    main()
