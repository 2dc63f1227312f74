"""The volumes benchmark still runs and adds up; its verdict is the machine's."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "volumes.py"


@pytest.fixture(scope="module")
def volumes() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("volumes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["volumes"] = module
    spec.loader.exec_module(module)
    return module


def test_it_prints_its_figures() -> None:
    command = [sys.executable, SCRIPT, "--slices", "3", "6", "--side", "128", "--rounds", "1", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    figures = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert figures["time_per_slice_ratio"] > 0
    assert 0 < figures["share_outside_networks"] < 1
    assert figures["memory_ratio"] > 0


def test_figures_are_medians_of_pairs(volumes: ModuleType) -> None:
    few = volumes.Run(10, 1.0, 2.0, 1.9, 1000, 1, 1)
    many = volumes.Run(20, 2.2, 4.0, 3.6, 1040, 1, 1)
    slow = replace(many, processor=9.0)
    found = volumes.figures([few] * 3, [many, slow, many])
    assert found["time_per_slice_ratio"] == pytest.approx(1.1)
    assert found["share_outside_networks"] == pytest.approx(0.1)
    assert found["memory_ratio"] == pytest.approx(1.04)
    assert volumes.within({"time_per_slice_ratio": 0.91, "share_outside_networks": 0.1, "memory_ratio": 1.05})
    for name, value in (("time_per_slice_ratio", 1.11), ("share_outside_networks", 0.11), ("memory_ratio", 1.06)):
        good = {"time_per_slice_ratio": 1.0, "share_outside_networks": 0.0, "memory_ratio": 1.0}
        assert not volumes.within({**good, name: value})


def test_only_pages_that_were_written_are_resident(volumes: ModuleType) -> None:
    array = np.zeros(64 * 2**20, np.uint8)
    before = volumes.resident(array)
    array[: 16 * 2**20] = 1
    # Pages may be huge.
    assert 16 * 2**20 <= volumes.resident(array) - before <= 20 * 2**20
    assert volumes.peak() > 16 * 2**20
