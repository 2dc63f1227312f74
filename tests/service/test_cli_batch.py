"""``breast-cascade batch``: a folder as one job, which goes on where it was, whatever ended it."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from service import settings
from service.jobs.folder import HOME
from tests.processes import HEARING, ROOT, descendants, gone
from tests.service.asking import EXPECTED, SQUARE, pixels, png
from tests.service.commands import call
from tests.service.jobs.pictures import volume
from tests.service.test_api_jobs import DARK
from tests.serving import until


@pytest.fixture(autouse=True)
def only_tiny(monkeypatch: pytest.MonkeyPatch, tiny_pipelines: Path, tmp_path: Path) -> None:
    """The tiny pipeline, in this process and in its children's environment."""
    monkeypatch.setattr(settings, "BUNDLED", tiny_pipelines)
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(tiny_pipelines))
    monkeypatch.setenv("BREAST_CASCADE_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of pictures with one below it, and a text."""
    folder = tmp_path / "scans"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(SQUARE))
    (folder / "below" / "b.png").write_bytes(DARK)
    (folder / "notes.txt").write_text("no picture")
    return folder


def batch(scans: Path, out: Path, *more: str) -> tuple[int, str, str]:
    return call("batch", scans, "-o", out, "--pipeline", "tiny", *more)


