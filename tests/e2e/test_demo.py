"""The demo as `make demo` runs it: a real service in a process of its own, reached over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from service.demo import SAMPLES, bundled_samples
from tests import tiny_pipeline


@pytest.fixture
def pipelines(tmp_path: Path) -> Path:
    """The tiny pipeline under the name that the samples ask for, in a version that wins over a bundled one."""
    return tiny_pipeline.write(tmp_path / "pipelines", "999.0.0", name="ultrasound")


def _command(output: Path) -> list[str]:
    return [sys.executable, "-m", "service.demo", "-o", str(output)]


def _environment(output: Path, pipelines: Path) -> dict[str, str]:
    return {**os.environ, "BREAST_CASCADE_PIPELINES_DIR": str(pipelines), "TMPDIR": str(output.parent)}


def _demo(output: Path, pipelines: Path) -> subprocess.CompletedProcess[str]:
    environment = _environment(output, pipelines)
    return subprocess.run(_command(output), env=environment, capture_output=True, text=True, timeout=150, check=False)


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_leaves_nothing_behind(tmp_path: Path, pipelines: Path, number: signal.Signals) -> None:
    output, end = tmp_path / "demo-out", time.monotonic() + 60
    with subprocess.Popen(_command(output), env=_environment(output, pipelines)) as demo:
        while not (children := _children(demo.pid)):
            assert time.monotonic() < end, "no service was started"
            time.sleep(0.02)
        time.sleep(0.3)
        demo.send_signal(number)
        assert demo.wait(30) == 128 + number
    assert not any(Path("/proc", child).exists() for child in children)
    assert {path.name for path in tmp_path.iterdir()} == {"demo-out", "pipelines"}
