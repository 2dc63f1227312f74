"""Exams that several files of tests prepare."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training import tiny_mri
from tests.training.prepare.mri_exams import NAMES


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven exams as MAMA-MIA has them; nobody writes here."""
    return tiny_mri.write_mama_mia(tmp_path_factory.mktemp("mama_mia"), NAMES)
