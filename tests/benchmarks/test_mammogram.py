"""The mammogram benchmark still runs, on a picture small enough for a test; its verdict is the machine's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "mammogram.py"


def test_mammogram_prints_three_medians() -> None:
    command = [sys.executable, SCRIPT, "--size", "96,80", "--rounds", "1", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    medians = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert min(medians["png"], medians["dicom"]) > medians["bare"] > 0
