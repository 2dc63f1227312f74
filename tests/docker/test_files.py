"""The Dockerfiles, looked at without an engine: pins, users, what is copied, what is installed, how it is run.

That the image builds and answers is `make check-image`'s to show. The linters of others run where they are installed.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.settings import Settings
from tests.docker.linters import linter

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SERVICE = [DOCKER / "service.Dockerfile", DOCKER / "service-gpu.Dockerfile"]
ALL = [*SERVICE, DOCKER / "training.Dockerfile"]
NEVER_SERVED = {"torch", "torchvision", "ultralytics", "monai", "timm", "transformers"}
each_file = pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, the rest) with continued lines joined and comments left out."""
    text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n", " ", text)
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def of(path: Path, word: str) -> list[str]:
    """What stands behind every instruction of one kind."""
    return [rest for found, rest in instructions(path) if found == word]


@pytest.fixture(scope="module")
def requirements() -> ModuleType:
    """docker/requirements.py as a module."""
    spec = importlib.util.spec_from_file_location("requirements", DOCKER / "requirements.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each_file
def test_every_base_is_pinned_to_an_exact_version(path: Path) -> None:
    (base,) = (rest for rest in of(path, "ARG") if rest.startswith("BASE_IMAGE="))
    assert re.fullmatch(r"BASE_IMAGE=[\w./-]+:\d+\.\d+\.\d+-[\w.-]+", base)
    assert {line.split(" AS ")[0] for line in of(path, "FROM")} == {"${BASE_IMAGE}"}


@each_file
def test_nothing_runs_as_root(path: Path) -> None:
    assert of(path, "USER")[-1] == "10001:10001"
    # The last word on the user comes after everything that needs root.
    words = [word for word, _ in instructions(path)]
    assert "RUN" not in words[len(words) - words[::-1].index("USER") :]


@each_file
def test_everything_is_installed_at_pinned_versions(path: Path) -> None:
    for line in of(path, "RUN"):
        for command in re.split(r"&&", line):
            if re.search(r"\bpip\b.* install\b", command):
                assert "-c constraints.txt" in command or "--no-deps" in command, command


@each_file
def test_what_is_copied_is_there_and_let_through(path: Path) -> None:
    for source in copied(path):
        assert (ROOT / source).exists(), source
        assert f"!{source.rstrip('/')}" in ignore_lines(), source


def copied(path: Path) -> Iterator[str]:
    """Sources of COPY that come from the project."""
    for line in of(path, "COPY"):
        if not line.startswith("--from="):
            yield from line.split()[:-1]


def ignore_lines() -> list[str]:
    return [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def test_nothing_else_is_let_through() -> None:
    lines = ignore_lines()
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert allowed == {source for path in ALL for source in copied(path)}
    assert any(fnmatch("service/api/__pycache__", line) for line in lines if line.startswith("**"))


@pytest.mark.parametrize("path", SERVICE, ids=lambda path: path.name)
def test_a_service_image_says_how_it_is_and_how_it_is_started(path: Path) -> None:
    assert 'CMD ["python", "/opt/breast-cascade/healthcheck.py"]' in of(path, "HEALTHCHECK")[0]
    assert of(path, "ENTRYPOINT") == ['["breast-cascade"]']
    assert of(path, "CMD") == ['["serve", "--host", "0.0.0.0", "--port", "8000"]']
    # Who may ask is not the image's to say.
    assert not any("BREAST_CASCADE_ACCESS" in rest for _, rest in instructions(path))
    named = set(re.findall(r"BREAST_CASCADE_(\w+)=", " ".join(of(path, "ENV"))))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_gpu_image_insists_on_a_gpu() -> None:
    gpu = DOCKER / "service-gpu.Dockerfile"
    assert "BREAST_CASCADE_DEVICE=cuda" in of(gpu, "ENV")[0]
    assert any("requirements.py --gpu" in line for line in of(gpu, "RUN"))
    assert "nvidia/cuda:13." in of(gpu, "ARG")[0]


@pytest.mark.parametrize("gpu", [False, True])
def test_service_images_hold_one_runtime_and_no_torch(requirements: ModuleType, gpu: bool) -> None:
    names = [
        canonicalize_name(Requirement(line).name)
        for line in requirements.requirements(ROOT / "pyproject.toml", gpu=gpu)
    ]
    assert [name for name in names if name.startswith("onnxruntime")] == ["onnxruntime-gpu" if gpu else "onnxruntime"]
    assert not NEVER_SERVED & set(names)
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert len(names) == len(asked)


def test_the_gpu_runtime_is_asked_for_as_the_cpu_runtime_is(requirements: ModuleType, tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\ndependencies = ["onnxruntime-extensions", "onnxruntime>=1.23,<2", "numpy"]')
    wanted = ["onnxruntime-extensions", "onnxruntime-gpu[cuda,cudnn]>=1.23,<2", "numpy"]
    assert requirements.requirements(project, gpu=True) == wanted
    project.write_text('[project]\ndependencies = ["numpy"]')
    with pytest.raises(
        ValueError, match=r"Found no onnxruntime in pyproject.toml; wanted one to replace\. Mend docker/"
    ):
        requirements.requirements(project, gpu=True)


def test_both_runtimes_are_pinned_at_one_version() -> None:
    pins = dict(line.split("==") for line in pin_lines(DOCKER / "constraints-gpu.txt"))
    assert (
        pins["onnxruntime-gpu"] == dict(line.split("==") for line in pin_lines(ROOT / "constraints.txt"))["onnxruntime"]
    )
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-runtime"} <= set(pins)
    assert all(re.fullmatch(r"[0-9][A-Za-z0-9.]*", pin) for pin in pins.values())


def pin_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


@each_file
def test_hadolint_finds_nothing(path: Path) -> None:
    ended = subprocess.run([linter("hadolint"), path], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
