"""The benchmarks of jobs still run and add up; their verdict is the machine's."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import jobs, waiting

FOLDER = Path(jobs.__file__).parent
PARTS = {"networks": 1.4, "decode": 0.1, "around": 0.1, "encode": 0.1, "rest": 0.3}


def figures_of(script: str, *options: str) -> dict[str, float]:
    """What a script prints as its one JSON line."""
    command = [sys.executable, FOLDER / script, *options, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    found: dict[str, float] = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    return found


def test_workers_print_their_figures() -> None:
    found = figures_of("jobs.py", "--items", "4", "--rounds", "1")
    assert found["two_workers_faster"] > 0
    assert found["processor_per_item_ratio"] > 0
    assert 0 < found["share_outside_networks"] < 1
    assert found["milliseconds_an_item"] > 0


def test_queue_prints_its_figures() -> None:
    found = figures_of("waiting.py", "--items", "300", "--seconds", "0.5")
    # Two hints and two calls, for nobody takes any.
    assert 1 <= found.pop("messages") <= 4
    assert len(found) == 5
    assert min(found.values()) > 0


def test_figures_are_medians_of_pairs() -> None:
    one = jobs.Run(10, 2.0, 1.0, PARTS)
    two = jobs.Run(10, 1.0, 1.1, PARTS)
    found = jobs.figures(
        [(one, two), (one, replace(two, clock=1.25)), (replace(one, clock=1.75), replace(two, clock=1.6))]
    )
    assert found["two_workers_faster"] == pytest.approx(1.6)
    assert found["processor_per_item_ratio"] == pytest.approx(1.1)
    assert found["share_outside_networks"] == pytest.approx(0.3)
    assert found["milliseconds_an_item"] == pytest.approx(200)


@pytest.mark.parametrize(
    ("faster", "share", "well"), [(1.6, 0.35, True), (2.0, 0.1, True), (1.59, 0.35, False), (1.6, 0.36, False)]
)
def test_bounds_of_workers(faster: float, share: float, well: bool) -> None:
    assert jobs.within({"two_workers_faster": faster, "share_outside_networks": share}) is well


@pytest.mark.parametrize(
    ("slow", "messages", "well"), [(50.0, 5, True), (50.1, 5, False), (50.0, 6, False), (1.0, 0, True)]
)
def test_bounds_of_the_queue(slow: float, messages: int, well: bool) -> None:
    found = waiting.figures({"a": [slow] * 40, "b": [1.0] * 40}, messages)
    assert found == {"a": slow, "b": 1.0, "messages": messages}
    assert waiting.within(found) is well


def test_pictures_have_a_third_of_a_megapixel_and_differ() -> None:
    made = jobs.pictures(7)
    assert len(set(made)) == 7
    assert cv2.imdecode(np.frombuffer(made[0], np.uint8), cv2.IMREAD_UNCHANGED).shape == (480, 640)


def test_processor_counts_children_too() -> None:
    burn = "import subprocess, sys, time\nwhile time.process_time() < 0.3: pass\n"
    parent = f"{burn}subprocess.run([sys.executable, '-c', {burn!r}])\nprint('done', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            assert jobs.processor([process.pid]) >= 0.55
        finally:
            process.kill()
