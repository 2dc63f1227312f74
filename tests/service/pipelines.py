"""Tiny pipelines that a test changes on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Raw = dict[str, Any]


def edited(folder: Path, change: Callable[[Raw], object]) -> None:
    """Change the manifest of a pipeline's folder."""
    path = folder / "manifest.yaml"
    raw = yaml.safe_load(path.read_text())
    change(raw)
    path.write_text(yaml.safe_dump(raw))


def copied(source: Path, target: Path, **fields: Any) -> None:
    """The same pipeline under another name, version or modality."""
    shutil.copytree(source, target)
    edited(target, lambda raw: raw.update(name=target.parent.name, version=target.name, **fields))


def tiny(root: Path) -> Path:
    return root / "tiny" / "1.0.0"
