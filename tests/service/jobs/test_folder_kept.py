"""A folder whose files have changed: what is unchanged keeps its results, and all is as if it had been done anew."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine import Engine
from service.jobs import folder as module
from service.jobs.folder import Asked
from service.jobs.rows import Rows
from service.jobs.store import open_store
from tests.service.jobs.pictures import picture, volume
from tests.service.jobs.test_folder import done, files, opened, work

NAMES = ("b.png", "c.png", "d/v.nii", "e.png")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three pictures and a volume."""
    folder = tmp_path / "scans"
    (folder / "d").mkdir(parents=True)
    for left, name in enumerate(NAMES):
        (folder / name).write_bytes(volume(4) if name.endswith("nii") else picture(20 + left))
    return folder


@pytest.fixture
def wish(tiny_engine: Engine) -> Asked:
    return Asked((), tiny_engine.pipeline("tiny").manifest, ("json", "mask"), {})


def asked(wish: Asked, scans: Path) -> Asked:
    """All files of the folder, by name."""
    found = sorted(path for path in scans.rglob("*") if path.is_file())
    return replace(wish, files=tuple((path.relative_to(scans).as_posix(), path) for path in found))


def attempts(output: Path) -> dict[str, int]:
    """How often each item was begun, as the times of the run tell."""
    lines = json.loads((output / "timings.json").read_text())["items"]
    rows = list(csv.DictReader((output / "findings.csv").read_text().splitlines()))
    names = {int(row["item"]): row["name"] for row in rows}
    return {names[line["n"]]: line["attempts"] for line in lines}


def results(output: Path) -> dict[str, bytes]:
    """All that two runs over the same files have in common."""
    found = {name: content for name, content in files(output).items() if name not in ("timings.json", "report.json")}
    report = json.loads((output / "report.json").read_text())
    return {**found, "report": json.dumps([{**report["job"], "id": "", "created": ""}, report["items"]]).encode()}


def as_if_new(output: Path, wish: Asked, engine: Engine, tmp_path: Path) -> bool:
    """Whether a run into an empty folder gives the same."""
    done(tmp_path / "fresh", wish, engine)
    return results(output) == results(tmp_path / "fresh")


@pytest.fixture
def output(tmp_path: Path, scans: Path, wish: Asked, tiny_engine: Engine) -> Path:
    """The results of all four."""
    done(tmp_path / "out", asked(wish, scans), tiny_engine)
    assert attempts(tmp_path / "out") == dict.fromkeys(NAMES, 1)
    return tmp_path / "out"


def test_only_what_is_new_or_changed_is_done(
    output: Path, scans: Path, wish: Asked, tiny_engine: Engine, tmp_path: Path
) -> None:
    (scans / "a.png").write_bytes(picture(30))
    (scans / "c.png").write_bytes(picture(31))
    (scans / "e.png").unlink()
    now = asked(wish, scans)
    with opened(output) as folder:
        job = folder.accept(now)
        assert (folder.kept, job.total, job.done) == (2, 4, 2)
        work(folder, tiny_engine)
        folder.unpack(folder.row(job))
        assert list(open_store(folder.settings.jobs_store).keys("")) == []
    assert attempts(output) == {"a.png": 1, "b.png": 0, "c.png": 1, "d/v.nii": 0}
    assert as_if_new(output, now, tiny_engine, tmp_path)


def test_results_in_their_place_are_not_written_again(
    output: Path, scans: Path, wish: Asked, tiny_engine: Engine
) -> None:
    before = {path: path.stat().st_ino for path in output.glob("00000_b/*")}
    (scans / "e.png").write_bytes(picture(31))
    done(output, asked(wish, scans), tiny_engine)
    assert {path: path.stat().st_ino for path in output.glob("00000_b/*")} == before != {}


def test_files_that_changed_places_take_their_results_along(
    output: Path, scans: Path, wish: Asked, tiny_engine: Engine, tmp_path: Path
) -> None:
    """The results of both have the same names and sizes: one in the place of the other would go unnoticed."""
    (scans / "b.png").rename(scans / "x")
    (scans / "c.png").rename(scans / "b.png")
    (scans / "x").rename(scans / "c.png")
    done(output, asked(wish, scans), tiny_engine)
    assert attempts(output) == dict.fromkeys(NAMES, 0)
    assert as_if_new(output, asked(wish, scans), tiny_engine, tmp_path)


