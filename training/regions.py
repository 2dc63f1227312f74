"""Where a later stage looks while it is trained: around true boxes jittered, around a localiser's, or elsewhere.

A localiser's boxes come from a JSON file: ``{"case name": [[left, top, right, bottom], ...], ...}`` in pixels of the
picture as it is read, half-open, best first; an empty list says that the localiser found nothing. They must come from
networks that were not trained on these cases: boxes of training pictures are better than any that a patient will get.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BadParameter
from service.image import Region
from training.recipe import Jitter

Grey = NDArray[np.uint8]
Boxes = Mapping[str, tuple[Region, ...]]
# Lesion boxes of BUSI have sides of 0.1 to 0.6 of the picture: where none is, boxes of such sizes are looked at.
EMPTY_BOX = (0.12, 0.5)


def lesion_boxes(mask: Grey) -> list[Region]:
    """Tight boxes of the mask's connected components, largest area first."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    rows = sorted(stats[1:].tolist(), key=lambda row: -row[cv2.CC_STAT_AREA])
    return [Region(x, y, x + w, y + h) for x, y, w, h, _ in rows]


def jittered(box: Region, grid: Region, rng: np.random.Generator, jitter: Jitter | None = None) -> Region:
    """A box as a localiser might give it: sides scaled (0.75 to 1.35), centre shifted (by up to 12 % of the side)."""
    by = jitter or Jitter()
    low, high = np.log(by.scale)
    width, height = (side * np.exp(rng.uniform(low, high)) for side in (box.width, box.height))
    x = (box.left + box.right) / 2 + box.width * rng.uniform(-by.shift, by.shift)
    y = (box.top + box.bottom) / 2 + box.height * rng.uniform(-by.shift, by.shift)
    left, top = round(x - width / 2), round(y - height / 2)
    return Region(left, top, left + max(2, round(width)), top + max(2, round(height))).clipped(grid)


def random_box(grid: Region, rng: np.random.Generator) -> Region:
    """A box of a lesion's size somewhere in the picture."""
    width = max(2, round(grid.width * rng.uniform(*EMPTY_BOX)))
    height = max(2, round(grid.height * rng.uniform(*EMPTY_BOX)))
    left, top = int(rng.integers(0, grid.width - width + 1)), int(rng.integers(0, grid.height - height + 1))
    return Region(left, top, left + width, top + height)


def read_boxes(path: Path) -> dict[str, tuple[Region, ...]]:
    """A localiser's boxes by case. Raises ValueError for what is no such file, FileNotFoundError for none."""
    if not path.is_file():
        raise FileNotFoundError(f"Found no file {path}; wanted a localiser's boxes (JSON). Mend the recipe's `boxes`.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): tuple(Region(*box) for box in boxes) for name, boxes in content.items()}
    except (ValueError, TypeError, AttributeError, BadParameter) as error:
        raise ValueError(
            f"Found in {path} what is no set of boxes ({error}); wanted "
            '{"case": [[left, top, right, bottom], ...]}. Write it anew.'
        ) from error


def write_boxes(boxes: Mapping[str, Any], path: Path) -> None:
    """Write what `read_boxes` reads; a box is a `Region`."""
    content = {name: [list(map(int, one.box)) for one in found] for name, found in boxes.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
