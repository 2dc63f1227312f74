"""A recipe with every combination of some of its settings, into the table of `training.compare`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from service.yaml12 import read_yaml
from training.compare import Entry
from training.recipe import Recipe, merged

Setting = tuple[str, Any]


def variants(recipe: Recipe, settings: Sequence[str]) -> list[Entry]:
    """One entry for each combination of ``KEY=A,B,C``, keys dotted (``schedule.learning_rate``), values as YAML.

    The last setting changes fastest. Raises ValueError for what is no setting, a key that is given twice or that the
    recipe does not have, and pydantic's ValidationError for a value that it does not take.
    """
    parsed = [_parsed(text) for text in settings]
    keys = [key for key, _ in parsed]
    if not keys or len(set(keys)) < len(keys):
        raise ValueError(f"Found settings of {', '.join(keys) or 'nothing'}; wanted each key once. Mend --set.")
    combinations = product(*([(key, value) for value in values] for key, values in parsed))
    return [_entry(recipe, number, chosen) for number, chosen in enumerate(combinations, start=1)]


def changed(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with ``KEY=VALUE`` each laid over it. Raises as `variants`, and ValueError for several values."""
    if not settings:
        return recipe
    found = variants(recipe, settings)
    if len(found) > 1:
        raise ValueError(f"Found {len(found)} combinations of settings; wanted one value each. Use the command sweep.")
    return found[0].recipe.model_copy(update={"name": recipe.name})


def _parsed(text: str) -> tuple[str, list[Any]]:
    key, equals, values = text.partition("=")
    if not key or not equals or not values:
        raise ValueError(f"Found setting {text!r}; wanted KEY=A,B,C. Mend --set.")
    return key.strip(), list(read_yaml(f"[{values}]"))


def _entry(recipe: Recipe, number: int, chosen: Sequence[Setting]) -> Entry:
    content = recipe.model_dump(mode="json")
    for key, value in chosen:
        content = merged(content, _nested(content, key, value))
    content["name"] = f"{recipe.name}_{number:02d}"
    return Entry(", ".join(f"{key}={_said(value)}" for key, value in chosen), Recipe.model_validate(content))


def _nested(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """``{a: {b: value}}`` for ``a.b``. Whether the recipe knows a key below its own is for pydantic to say."""
    first, _, rest = key.partition(".")
    if "name" in content and first not in content:
        raise ValueError(f"Found key {first!r}; wanted one of {', '.join(content)}. Mend --set.")
    below = content.get(first)
    return {first: _nested(below if isinstance(below, dict) else {}, rest, value) if rest else value}


def _said(value: Any) -> str:
    return Path(value["path"]).suffix[1:] if isinstance(value, dict) and "path" in value else f"{value}"
