"""The overhead benchmark still runs and counts the network runs that were made; its verdict is the machine's."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.service.asking import SQUARE, png

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "overhead.py"


@pytest.fixture(scope="module")
def overhead() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("overhead", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["overhead"] = module
    spec.loader.exec_module(module)
    return module


def test_overhead_prints_both_medians(tiny_pipelines: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(SQUARE))
    command = [sys.executable, SCRIPT, "--images", tmp_path, "--pipeline", "tiny", "--rounds", "2", "--json"]
    environment = {**os.environ, "BREAST_CASCADE_PIPELINES_DIR": str(tiny_pipelines)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    assert "1 pictures, 3 network runs, 2 requests" in ended.stdout
    medians = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert medians["request"] > medians["bare"] > 0


@pytest.mark.parametrize(
    ("kind", "regions", "count", "sizes"),
    [
        ("detect", [{}, {}, {}], 1, [1]),
        ("segment", [], 0, []),
        ("segment", [{}] * 3, 1, [3]),
        ("segment", [{}] * 4, 1, [4]),
        ("segment", [{}] * 5 + [{"widened": True}], 3, [4, 2, 1]),
        ("segment", [{"widened": True}] * 3 + [{}] * 6, 4, [4, 3, 4, 1]),
    ],
)
def test_batch_sizes(
    overhead: ModuleType, kind: str, regions: list[dict[str, Any]], count: int, sizes: list[int]
) -> None:
    assert overhead.batch_sizes({"name": "x", "kind": kind, "regions": regions}, count) == sizes


def test_batch_sizes_that_do_not_add_up(overhead: ModuleType) -> None:
    with pytest.raises(SystemExit, match="made 5 runs; its regions explain 1"):
        overhead.batch_sizes({"name": "x", "kind": "segment", "regions": [{}]}, 5)