def test_copies_share_what_was_made_of_one(
    output: Path, scans: Path, wish: Asked, tiny_engine: Engine, tmp_path: Path
) -> None:
    (scans / "a.png").write_bytes((scans / "e.png").read_bytes())
    done(output, asked(wish, scans), tiny_engine)
    assert attempts(output) == dict.fromkeys(("a.png", *NAMES), 0)
    assert as_if_new(output, asked(wish, scans), tiny_engine, tmp_path)


def test_a_new_date_alone_changes_nothing(output: Path, scans: Path, wish: Asked, tiny_engine: Engine) -> None:
    before = results(output)
    os.utime(scans / "b.png", (1, 1))
    job = done(output, asked(wish, scans), tiny_engine)
    assert (job.state, attempts(output)) == ("succeeded", dict.fromkeys(NAMES, 0))
    assert results(output) == before


@pytest.mark.parametrize("deed", ["remove", "damage"])
def test_a_result_that_is_not_what_was_written_is_made_again(
    output: Path, scans: Path, wish: Asked, tiny_engine: Engine, deed: str
) -> None:
    before = results(output)
    mask = output / "00001_c" / "00001_c.mask.png"
    if deed == "remove":
        mask.unlink()
    else:
        # No size and no date tells it.
        mask.write_bytes(bytes(len(mask.read_bytes())))
    done(output, asked(wish, scans), tiny_engine)
    assert attempts(output) == {**dict.fromkeys(NAMES, 0), "c.png": 1}
    assert results(output) == before


@pytest.mark.parametrize("change", [{"outputs": ("json",)}, {"parameters": {"threshold": ["0.4"]}}])
def test_other_wishes_do_everything_anew(
    output: Path, scans: Path, wish: Asked, tiny_engine: Engine, change: dict[str, object]
) -> None:
    done(output, asked(replace(wish, **change), scans), tiny_engine)  # type: ignore[arg-type]
    assert attempts(output) == dict.fromkeys(NAMES, 1)


def test_other_software_does_everything_anew(
    output: Path, scans: Path, wish: Asked, tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "software", lambda: {"breast-cascade": "next"})
    with opened(output) as folder:
        assert folder.accept(asked(wish, scans)).done == 0


def test_failed_items_are_tried_again(output: Path, scans: Path, wish: Asked, tiny_engine: Engine) -> None:
    whole = (scans / "e.png").read_bytes()
    (scans / "e.png").write_bytes(whole[:90])
    assert done(output, asked(wish, scans), tiny_engine).failed == 1
    (scans / "a.png").write_bytes(picture(30))
    done(output, asked(wish, scans), tiny_engine)
    assert attempts(output) == {**dict.fromkeys(NAMES, 0), "a.png": 1, "e.png": 1}
    (scans / "e.png").write_bytes(whole)
    done(output, asked(wish, scans), tiny_engine)
    assert attempts(output) == {"a.png": 0, **dict.fromkeys(NAMES, 0), "e.png": 1}


def test_what_an_unfinished_job_has_done_is_kept_too(
    tmp_path: Path, scans: Path, wish: Asked, tiny_engine: Engine
) -> None:
    output = tmp_path / "out"
    with opened(output) as folder:
        folder.accept(asked(wish, scans))
        work(folder, tiny_engine, most=2)
    (scans / "e.png").write_bytes(picture(31))
    done(output, asked(wish, scans), tiny_engine)
    assert attempts(output) == {"b.png": 0, "c.png": 0, "d/v.nii": 1, "e.png": 1}
    assert as_if_new(output, asked(wish, scans), tiny_engine, tmp_path)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_takes_the_new_files_in_it_loses_no_result_and_shows_no_wrong_one(
    output: Path, scans: Path, wish: Asked, tiny_engine: Engine, tmp_path: Path, when: str
) -> None:
    (scans / "a.png").write_bytes(picture(30))
    real = Rows.replace

    def killed(*given: object) -> None:
        if when == "after":
            real(*given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rows, "replace", killed)
        with opened(output) as folder, pytest.raises(KeyboardInterrupt):
            folder.accept(asked(wish, scans))
    done(output, asked(wish, scans), tiny_engine)
    assert as_if_new(output, asked(wish, scans), tiny_engine, tmp_path)
    with opened(output) as folder:
        assert list(open_store(folder.settings.jobs_store).keys("")) == []
