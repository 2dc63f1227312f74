"""The comparison of a GPU's masks with the CPU's. Here two CPUs stand for both, so that it can be seen to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import check_gpu, settings
from service.engine import Engine
from service.image import Image, Region
from service.network import CUDA, onnxruntime
from tests import tiny_pipeline
from tests.fakes import picture, square
from tests.service.asking import SQUARE, png
from tests.service.pipelines import edited

ROOT = Path(check_gpu.__file__).parent.parent
no_gpu = pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime knows CUDA")


@pytest.fixture(autouse=True)
def only_tiny(monkeypatch: pytest.MonkeyPatch, tiny_pipelines: Path) -> None:
    """The tiny pipeline and none of the bundled ones."""
    monkeypatch.setattr(settings, "BUNDLED", tiny_pipelines)
    monkeypatch.delenv("BREAST_CASCADE_PIPELINES_DIR", raising=False)


@pytest.fixture
def other(tmp_path: Path) -> Engine:
    """An engine whose segmenter finds nothing where the tiny one finds a square."""
    root = tiny_pipeline.write(tmp_path / "other")
    edited(root / "tiny" / "1.0.0", lambda raw: raw["stages"][1].update(threshold=1.0))
    return Engine.open([root], "cpu")


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [([1, 1, 0, 0], [0, 1, 1, 1], (1, 5)), ([0, 0, 0, 0], [0, 0, 0, 0], (0, 0)), ([1, 1, 1, 1], [1, 1, 1, 1], (4, 8))],
)
def test_overlap(one: list[int], two: list[int], expected: tuple[int, int]) -> None:
    assert check_gpu.overlap(np.array(one, bool), np.array(two, bool)) == expected


def test_the_same_engine_agrees_with_itself(tiny_engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_gpu.check(tiny_engine, tiny_engine, None, [("a square", picture(square(10, 20, 30)))])
    out = capsys.readouterr().out
    # Three drawn pictures and the given one, each once as it is and once in a box.
    assert out.startswith("agrees       tiny 1.0.0, 8 cases on both devices\n")
    assert "Dice of lesion 1.000000" in out
    assert "least of one case 1.000000" in out


def test_other_masks_do_not_agree(tiny_engine: Engine, other: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert not check_gpu.check(tiny_engine, other, "tiny", [("a square", picture(square(10, 20, 30)))])
    out = capsys.readouterr().out
    assert out.startswith("DIFFERS      tiny 1.0.0")
    assert "Dice of lesion 0.000000" in out
    assert "another status for drawn 1" in out
    assert "a square" in out


def test_one_pixel_of_a_thousand_is_allowed_and_two_are_not() -> None:
    counts = {"lesion": 1998}
    assert check_gpu.Comparison("x", 1, {"lesion": 999}, counts).agrees
    assert check_gpu.Comparison("x", 1, {"lesion": 998}, {"lesion": 1998}).dice["lesion"] < 0.999
    assert not check_gpu.Comparison("x", 1, {"lesion": 997}, counts).agrees
    assert not check_gpu.Comparison("x", 1, {"lesion": 999}, counts, differing=["a"]).agrees


def test_nothing_outlined_is_nothing_compared(other: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert not check_gpu.check(other, other, None, [])
    out = capsys.readouterr().out
    assert out.startswith("NOT COMPARED tiny 1.0.0")
    assert "Give pictures of its kind: --images DIR --pipeline NAME." in out


def test_a_pipeline_without_a_first_stage_is_compared_without_boxes(tiny_engine: Engine) -> None:
    (loaded,) = tiny_engine.pipelines()
    segment = loaded.cascade.stages[1]
    alone = replace(segment, spec=segment.spec.model_copy(update={"on": "image", "on_miss": None}))
    cascade = replace(loaded.cascade, stages=(alone,))
    engine = Engine((replace(loaded, cascade=cascade),))
    cases = check_gpu.cases_of([("a square", picture(square(10, 20, 30)))])
    assert check_gpu.compare(engine, engine, loaded, cases).cases == 1


def test_the_box_is_the_middle_half() -> None:
    plain, boxed = check_gpu.cases_of([("p", picture(np.zeros((40, 80), np.uint8)))])
    assert (plain.boxes, boxed.boxes) == ((), (Region(20, 10, 60, 30),))


def test_drawn_pictures_are_the_same_each_time() -> None:
    for (_, one), (_, two) in zip(check_gpu.drawn(), check_gpu.drawn(), strict=True):
        np.testing.assert_array_equal(one.voxels, two.voxels)


def test_samples_are_those_of_the_pipeline() -> None:
    assert len(list(check_gpu.samples("ultrasound"))) == 3
    assert list(check_gpu.samples("tiny")) == []


def test_what_is_no_picture_is_told_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(png(SQUARE))
    (tmp_path / "b.txt").write_text("no picture")
    (tmp_path / "c").mkdir()
    found: list[tuple[str, Image]] = list(check_gpu.given(tmp_path, settings.read_settings()))
    assert [name for name, _ in found] == ["a.png"]
    err = capsys.readouterr().err
    assert "b.txt is left out: Found content of no known" in err
    assert "c is left out" in err


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device asked for is opened as the CPU."""
    real = Engine.open

    def opened(roots: Any, _: str, *rest: Any) -> Engine:
        return real(roots, "cpu", *rest)

    monkeypatch.setattr(check_gpu.Engine, "open", staticmethod(opened))


@pytest.mark.usefixtures("two_cpus")
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(png(SQUARE))
    assert check_gpu.main(["--images", str(tmp_path), "--pipeline", "tiny"]) == 0
    assert "8 cases" in capsys.readouterr().out
    assert check_gpu.main(["--pipeline", "none"]) == 3
    assert "The comparison could not be made. Found pipeline 'none'" in capsys.readouterr().err


@pytest.mark.usefixtures("two_cpus")
def test_the_command_ends_with_1_where_masks_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_gpu, "LEAST_DICE", 1.1)
    assert check_gpu.main([]) == 1
    assert "CPUExecutionProvider DOES NOT AGREE with CPUExecutionProvider." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"), [(["--images", "/none"], "no such folder"), (["--device", "cpu"], "wanted cuda")]
)
def test_a_wrong_command(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        check_gpu.main(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@no_gpu
def test_without_a_gpu_the_command_says_so_and_ends_with_2(tiny_pipelines: Path) -> None:
    environment = {**os.environ, "BREAST_CASCADE_PIPELINES_DIR": str(tiny_pipelines)}
    command = [sys.executable, "-m", "service.check_gpu"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "No GPU can be used here, so nothing was compared. Found an ONNX Runtime with" in ended.stderr
