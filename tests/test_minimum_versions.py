"""No package below the first version without a known hole; a relaxed constraint or an old wheel fails here.

Decoders inside other packages are held to the same, or run in a child process only and are named by ``GET /version``.
"""

from __future__ import annotations

import os
import re
import tomllib
from importlib import metadata
from pathlib import Path

import httpx
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import features

from service.decoding.syscalls import filterable
from service.decoding.versions import DISTRIBUTIONS, FLOORS, OPENJPEG, below_floor, versions

ROOT = Path(__file__).resolve().parent.parent
# The reason stands behind each.
MINIMUM = {
    "pydicom": "3.0.2",  # CVE-2026-32711: a DICOMDIR led to files outside of its folder
    "pillow": "12.2",  # CVE-2026-40192: gzipped FITS, nested fonts and PDF loops
    "starlette": "1.3.1",  # CVE-2026-54283: form limits were ignored for urlencoded bodies
    "python-multipart": "0.0.27",  # CVE-2026-42561: part headers without end
    "onnx": "1.21",  # CVE-2026-27489, -34445, -28500: files and attributes named by a model
    "torch": "2.10",  # CVE-2026-24747: memory corruption by a checkpoint, weights_only or not
    "monai": "1.6",  # GHSA-89gg, GHSA-9rg3: pickles and zips that led out
}
# CVE-2025-49844 lets a Lua script run anything in Redis; nine holes in Orthanc before 1.12.11.
IMAGES = {"redis": ((7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)), "orthanc": ((1, 12, 11),)}
COMPOSE = ROOT / "docker-compose.yml"
SERVED = ("pydicom", "pillow", "starlette", "python-multipart")


@pytest.mark.parametrize("name", MINIMUM)
def test_installed(name: str) -> None:
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed here")
    assert Version(installed) >= Version(MINIMUM[name])


@pytest.mark.parametrize("name", MINIMUM)
def test_pinned(name: str) -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert Version(pins[name]) >= Version(MINIMUM[name])


@pytest.mark.parametrize("name", SERVED)
def test_the_service_asks_for_no_less(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = (one for one in map(Requirement, project["dependencies"]) if one.name == name)
    below = Version(MINIMUM[name]).release
    older = ".".join(str(part) for part in (*below[:-1], below[-1] - 1))
    assert not wanted.specifier.contains(older)
    assert wanted.specifier.contains(metadata.version(name))


def test_images_of_the_compose_file() -> None:
    """A server beside ours is held to its fixes, branch by branch; what has no branch here is too old."""
    images = re.findall(r"image:\s*[\"']?(?:\S*/)?(redis|orthanc):(\d+\.\d+\.\d+)", COMPOSE.read_text(encoding="utf-8"))
    for name, tag in images:
        release = Version(tag).release
        floors = [floor for floor in IMAGES[name] if floor[:2] == release[:2]] or [max(IMAGES[name])]
        assert release >= floors[0], f"{name}:{tag}"


def test_decoders_inside_others() -> None:
    """Pillow's OpenJPEG is new enough; the other one is not, and says so."""
    assert Version(features.version("jpg_2000") or "0") >= Version("2.5.4")
    found = versions()
    assert set(DISTRIBUTIONS) <= set(found)
    old = Version(found[OPENJPEG]) < Version(".".join(map(str, FLOORS[OPENJPEG])))
    assert below_floor(found) == ({OPENJPEG: "2.5.4"} if old else {})


@pytest.mark.parametrize(
    ("version", "below"), [("2.5.2", True), ("2.5.3", True), ("2.5.4", False), ("2.10.0", False), ("3.0.0", False)]
)
def test_floors_compare_numbers(version: str, below: bool) -> None:
    assert (below_floor({OPENJPEG: version}) != {}) is below


def test_version_names_decoders_and_where_they_run(tiny_client: httpx.Client) -> None:
    said = tiny_client.get("/version").json()["decoders"]
    assert said == {
        "isolation": "child process",
        "system_calls_filtered": filterable(),
        "versions": versions(),
        "below_minimum": below_floor(versions()),
    }


def model_that_names(place: str) -> bytes:
    """A network whose weights are in another file."""
    weights = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "16")):
        weights.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("place", ["../outside", "absolute", "link"])
@pytest.mark.parametrize("from_bytes", [True, False])
def test_onnx_runtime_reads_no_other_file_for_a_model(tmp_path: Path, place: str, from_bytes: bool) -> None:
    """Older versions did: onnx issue 3991."""
    outside, folder = tmp_path / "outside", tmp_path / "model"
    outside.write_bytes(b"\0" * 16)
    folder.mkdir()
    os.symlink(outside, folder / "link")
    content = model_that_names(str(outside) if place == "absolute" else place)
    (folder / "m.onnx").write_bytes(content)
    source: bytes | str = content if from_bytes else str(folder / "m.onnx")
    with pytest.raises(Exception, match=r"(?i)external data|outside|symlink|escapes|absolute|not a regular|model_path"):
        onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(str(folder / "m.onnx"))
