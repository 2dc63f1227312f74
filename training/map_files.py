"""Maps that an earlier stage drew of the cases that a later one learns from.

A JSON file names the map of each case, ``{"case name": "file.png", ...}``, relative to itself: grey pictures of the
case's size, 0 to 255 for 0 to 1. They must come from networks that were not trained on these cases: what a network
draws of its training pictures is better than anything a patient will get.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from training.datasets.case import Case
from training.prepare.disk import write_whole

DEPTH = "depth"


def read_maps(path: Path) -> dict[str, Path]:
    """The map of each case. Raises FileNotFoundError for no file, ValueError for what is no such one."""
    if not path.is_file():
        raise FileNotFoundError(f"Found no file {path}; wanted the maps of a stage (JSON). Mend the recipe's `maps`.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): path.parent / file for name, file in content.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f'Found {path}, which cannot be read as maps ({error}); wanted {{"case name": "file.png"}}. Make it anew.'
        ) from error


def write_maps(maps: Mapping[str, Path], path: Path) -> Path:
    """Write the file that `read_maps` reads; the maps lie below its folder."""
    content = {name: str(file.relative_to(path.parent)) for name, file in maps.items()}
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def with_maps(cases: Sequence[Case], path: Path | None) -> Sequence[Case]:
    """The cases, each with its map of the file in the place of the depth that it came with, where there is one."""
    if path is None:
        return cases
    maps = read_maps(path)
    return [
        replace(case, inputs={**case.inputs, DEPTH: maps[case.name]}) if case.name in maps else case for case in cases
    ]
