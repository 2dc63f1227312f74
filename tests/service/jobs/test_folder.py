"""A job beside its results: what is whole is left alone, what is lost or wanted otherwise is made anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine import Engine
from service.errors import BadParameter
from service.jobs.folder import HOME, Asked, FolderJob, folder_job
from service.jobs.model import JobRow
from service.jobs.perform import Bench, ItemWatch, perform
from service.jobs.sql.deaths import POISONED
from service.jobs.store import open_store
from service.jobs.warden import Warden
from service.jobs.worker import Worker
from service.settings import Settings
from tests.service.asking import SQUARE, png
from tests.serving import DECODERS


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def asked(tmp_path: Path, tiny_engine: Engine) -> Asked:
    """Two pictures, one of them broken, and what is wanted of them."""
    (tmp_path / "a.png").write_bytes(png(SQUARE))
    (tmp_path / "b.png").write_bytes(png(SQUARE)[:90])
    files = tuple((name, tmp_path / name) for name in ("a.png", "b.png"))
    return Asked(files, tiny_engine.pipeline("tiny").manifest, ("json", "mask"), {})


@contextmanager
def opened(output: Path) -> Iterator[FolderJob]:
    with folder_job(output, Settings(device="cpu")) as folder:
        yield folder


def work(folder: FolderJob, engine: Engine, most: int = 100) -> None:
    """Do what waits, so many items at most."""
    store = open_store(folder.settings.jobs_store)
    bench = Bench(folder.rows, store, lambda: engine, DECODERS, folder.settings.job_limits)
    warden = Warden(folder.rows, ("tests", "cpu"), 15.0, 1.0, lambda: warden.finished >= most)
    try:
        Worker(bench, lambda claim, held: perform(bench, claim, ItemWatch(bench, claim, held.check)), warden).work()
    finally:
        warden.close()


def done(output: Path, asked: Asked, engine: Engine) -> JobRow:
    """The job from its beginning to its end."""
    with opened(output) as folder:
        job = folder.accept(asked)
        work(folder, engine)
        folder.unpack(folder.row(job))
        return folder.row(job)


def files(output: Path) -> dict[str, bytes]:
    found = (path for path in output.rglob("*") if path.is_file() and HOME not in path.parts)
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in found}


def test_the_same_again_is_the_same_job(output: Path, asked: Asked, tiny_engine: Engine) -> None:
    first = done(output, asked, tiny_engine)
    before = files(output)
    assert {"findings.csv", "report.json", "timings.json", "00000_a/00000_a.mask.png"} <= set(before)
    again = done(output, asked, tiny_engine)
    assert (again.id, again.seq, again.state) == (first.id, first.seq, "partial")
    assert files(output) == before
    with opened(output) as folder:
        assert list(open_store(folder.settings.jobs_store).keys("")) == []


@pytest.mark.parametrize("lost", ["00000_a/00000_a.json", "findings.csv"])
def test_what_was_lost_is_made_anew(output: Path, asked: Asked, tiny_engine: Engine, lost: str) -> None:
    first = done(output, asked, tiny_engine)
    before = files(output)
    (output / lost).unlink()
    again = done(output, asked, tiny_engine)
    assert again.id != first.id
    assert set(files(output)) == set(before)
    assert files(output)["00000_a/00000_a.json"] == before["00000_a/00000_a.json"]


@pytest.mark.parametrize("name", ["findings.csv", "report.json"])
def test_a_table_that_is_not_what_was_written_is_written_again(
    output: Path, asked: Asked, tiny_engine: Engine, name: str
) -> None:
    done(output, asked, tiny_engine)
    before = files(output)
    (output / name).write_bytes(bytes(len(before[name])))
    done(output, asked, tiny_engine)
    assert files(output) == before


def test_an_earlier_result_of_the_same_size_does_not_stay(output: Path, asked: Asked, tiny_engine: Engine) -> None:
    with opened(output) as folder:
        job = folder.accept(asked)
        work(folder, tiny_engine)
        stale = output / "00000_a" / "00000_a.mask.png"
        stale.parent.mkdir()
        [mask] = [file for item in folder.items(job) for file in item.files if file.name.endswith("mask.png")]
        stale.write_bytes(bytes(mask.bytes))
        folder.unpack(folder.row(job))
        assert stale.read_bytes() != bytes(mask.bytes)


def test_what_workers_died_of_is_tried_again(output: Path, asked: Asked, tiny_engine: Engine) -> None:
    with opened(output) as folder:
        job = folder.accept(asked)
        for _ in range(2 * 4):
            folder.rows.claim("dies", "cpu", 9999)
            folder.rows.bury("dies")
        folder.unpack(folder.row(job))
        assert next(folder.items(job)).problem == POISONED
    again = done(output, asked, tiny_engine)
    assert (again.id != job.id, again.done, again.failed) == (True, 2, 1)
    assert "00000_a/00000_a.mask.png" in files(output)


def test_other_wishes_or_files_take_the_place_of_the_earlier_job(
    output: Path, asked: Asked, tiny_engine: Engine, tmp_path: Path
) -> None:
    done(output, asked, tiny_engine)
    (output / "mine.txt").write_text("not from here")
    done(output, replace(asked, outputs=("overlay",)), tiny_engine)
    assert [name for name in files(output) if name.startswith("00000")] == ["00000_a/00000_a.overlay.png"]
    (tmp_path / "b.png").write_bytes(png(SQUARE))
    job = done(output, asked, tiny_engine)
    assert (job.state, job.total) == ("succeeded", 2)
    assert files(output)["mine.txt"] == b"not from here"
    with opened(output) as folder:
        assert [one.id for one in folder.rows.jobs("", 10, 0)] == [job.id]


def test_half_done_it_shows_what_there_is_and_goes_on(output: Path, asked: Asked, tiny_engine: Engine) -> None:
    (asked.files[1][1]).write_bytes(png(SQUARE))
    with opened(output) as folder:
        job = folder.accept(asked)
        work(folder, tiny_engine, most=1)
        folder.unpack(folder.row(job))
    assert set(files(output)) == {"00000_a/00000_a.json", "00000_a/00000_a.mask.png"}
    ended = done(output, asked, tiny_engine)
    assert (ended.id, ended.done) == (job.id, 2)


def test_what_a_killed_command_left_is_cleared_away(output: Path, asked: Asked, tiny_engine: Engine) -> None:
    with opened(output) as folder:
        folder.rows.begin_key("", asked.key, 9999)
        open_store(folder.settings.jobs_store).put("jobs/half/0/input", b"half taken in")
        job = folder.accept(asked)
        assert folder.rows.claim("killed", "cpu", 9999) is not None
        folder.rows.beat("killed", "cpu", True, 0)
    ended = done(output, asked, tiny_engine)
    assert (ended.id, ended.state) == (job.id, "partial")
    with opened(output) as folder:
        assert list(open_store(folder.settings.jobs_store).keys("")) == []


def test_a_file_that_cannot_be_read_fails_alone(
    output: Path, asked: Asked, tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def refuse(path: Path, mode: str = "r", buffering: int = -1, **more: object) -> object:
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return real(path, mode, buffering, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    job = done(output, asked, tiny_engine)
    with opened(output) as folder:
        problem = list(folder.items(job))[1].problem
    assert problem is not None
    assert (job.state, problem.code, problem.found) == (
        "partial",
        "unreadable",
        "a file that cannot be read (Permission denied)",
    )


def test_one_process_at_a_time(output: Path) -> None:
    with opened(output), pytest.raises(BadParameter, match="another batch at work"), opened(output):
        pass
