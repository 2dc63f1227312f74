"""Options of a cascade that hold for all stages, or, as ``STAGE=VALUE``, for one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from training.template import Settings, read_template

NAMED = re.compile(r"([A-Za-z0-9_]+)=(.*)", re.DOTALL)
# A folder for all stages holds one for each; the data of all lie in the same.
SHARED = ("checkpoints", "logs")
FLAGS = {"learning_rate": "lr", "l1_lambda": "l1-lambda"}


def settings_in(template: Path, options: Mapping[str, Sequence[str] | None]) -> dict[str, Settings]:
    """Settings by stage from the texts of each option.

    Raises typer's BadParameter for a stage that is none and a value that does not fit.
    """
    names = stage_names(template)
    every: dict[str, dict[str, Any]] = {name: {} for name in names}
    for option, texts in options.items():
        for stage, value in _by_stage(option, texts or (), names).items():
            every[stage][option] = value
    return {stage: _checked(values) for stage, values in every.items() if values}


def stage_names(template: Path) -> list[str]:
    """Names of a template's stages, in order."""
    return [stage.name for stage in read_template(template).stages]


def stage_of(text: str, names: Sequence[str], option: str) -> str:
    """A stage by its name or number from 1. Raises typer's BadParameter for none of them."""
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return names[int(text) - 1]
    if text not in names:
        raise typer.BadParameter(f"found stage {text!r}, wanted one of {', '.join(names)}", param_hint=_flag(option))
    return text


def _by_stage(option: str, texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """What is said of one stage counts more than what is said of all."""
    general: dict[str, str] = {}
    special: dict[str, str] = {}
    for text in texts:
        match = NAMED.fullmatch(text)
        if match is None:
            general |= {name: str(Path(text) / name) if option in SHARED else text for name in names}
        else:
            special[stage_of(match[1], names, option)] = match[2]
    return general | special


def _checked(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0])
        said = f"found {values[option]!r}: {first['msg']}"
        raise typer.BadParameter(said, param_hint=_flag(option)) from error


def _flag(option: str) -> str:
    return f"--{FLAGS.get(option, option)}"
