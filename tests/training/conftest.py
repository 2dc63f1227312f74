"""Small things that several tests of training share, made once a run: phantoms as BUSI and an exported pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training import tiny_export, tiny_runs
from tests.training.phantom_busi import write_busi
from tests.training.tiny_export import Exported


@pytest.fixture(scope="session")
def small_busi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen phantoms in the public layout of BUSI; nobody writes here."""
    return write_busi(tmp_path_factory.mktemp("small_busi"), 15)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The three tiny networks of `tests.training.tiny_export` as a pipeline folder; nobody writes here."""
    return tiny_export.export(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def runs(small_busi: Path, tmp_path_factory: pytest.TempPathFactory) -> tiny_runs.Runs:
    """Three tiny networks, trained for eight epochs on ``small_busi``; nobody writes here."""
    return tiny_runs.train(tmp_path_factory.mktemp("runs"), small_busi)
