"""Whether a run may go on: what was learned so far and what is learned next must be one training.

Another number of epochs, but for fewer than are done, is still the same training, and so is another machine; another
split, other data, weights or constants are not, and what the run folder tells of the run would no longer be true.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from training.recipe import Recipe, read_recipe
from training.run_folder import CONFIG, ENVIRONMENT

# What no epoch learns from.
PLACE = ("name", "logs", "embeddings", "in_memory", "device", "tiny")
FREE = (*PLACE, "schedule.epochs", "schedule.early_stop")
DATA = "data"
OPTIONS = {"test_fold": "--fold", "start": "--start", "boxes": "--boxes", DATA: "--data"}
MOVED = f", or, where only the folder moved, mend `{DATA}` in {ENVIRONMENT}"


def settled(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths of starting weights and boxes: a run folder is read from anywhere."""
    paths = {name: path.resolve() for name in ("start", "boxes") if (path := getattr(recipe, name)) is not None}
    return recipe.model_copy(update=paths)


def check_resumed(out: Path, recipe: Recipe, data: Path, free: Collection[str] = FREE) -> None:
    """See that the run in ``out`` may go on by ``recipe`` on ``data``; ``free`` are keys that may differ.

    Raises FileNotFoundError where nothing tells how it was trained, ValueError where it was trained otherwise.
    """
    there, wanted = _noted(out), _flat(settled(recipe), data)
    for key in sorted({*there, *wanted}):
        found, now = there.get(key), wanted.get(key)
        if found != now and key not in free and key.split(".")[0] not in free:
            raise ValueError(
                f"Found a run in {out} whose {key} is {_said(found)}; wanted {_said(now)}, as now asked for. "
                f"{_mend(key, found)}, or choose another folder."
            )


def check_epochs(out: Path, done: int, wanted: int) -> None:
    """See that of the run in ``out`` no more epochs are ``done`` than ``wanted``: none can be taken back.

    Raises ValueError.
    """
    if done > wanted:
        raise ValueError(
            f"Found a run in {out} of which {done} epochs are done; wanted at most {wanted}, as now asked for. "
            f"Ask for {done} or more (schedule.epochs in the recipe), or choose another folder."
        )


def _noted(out: Path) -> dict[str, Any]:
    for name in (CONFIG, ENVIRONMENT):
        if not (out / name).is_file():
            raise FileNotFoundError(
                f"Found no {name} beside the checkpoint in {out}; wanted it, which says how the run was trained. "
                "Restore it or choose another folder."
            )
    data = json.loads((out / ENVIRONMENT).read_text(encoding="utf-8"))[DATA]
    return _flat(settled(read_recipe(out / CONFIG)), Path(data))


def _flat(recipe: Recipe, data: Path) -> dict[str, Any]:
    return dict(_leaves(recipe.model_dump(mode="json"))) | {DATA: str(data.resolve())}


def _leaves(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted key."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _said(value: Any) -> str:
    return "nothing" if value is None else f"{value!s:.160}"


def _mend(key: str, found: Any) -> str:
    if key not in OPTIONS or found is None:
        return "Go on with the recipe and the options that it was begun with"
    return f"Pass {OPTIONS[key]} {found}{MOVED if key == DATA else ''}"
