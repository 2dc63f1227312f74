"""Where the files that CBIS-DDSM's case lists name really lie: the lists' paths fit none of the downloads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from training.datasets.pictures import DICOM, JPEG, SUFFIXES, picture_size, read_plane

CASE = re.compile(r"^(Mass|Calc)-(Training|Test)_P_\d+")
# TCIA's descriptive folder names keep the last five digits of a UID.
END = 5
# How far JPEG carries a mask's 0 and 255 apart, and the share of pixels that must stay within.
RINGING, SHARE = 32, 0.99
Key = tuple[str, str]


@dataclass(frozen=True)
class Files:
    """Picture files under a root: by series UID, and by (case folder, last five digits of the UID)."""

    root: Path
    series: dict[str, list[Path]]
    ends: dict[Key, list[Path]]

    @classmethod
    def under(cls, root: Path) -> Files:
        """All files under ``root``."""
        series: dict[str, list[Path]] = {}
        ends: dict[Key, list[Path]] = {}
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() not in (*SUFFIXES, DICOM):
                continue
            series.setdefault(path.parent.name, []).append(path)
            for folder in path.relative_to(root).parts[:-1]:
                if CASE.match(folder):
                    ends.setdefault((folder, path.parent.name[-END:]), []).append(path)
        return cls(root, series, ends)

    def of(self, listed: str) -> list[Path]:
        """Files of the series that a list's path (case/study/series/file) names."""
        parts = [part.strip() for part in PurePosixPath(listed).parts]
        if len(parts) < 3:
            return []
        return self.series.get(parts[-2]) or self.ends.get((parts[0], parts[-2][-END:]), [])

    def picture(self, listed: str) -> Path:
        """The mammogram of a list's path, the largest file of its series; the path itself where nothing is there."""
        found = self.of(listed)
        return max(found, key=_area) if found else self.root / listed

    def mask(self, image: Path, mask: str, crop: str) -> Path:
        """The mask among the files that a region's two paths lead to: they share a series, or were swapped.

        The mask is the file of the mammogram's size; where none or several are, one with two values; of those the
        largest. What is no mask after all is told when it is read.
        """
        found = list(dict.fromkeys([*self.of(mask), *self.of(crop)]))
        if len(found) < 2:
            return found[0] if found else self.root / mask
        full = [path for path in found if _size(path) == _size(image)]
        if len(full) == 1:
            return full[0]
        return max(_two_valued(full or found) or full or found, key=_area)


def _two_valued(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if _is_two_valued(path)]


def _is_two_valued(path: Path) -> bool:
    try:
        plane = read_plane(path)
    except (OSError, ValueError):
        return False
    if path.suffix.lower() not in JPEG:
        return len(np.unique(plane)) <= 2
    return bool(((plane < RINGING) | (plane > 255 - RINGING)).mean() > SHARE)


def _size(path: Path) -> tuple[int, int]:
    try:
        return picture_size(path)
    except (OSError, ValueError):
        return 0, 0


def _area(path: Path) -> int:
    height, width = _size(path)
    return height * width
