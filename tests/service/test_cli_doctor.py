"""The command doctor: what it finds in order and what not."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from service import doctor, settings
from tests import tiny_pipeline
from tests.service.commands import call

pytestmark = pytest.mark.usefixtures("loggers_restored")


@pytest.fixture(autouse=True)
def only_tiny(monkeypatch: pytest.MonkeyPatch, tiny_pipelines: Path, tmp_path: Path) -> None:
    """The tiny pipeline and none of the bundled ones, in this process and in its children's environment."""
    monkeypatch.setattr(settings, "BUNDLED", tiny_pipelines)
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(tiny_pipelines))
    monkeypatch.setenv("BREAST_CASCADE_DATA_DIR", str(tmp_path / "data"))


def test_doctor_finds_all_well() -> None:
    code, out, _ = call("doctor")
    assert code == 0
    for said in ("pipeline tiny/1.0.0: 3 weight files", "provider in use: CPUExecutionProvider", "can be written"):
        assert said in out


def test_doctor_as_json_lines() -> None:
    checks = [json.loads(line) for line in call("doctor", "--json")[1].splitlines()]
    assert {"name", "verdict", "found", "remedy"} == set(checks[0])


def test_doctor_tells_an_altered_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny_pipeline.write(tmp_path / "altered")
    (root / "tiny" / "1.0.0" / "segment.onnx").write_bytes(b"altered")
    monkeypatch.setattr(settings, "BUNDLED", root)
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(root))
    code, out, _ = call("doctor")
    assert code == 3
    assert re.search(r"failed +pipeline tiny/1.0.0: .*segment.onnx.*sha256", out)
    assert "Restore the file" in out


def found(name: str, monkeypatch: pytest.MonkeyPatch) -> doctor.Check:
    return next(check for check in doctor.examine(settings.read_settings()) if check.name == name)


@pytest.mark.parametrize("installed", [set(), {"onnxruntime", "onnxruntime-gpu"}])
def test_doctor_wants_exactly_one_runtime(monkeypatch: pytest.MonkeyPatch, installed: set[str]) -> None:
    monkeypatch.setattr(doctor, "installed_runtimes", lambda: dict.fromkeys(installed, "1.0"))
    check = found("onnx runtime", monkeypatch)
    assert (check.verdict, "exactly one" in check.remedy) == ("failed", True)


def test_doctor_sees_somebody_elses_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "HERE", tmp_path / "service")
    check = found("package models", monkeypatch)
    assert (check.verdict, "Uninstall" in check.remedy) == ("failed", True)


def test_doctor_takes_absent_packages_for_a_service_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    assert found("package training", monkeypatch).verdict == "ok"


def test_doctor_wants_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BREAST_CASCADE_DATA_DIR", str(tmp_path / "file" / "data"))
    check = found("data directory", monkeypatch)
    assert (check.verdict, "BREAST_CASCADE_DATA_DIR" in check.remedy) == ("failed", True)


def test_doctor_makes_no_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BREAST_CASCADE_DATA_DIR", str(tmp_path / "new" / "data"))
    check = found("data directory", monkeypatch)
    assert (check.verdict, check.found.endswith(f"not there yet; {tmp_path} can be written")) == ("ok", True)
    assert not (tmp_path / "new").exists()


def test_doctor_tells_a_data_directory_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode: mode == os.F_OK)
    check = found("data directory", monkeypatch)
    assert (check.verdict, check.found.endswith("cannot be written")) == ("failed", True)


def test_doctor_starts_a_decoder_and_tells_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("decoders", monkeypatch).found.startswith("in a child process, system calls ")
    monkeypatch.setattr(doctor, "below_floor", lambda found: {"pillow": "99.1"})
    check = found("decoder pillow", monkeypatch)
    assert (check.verdict, check.found.endswith("older than 99.1")) == ("warning", True)


def test_doctor_wants_a_pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "BUNDLED", tmp_path)
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(tmp_path))
    assert found("pipelines", monkeypatch).verdict == "failed"
    assert found("provider in use", monkeypatch).verdict == "failed"
