"""``breast-cascade-train data prepare mri`` and ``data depth``, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.training import tiny_mri
from training.data_cli import app
from training.datasets import mri_slices


def test_mri_exams_become_a_data_set(tmp_path: Path) -> None:
    source, out = tiny_mri.write_mama_mia(tmp_path / "in", ["A", "B"]), tmp_path / "out"
    call = ["prepare", "mri", "mama_mia", "--data", str(source), "-o", str(out), "--size", "32", "--subtraction"]
    call += ["--slices", "ratio:1", "--stretch", "--option", "phase=1"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(out / "manifest.csv")
    assert "reading" in result.stderr
    assert len(mri_slices.cases(out)) == 8


def test_a_broken_exam_fails_unless_skipped(tmp_path: Path) -> None:
    source = tiny_mri.write_mama_mia(tmp_path / "in", ["A", "B"])
    tiny_mri.write_nifti(source / "segmentations" / "expert" / "B.nii.gz", tiny_mri.exam()[1][1:])
    call = ["prepare", "mri", "mama_mia", "--data", str(source), "-o", str(tmp_path / "out"), "--size", "32"]
    result = CliRunner().invoke(app, call)
    assert isinstance(result.exception, ValueError)
    assert "Found 1 of 2 volumes broken" in str(result.exception)
    assert CliRunner().invoke(app, [*call, "--skip-broken"]).exit_code == 0


def test_an_exam_without_its_mask_is_skipped_as_any_broken_one(tmp_path: Path) -> None:
    source = tiny_mri.write_mama_mia(tmp_path / "in", ["A", "B"])
    (source / "segmentations" / "expert" / "B.nii.gz").unlink()
    call = ["prepare", "mri", "mama_mia", "--data", str(source), "-o", str(tmp_path / "out"), "--size", "32"]
    result = CliRunner().invoke(app, call)
    assert "Found 1 of 2 volumes broken, the first: Found no B.nii.gz" in str(result.exception)
    skipped = CliRunner().invoke(app, [*call, "--skip-broken"])
    assert (skipped.exit_code, skipped.stdout.splitlines()[-1]) == (0, str(tmp_path / "out" / "manifest.csv"))
    assert "Left out B: Found no B.nii.gz in" in skipped.stderr
    assert f"Left out 1 of 2 volumes, listed in {tmp_path / 'out' / 'broken.csv'}." in skipped.stderr
    assert "Found no B.nii.gz" in (tmp_path / "out" / "broken.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("wanted", [["nobody"], ["duke", "--option", "phase"]])
def test_wrong_commands_are_told(wanted: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["prepare", "mri", *wanted, "--data", str(tmp_path), "-o", str(tmp_path)])
    assert result.exit_code == 2


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with one photograph."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    picture = np.random.default_rng(0).integers(20, 255, (50, 40, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "data" / "images" / "a.png"), picture)
    return tmp_path / "data"


def test_depth_is_made_by_the_real_network(photographs: Path) -> None:
    from models.depth_anything import tiny

    torch.manual_seed(0)
    weights = photographs / "weights.pt"
    torch.save(tiny().network.state_dict(), weights)
    call = ["depth", "--data", str(photographs), "--weights", str(weights), "--network", "models.depth_anything.tiny"]
    result = CliRunner().invoke(app, [*call, "--size", "56", "56"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(photographs / "depth")
    assert cv2.imread(str(photographs / "depth" / "a.png"), cv2.IMREAD_UNCHANGED).shape == (50, 40)


def test_the_depth_network_is_exported(photographs: Path, tmp_path: Path) -> None:
    call = ["depth", "--data", str(photographs), "--network", "tests.training.tiny_depth.small_depth"]
    result = CliRunner().invoke(app, [*call, "--size", "28", "28", "--export", str(tmp_path / "stage")])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(tmp_path / "stage" / "depth.onnx")
    assert (tmp_path / "stage" / "stage.yaml").is_file()
    assert (photographs / "depth" / "a.png").is_file()
