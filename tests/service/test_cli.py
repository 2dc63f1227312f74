"""The command line, as a user calls it: in processes of their own where exit codes and streams matter."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow

from service import __version__, cli, engine, settings
from service.answers.parameters import KNOWN
from service.cli import installed as about
from service.errors import SetupError, WeightsError
from tests import tiny_pipeline
from tests.service.asking import EXPECTED, SQUARE, png
from tests.service.commands import call
from tests.service.formats.dicom_sources import ultrasound_file
from tests.serving import until
from tests.tiny_pipeline import square

ROOT = Path(cli.__file__).parents[2]
pytestmark = pytest.mark.usefixtures("loggers_restored")


@pytest.fixture(autouse=True)
def only_tiny(monkeypatch: pytest.MonkeyPatch, tiny_pipelines: Path, tmp_path: Path) -> None:
    """The tiny pipeline and none of the bundled ones, in this process and in its children's environment."""
    monkeypatch.setattr(settings, "BUNDLED", tiny_pipelines)
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(tiny_pipelines))
    monkeypatch.setenv("BREAST_CASCADE_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of pictures with one below it, and things that are no pictures."""
    folder = tmp_path / "scans"
    (folder / "second").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(SQUARE))
    (folder / "second" / "b.tif").write_bytes(png(square(8, 8, 16)))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(png(SQUARE))
    return folder


