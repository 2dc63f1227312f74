"""What is installed, what travels in the wheel, and what the service must never drag in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PIPELINES = ROOT / "service" / "pipelines"
PIPELINE_LIMIT = 12_000_000  # bytes of one shipped pipeline version, weights and card together
# Files of the service that no import needs.
CARRIED = ("pipelines", "web", "samples", "api/docs_page", "jobs/migrations")
OUTSIDE = {"torch", "torchvision", "ultralytics", "training", "models"}

# First versions without a published hole that our uses would meet; a relaxed pin must fail here, not in production.
FLOORS = {
    "onnx": "1.21",
    "pillow": "12.2",
    "pydicom": "3.0.2",
    "python-multipart": "0.0.27",
    "starlette": "1.3.1",
    "torch": "2.10",
}
ONLY_WITH_TRAINING = {"onnx", "torch"}


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(pin) for name, pin in pairs}


def _requirements() -> list[Requirement]:
    project = _project()
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in project["dependencies"] + extras]


@pytest.mark.parametrize(("package", "floor"), FLOORS.items())
def test_no_installed_package_is_older_than_its_last_known_hole(package: str, floor: str) -> None:
    try:
        installed = version(package)
    except PackageNotFoundError:
        assert package in ONLY_WITH_TRAINING
        pytest.skip(f"{package} is not installed here")
    assert Version(installed) >= Version(floor)
    assert _pins()[package] >= Version(floor)


def test_every_requirement_has_a_pin_that_satisfies_it() -> None:
    pins = _pins()
    for requirement in _requirements():
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"constraints.txt lacks {requirement.name}"
        assert pin in requirement.specifier, f"{requirement} is pinned at {pin}"


def test_pins_hold_exact_versions_and_nothing_of_this_machine() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line


def test_the_core_asks_for_no_training_package() -> None:
    core = {canonicalize_name(Requirement(line).name) for line in _project()["dependencies"]}
    assert not core & {"torch", "torchvision", "ultralytics", "opencv-python", "onnxruntime-gpu"}


def test_importing_all_of_the_service_brings_no_torch() -> None:
    code = (
        "import importlib, pkgutil, sys, service\n"
        "for found in pkgutil.walk_packages(service.__path__, 'service.'):\n"
        "    importlib.import_module(found.name)\n"
        f"print(*sorted({OUTSIDE!r} & set(sys.modules)))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == []


@pytest.mark.parametrize("module", ["service.network", "training.export"])
def test_importing_the_runtime_reports_to_nobody(module: str, tmp_path: Path) -> None:
    """From 1.29 on onnxruntime keeps a device id and a queue of events to send, unless told before it is imported."""
    pytest.importorskip("torch" if module.startswith("training") else "onnxruntime")
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path))
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"} | places
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, env=environment, check=True, timeout=120)
    # torch makes the empty folder of a compiler's cache as soon as its exporter is imported.
    found = [path.name for path in tmp_path.rglob("*") if not path.name.startswith("torchinductor_")]
    assert found == []


@pytest.mark.parametrize("script", ["breast-cascade", "breast-cascade-train"])
def test_console_script_exists_and_leads_to_a_function(script: str) -> None:
    (entry,) = entry_points(group="console_scripts", name=script)
    assert callable(entry.load())


def test_only_one_opencv_is_installed() -> None:
    """The full and the headless build overwrite each other in one folder."""
    with pytest.raises(PackageNotFoundError):
        version("opencv-python")


def test_every_shipped_pipeline_version_stays_within_its_size() -> None:
    for folder in PIPELINES.glob("*/*/"):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size <= PIPELINE_LIMIT, f"{folder.relative_to(ROOT)} has {size} bytes"


def test_no_shipped_weight_is_under_a_licence_that_binds_the_service() -> None:
    for manifest in PIPELINES.glob("*/*/manifest.yaml"):
        for stage in yaml.safe_load(manifest.read_text())["stages"]:
            for weights in stage["weights"].values():
                assert "GPL" not in weights["licence"].upper(), f"{manifest}: {weights['file']}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_page_pipelines_samples_and_migrations(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        inside = set(content.namelist())
    data = [path for folder in CARRIED for path in (ROOT / "service" / folder).rglob("*")]
    wanted = {str(path.relative_to(ROOT)) for path in data if path.is_file() and path.suffix != ".pyc"}
    assert wanted <= inside
    # Nobody imports them: alembic finds them by their folder.
    assert {"service/jobs/migrations/env.py", "service/jobs/migrations/versions/v0001_jobs.py"} <= inside
    assert {name.split("/")[0] for name in inside} == {"service", "models", "training", _dist_info(inside)}


def test_the_wheel_makes_the_tables_of_jobs(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        content.extractall(tmp_path / "installed")
    code = (
        "import service\n"
        "from service.jobs.database import Database\n"
        "from service.jobs.rows import Rows\n"
        f"database = Database.open({f'sqlite:///{tmp_path}/jobs.sqlite'!r})\n"
        "database.upgrade()\n"
        "print(Rows(database).waiting('cpu'), service.__file__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"0 {tmp_path / 'installed'}")


def _dist_info(names: set[str]) -> str:
    return next(name.split("/")[0] for name in names if ".dist-info/" in name)
