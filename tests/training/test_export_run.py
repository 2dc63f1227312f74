"""A run as ONNX files without a pipeline: what is written is what was trained, and says what goes in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from service.preprocess import prepare
from tests.training.phantom_busi import phantom
from tests.training.tiny_runs import Runs
from training.cli import app
from training.export import digest
from training.export_run import export_run
from training.predict import predictor


def test_a_run_is_written_and_described(runs: Runs, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export-run", str(runs.whole), "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(tmp_path)
    told = json.loads((tmp_path / "whole.json").read_text())
    (file,) = told["files"]
    assert (told["recipe"], told["task"], file["role"], file["file"]) == ("whole", "whole", "network", "whole.onnx")
    assert (file["inputs"], file["outputs"]) == ({"image": [1, 32, 32]}, ["logits"])
    assert file["sha256"] == digest(tmp_path / "whole.onnx")
    assert file["onnx_against_torch"] <= 1e-4
    network = predictor(runs.whole, device="cpu")
    assert told["input"] == network.recipe.input.model_dump(mode="json")
    picture = phantom(3, "benign").image
    tensor, _ = prepare(picture[..., None], network.recipe.input)
    session = onnxruntime.InferenceSession(tmp_path / "whole.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": tensor[None]})
    with torch.no_grad():
        wanted = network.network(torch.from_numpy(tensor)[None])[0].numpy()
    np.testing.assert_allclose(logits[0], wanted, atol=1e-4 * max(1, float(np.abs(wanted).max())))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no config.yaml in .*; wanted a run folder"):
        export_run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
