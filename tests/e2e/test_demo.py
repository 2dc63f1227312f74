"""The demo as `make demo` runs it: a real service in a process of its own, reached over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from service.demo import SAMPLES, bundled_samples
from tests import tiny_pipeline


@pytest.fixture
def pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny pipeline under the name that the samples ask for, in a version that wins over a bundled one."""
    monkeypatch.setattr(tiny_pipeline, "NAME", "ultrasound")
    return tiny_pipeline.write(tmp_path / "pipelines", version="999.0.0")


def _demo(output: Path, pipelines: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BREAST_CASCADE_PIPELINES_DIR": str(pipelines), "TMPDIR": str(output.parent)}
    command = [sys.executable, "-m", "service.demo", "-o", str(output)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_demo_answers_every_sample_and_leaves_nothing_behind(tmp_path: Path, pipelines: Path) -> None:
    output = tmp_path / "demo-out"
    ended = _demo(output, pipelines)
    assert ended.returncode == 0, ended.stderr
    for sample in bundled_samples():
        picture, mask = (
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            for path in (SAMPLES / sample.name, output / f"{sample.path.stem}_mask.png")
        )
        assert mask.shape[:2] == picture.shape[:2]
        answer = json.loads((output / f"{sample.path.stem}.json").read_text())
        assert (answer["pipeline"], answer["version"]) == ("ultrasound", "999.0.0")
        assert sample.path.stem in ended.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"demo-out", "pipelines"}


def test_a_service_that_cannot_start_fails_the_demo_and_says_why(tmp_path: Path, pipelines: Path) -> None:
    manifest = pipelines / "ultrasound" / "999.0.0" / "manifest.yaml"
    manifest.write_text(manifest.read_text() + "\nunheard_of: 1\n")
    ended = _demo(tmp_path / "demo-out", pipelines)
    assert ended.returncode == 1
    assert "unheard_of" in ended.stderr