def states(out: Path) -> dict[str, tuple[int, int]]:
    """Every result, and when it was written."""
    files = (path for path in out.rglob("*") if path.is_file() and HOME not in path.parts)
    return {path.relative_to(out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def kept(out: Path) -> list[str]:
    """What is left of the copies."""
    return [path.name for path in (out / HOME / "jobs" / "files").rglob("*") if path.is_file()]


def test_a_folder_becomes_results_and_the_second_time_nothing_is_done(scans: Path, tmp_path: Path) -> None:
    (scans / "c.png").write_bytes(png(SQUARE)[:90])
    out = tmp_path / "out"
    code, said, err = batch(scans, out, "--set", "threshold=0.4")
    assert (code, "2 of 3 items done, 1 failed" in said) == (1, True), err
    assert "c.png: Found" in err
    np.testing.assert_array_equal(pixels((out / "00000_a" / "00000_a.mask.png").read_bytes()), EXPECTED)
    rows = list(csv.DictReader((out / "findings.csv").read_text().splitlines()))
    assert [(row["name"], row["status"]) for row in rows] == [
        ("a.png", "found"),
        ("c.png", ""),
        ("below/b.png", "none_found"),
    ]
    report = json.loads((out / "report.json").read_text())
    assert report["job"]["parameters"] == {"threshold": ["0.4"]}
    assert set(states(out)) == {
        *("findings.csv", "report.json", "timings.json", "00000_a/00000_a.json", "00000_a/00000_a.mask.png"),
        *("00002_b/00002_b.json", "00002_b/00002_b.mask.png"),
    }
    assert kept(out) == []
    before = states(out)
    code, said, _ = batch(scans, out, "--set", "threshold=0.4", "--json")
    assert (code, json.loads(said)["state"]) == (1, "partial")
    assert states(out) == before
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--outputs", "gif"], "format=gif"),
        (["--set", "threshold=9"], "threshold=9"),
        (["--set", "threshold"], "wanted NAME=VALUE"),
        (["--pipeline", "nope"], "pipeline nope"),
        (["--set", "version=9"], "pipeline tiny 9"),
    ],
)
def test_a_wrong_command_exits_2(scans: Path, tmp_path: Path, more: list[str], said: str) -> None:
    code, out, err = batch(scans, tmp_path / "out", *more)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures_and_a_busy_output_exit_2(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert batch(tmp_path / "empty", tmp_path / "out")[0] == 2
    (tmp_path / "out" / HOME).mkdir(parents=True)
    with (tmp_path / "out" / HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = batch(scans, tmp_path / "out")
    assert (code, "another batch" in " ".join(err.replace("│", " ").split())) == (2, True)


def test_a_pipeline_that_cannot_be_loaded_exits_3(
    scans: Path, tmp_path: Path, tiny_pipelines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    subprocess.run(["cp", "-r", tiny_pipelines, broken], check=True)
    (broken / "tiny" / "1.0.0" / "segment.onnx").write_bytes(b"altered")
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(broken))
    with pytest.raises(Exception, match=r"a worker that cannot start(.|\n)*segment.onnx"):
        batch(scans, tmp_path / "out")


def started(scans: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [*HEARING, sys.executable, "-m", "service.cli", "batch", scans, "-o", out, "--pipeline", "tiny"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    found = []
    for pid in descendants(process.pid)[1:]:
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"service.jobs.once" in command.read_bytes():
            found.append(pid)
    return found


def counted(out: Path, what: str, where: str = "true") -> int:
    """Of all items, as their rows say; 0 before there are any."""
    if not (path := out / HOME / "jobs" / "jobs.sqlite").exists():
        return 0
    with closing(sqlite3.connect(path)) as link, suppress(sqlite3.OperationalError):
        return int(link.execute(f"SELECT sum({what}) FROM items WHERE {where}").fetchone()[0] or 0)  # noqa: S608
    return 0


def test_an_item_is_not_to_blame_for_what_kills_the_command(tmp_path: Path) -> None:
    """Nor for a terminal that closes: however often, it does not end as poisoned."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    (scans / "v.nii").write_bytes(volume(20_000))
    for told in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        before = counted(out, "attempts")
        process = started(scans, out)
        until(lambda before=before: counted(out, "attempts", "state = 'running' AND steps_done > 0") > before)
        process.send_signal(told)
        process.communicate()
    assert counted(out, "deaths") == 0


def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    """The worker is killed: another one goes on. The command is killed: so is its worker, and the next one goes on."""
    scans, out = tmp_path / "many", tmp_path / "out"
    scans.mkdir()
    for n in range(20):
        (scans / f"{n:02}.png").write_bytes(png(SQUARE))
    process = started(scans, out)
    until(lambda: workers_of(process))
    time.sleep(1.0)
    for pid in workers_of(process):
        os.kill(pid, signal.SIGKILL)
    until(lambda: workers_of(process) or process.poll() is not None)
    pids = workers_of(process)
    process.kill()
    process.communicate()
    until(lambda: all(gone(pid) or not Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids))
    process = started(scans, out)
    said, err = process.communicate(timeout=100)
    assert (process.returncode, b"20 of 20 items done, 0 failed" in said) == (0, True), err
    masks = [path.read_bytes() for path in sorted(out.glob("*/*.mask.png"))]
    assert (len(masks), len(set(masks))) == (20, 1)
    assert kept(out) == []


ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("told", ENDS)
def test_told_to_end_it_keeps_what_is_done_and_says_so(tmp_path: Path, told: signal.Signals) -> None:
    scans, out = tmp_path / "many", tmp_path / "out"
    scans.mkdir()
    for n in range(200):
        (scans / f"{n:03}.png").write_bytes(png(SQUARE))
    process = started(scans, out)
    until(lambda: list((out / HOME / "jobs" / "files").glob("jobs/*/*/1/answer.json")))
    process.send_signal(told)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, b"goes on from here" in err) == (ENDS[told], True), err
    assert counted(out, "deaths") == 0
    assert list(out.glob("*/*.mask.png"))
    assert not (out / "findings.csv").exists()


def test_a_folder_with_one_more_file_does_that_one_alone_and_says_so(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "unchanged" not in batch(scans, out)[2]
    assert "2 of 2 items were done before." in batch(scans, out)[2]
    (scans / "c.png").write_bytes(DARK + b"another")
    code, said, err = batch(scans, out)
    assert (code, "3 of 3 items done, 0 failed" in said) == (0, True), err
    assert "2 of 3 items are unchanged and keep their results." in err
    lines = json.loads((out / "timings.json").read_text())["items"]
    assert sum(line["attempts"] for line in lines) == 1
