"""Linters that the `dev` extra brings."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest


def linter(name: str) -> str:
    """Where it is; skips the test where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
    if found is None:
        pytest.skip(f"NOT TESTED: {name} is not installed")
    return found