def child(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, from another directory."""
    command = [sys.executable, "-m", "service.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=60, check=False)


def mask(path: Path) -> np.ndarray:
    return np.asarray(Pillow.open(path))


def test_help_shows_an_example_and_the_exit_codes() -> None:
    code, out, _ = call("--help")
    assert code == 0
    assert "breast-cascade segment picture.png -o out" in out
    assert "Exit codes: 0 all well" in " ".join(out.split())
    for command in ("serve", "segment", "pipelines", "doctor"):
        code, out, _ = call(command, "--help")
        assert (code, f"breast-cascade {command}" in " ".join(out.split()) or "Example" in out) == (0, True)


def test_version() -> None:
    assert call("--version")[:2] == (0, f"{__version__}\n")


def test_segment_folder_in_folder_out(scans: Path, tmp_path: Path) -> None:
    code, out, _ = call("segment", scans, "-o", tmp_path / "out")
    assert code == 0
    written = sorted(str(one.relative_to(tmp_path / "out")) for one in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.mask.png", "second/b.mask.png"]
    np.testing.assert_array_equal(mask(tmp_path / "out" / "a.mask.png"), EXPECTED)
    assert "a.png" in out
    assert "found" in out


def test_segment_writes_dicom_and_says_where_nothing_was_found(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "bright.dcm").write_bytes(ultrasound_file(SQUARE))
    (folder / "dark.dcm").write_bytes(ultrasound_file(square(0, 0, 32) // 4))
    code, out, _ = call("segment", folder, "-o", tmp_path / "out", "--format", "dicom-seg", "--seg-type", "labelmap")
    assert code == 0
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["bright.seg.dcm"]
    assert pydicom.dcmread(tmp_path / "out" / "bright.seg.dcm").SegmentationType == "LABELMAP"
    (dark,) = (line for line in out.splitlines() if "dark.dcm" in line)
    assert "none_found" in dark
    assert ".seg.dcm" not in dark


def test_segment_writes_volumes_as_nifti(tmp_path: Path) -> None:
    volume = nib.Nifti1Image(np.stack([SQUARE, SQUARE], axis=2), np.diag([0.5, 0.5, 2, 1]))
    nib.save(volume, tmp_path / "volume.nii.gz")
    code, out, _ = call("segment", tmp_path / "volume.nii.gz", "-o", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["output"] == str(tmp_path / "out" / "volume.mask.nii.gz")
    written = nib.load(tmp_path / "out" / "volume.mask.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.asanyarray(volume.dataobj) // 255)
    np.testing.assert_array_equal(written.affine, volume.affine)


def test_segment_answers_are_no_input_of_the_next_run(scans: Path) -> None:
    for _ in range(2):
        assert call("segment", scans, "-o", scans / "out")[0] == 0
    assert len(list((scans / "out").rglob("*.png"))) == 2


def test_segment_json_is_one_line_per_picture(scans: Path) -> None:
    code, out, _ = call("segment", scans, "--json", "--format", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, [Path(line["file"]).name for line in lines]) == (0, ["a.png", "b.tif"])
    assert lines[0]["answer"]["findings"][0]["box"] == [20, 24, 36, 40]
    assert lines[0]["output"] is None


def test_segment_takes_parameters(scans: Path) -> None:
    _, out, _ = call(
        "segment", scans / "a.png", "--json", "--pipeline", "tiny", "--box", "20,24,36,40", "--threshold", "0.4"
    )
    assert json.loads(out)["answer"]["stages"][0]["localisation"] == "given"


def test_segment_offers_every_parameter_of_a_request() -> None:
    _, out, _ = call("segment", "--help")
    said = " ".join(out.replace("│", " ").split())
    for name in KNOWN:
        assert f"--{name.replace('_', '-')} " in said
    for shown in ("MM", "Y,X", "Z,Y,X", "in place of what the file says"):
        assert shown in said


def test_segment_takes_version_stage_and_one_spacing(scans: Path) -> None:
    asked = ("--version", "1.0.0", "--stage", "lesion", "--spacing", "0.5")
    code, out, _ = call("segment", scans / "a.png", "--json", "--pipeline", "tiny", *asked)
    answer = json.loads(out)["answer"]
    assert (code, answer["version"], answer["image"]["spacing_source"]) == (0, "1.0.0", "user")
    assert answer["image"]["spacing_mm"] == [None, 0.5, 0.5]
    for wrong in (("--stage", "nowhere"), ("--mask-outside-region",)):
        code, out, _ = call("segment", scans / "a.png", "--json", *wrong)
        assert (code, "answer" in json.loads(out)) == (1, False)
    assert json.loads(out)["problem"]["code"] == "no_region"


def test_segment_goes_on_after_a_bad_picture_and_exits_1(scans: Path, tmp_path: Path) -> None:
    code, out, err = call("segment", scans / "notes.txt", scans / "a.png", "-o", tmp_path / "out", "--json")
    bad, good = (json.loads(line) for line in out.splitlines())
    assert (code, bad["problem"]["code"], good["answer"]["status"]) == (1, "unknown_format", "found")
    assert "notes.txt: Found content of no known picture format" in err
    code, out, _ = call("segment", scans / "notes.txt")
    assert (code, "failed" in out) == (1, True)


def test_segment_unreadable_file_fails_alone(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    code, out, _ = call("segment", scans / "a.png", "--json")
    assert (code, json.loads(out)["problem"]["code"]) == (1, "unreadable")


def test_segment_same_stem_keeps_both(scans: Path, tmp_path: Path) -> None:
    (scans / "a.bmp").write_bytes(png(SQUARE))
    assert call("segment", scans, "-o", tmp_path / "out")[0] == 0
    assert {"a.bmp.mask.png", "a.png.mask.png"} <= {one.name for one in (tmp_path / "out").iterdir()}


def test_segment_several_folders_keep_their_names(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.png").write_bytes(png(SQUARE))
    assert call("segment", scans, tmp_path / "more", "-o", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "scans" / "a.mask.png").is_file()
    assert (tmp_path / "out" / "more" / "a.mask.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{scans}/a.png", "--threshold", "2"], "threshold=2"),
        (["{scans}/a.png", "--box", "1,2"], "box=1,2"),
        (["{scans}/a.png", "--points", "1,2"], "points=1,2"),
        (["{scans}/a.png", "--format", "gif"], "format=gif"),
        (["{scans}/a.png", "--pipeline", "nope"], "nope"),
        (["{scans}/nothing.png"], "does not exist"),
        (["{scans}/a.png", "{scans}/a.png", "-o", "{scans}/out"], "a file of its own"),
        ([], "Missing argument"),
        (["{scans}/a.png", "--pipeline", "tiny", "--version", "9.9.9"], "9.9.9"),
    ],
)
def test_segment_wrong_command_exits_2(scans: Path, arguments: list[str], said: str) -> None:
    code, out, err = call("segment", *(one.format(scans=scans) for one in arguments))
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_segment_never_writes_over_a_picture(scans: Path) -> None:
    (scans / "a.mask.png").write_bytes(png(SQUARE))
    code, _, err = call("segment", scans / "a.png", scans / "a.mask.png", "-o", scans)
    assert (code, "which is a picture" in " ".join(err.replace("│", " ").split())) == (2, True)


def test_pipelines_as_table_and_json() -> None:
    code, out, _ = call("pipelines")
    assert (code, "tiny" in out, "localise, lesion, classify" in out) == (0, True, True)
    code, out, _ = call("pipelines", "--json")
    assert json.loads(out)["pipelines"][0]["name"] == "tiny"


def test_main_tells_a_setup_error_and_exits_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def opener(_: settings.Settings) -> engine.Engine:
        raise WeightsError("x.onnx: altered", "the digest", "Restore [it].")

    monkeypatch.setattr(about, "open_engine", opener)
    monkeypatch.setattr(sys, "argv", ["breast-cascade", "pipelines"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 3
    assert "Found x.onnx: altered; wanted the digest. Restore [it]." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--host", "0.0.0.0"], "BREAST_CASCADE_ACCESS=off"), (["--host", "192.0.2.1"], "breast-cascade keys add")],
)
def test_serve_elsewhere_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(SetupError, match=said):
        call("serve", *arguments)


def test_serve_refuses_an_address_it_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAST_CASCADE_ACCESS", "off")
    with pytest.raises(SetupError, match="cannot be taken"):
        call("serve", "--host", "192.0.2.1", "--port", "0")


def test_serve_does_not_start_on_an_altered_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny_pipeline.write(tmp_path / "altered")
    (root / "tiny" / "1.0.0" / "segment.onnx").write_bytes(b"altered")
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(root))
    ended = child("serve", "--port", "0")
    assert ended.returncode == 3
    assert "segment.onnx: sha256" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_serve_on_a_free_port_until_told_to_stop(tmp_path: Path, scans: Path) -> None:
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BREAST_CASCADE_ACCESS": "off"}
    log = tmp_path / "log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, env=environment, cwd="/") as process,
    ):
        assert process.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline().decode())
        assert url is not None
        with httpx.Client(base_url=url[0], trust_env=False) as client:
            until(lambda: client.get("/health/ready").status_code == 200)
            files = {"file": ("scan.png", png(SQUARE))}
            answer = client.post("/segment", params={"pipeline": "tiny", "format": "mask"}, files=files)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(answer.content))), EXPECTED)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["event"] for one in events if one["event"] != "request"] == ["access_off", "ready", "draining"]
    assert next(one for one in events if one["event"] == "access_off")["level"] == "warning"


def test_command_and_service_give_the_same_mask(scans: Path, tmp_path: Path, tiny_client: httpx.Client) -> None:
    assert child("segment", scans / "a.png", "-o", tmp_path / "out", "--pipeline", "tiny").returncode == 0
    answer = tiny_client.post("/segment?format=mask", content=(scans / "a.png").read_bytes())
    assert (tmp_path / "out" / "a.mask.png").read_bytes() == answer.content
