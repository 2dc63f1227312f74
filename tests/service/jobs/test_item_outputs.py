"""The files of an item: every format, the same bytes again, what cannot be had, nothing left after an error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answers.clock import Clock
from service.answers.outputs import OFFERED
from service.engine import Answer, Engine, Request
from service.errors import BadParameter, DiskFull, InputError
from service.formats.archive import bundled
from service.formats.read import read_image
from service.jobs.item_outputs import (
    DEFAULT_OUTPUTS,
    discard,
    file_of,
    folder_of,
    wanted_outputs,
    write_item,
)
from service.jobs.model import Claim, Done, ItemRow, NewItem, NewJob, StoredFile
from service.jobs.store import Store, read
from tests.service.formats.dicom_sources import PATIENT, ultrasound_file, ultrasound_series
from tests.service.formats.pictures import saved
from tests.service.jobs import written_twice
from tests.service.jobs.limits import files_limited_to
from tests.service.jobs.stores import ROOT, keys_of
from tests.tiny_pipeline import square

SQUARE = square(20, 24, 16)
DARK = np.zeros((64, 64), np.uint8)
DARK[0, 0] = 9
VOLUME = np.stack([DARK, SQUARE, SQUARE, DARK])
CREATED = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
INPUTS: dict[str, Callable[[], bytes]] = {
    "dicom": lambda: ultrasound_file(SQUARE),
    "series": lambda: bundled(ultrasound_series(VOLUME)),
    "png": lambda: saved(SQUARE, "PNG"),
    "empty": lambda: ultrasound_file(DARK),
}
NOT_OF = {
    "dicom": set(),
    "series": {"overlay", "panel"},
    "png": {name for name, one in OFFERED.items() if one.from_dicom},
    "empty": {"dicom-seg"},
}
# Of `panel`, of the tiny pipeline.
PARTS = ("lesion_mask", "lesion_prob")


def claim(name: str = "scan.dcm", **parameters: list[str]) -> Claim:
    item = NewItem(name, "image", "jobs/j/0/input", "0" * 64, 1)
    job = NewJob("j", "", "tiny", "1.0.0", "0" * 64, (), parameters, "0" * 64)
    return Claim("j", 7, "worker", 3, 2, False, 60, item, job, CREATED)


def answered(engine: Engine, kind: str) -> Answer:
    return engine.segment(read_image(INPUTS[kind]()), Request("tiny", masks=True))


def files_of(kind: str) -> int:
    """How many files every format together makes, with that of the times."""
    return len(OFFERED) - len(NOT_OF[kind]) + 1 + (0 if "panel" in NOT_OF[kind] else len(PARTS))


def row(done: Done) -> ItemRow:
    """As the database gives it back."""
    summary = json.loads(json.dumps(done.summary))
    return ItemRow("j", 7, "scan.dcm", "succeeded", None, None, 1, 1, done.files, summary, "image", 1)


@pytest.mark.parametrize("kind", INPUTS)
def test_every_format_of_every_input(tiny_engine: Engine, store: Store, kind: str) -> None:
    answer = answered(tiny_engine, kind)
    done = write_item(answer, tuple(OFFERED), store, claim())
    item = row(done)
    for name, form in OFFERED.items():
        if name in NOT_OF[kind]:
            assert name in done.summary["left_out"]  # type: ignore[operator]
            continue
        file = file_of(item, name)
        assert file is not None
        written = form.of(answer.image)
        assert file.name == f"00007_scan/00007_scan{written.suffix}"
        assert (file.key, file.media_type) == (f"jobs/j/7/2/answer{written.suffix}", written.media_type)
        content = read(store, file)
        assert name == "json" or content == written.encode(answer, Clock())
    assert sorted(keys_of(store)) == sorted(file.key for file in done.files)
    assert len({file.key for file in done.files}) == files_of(kind)


def test_two_processes_on_different_days_write_equal_bytes(tiny_pipelines: Path, tmp_path: Path) -> None:
    kinds = (("dicom", "binary"), ("dicom", "labelmap"), ("series", "binary"), ("png", "binary"))
    arguments = [str(tiny_pipelines)]
    for kind, seg_type in kinds:
        (tmp_path / kind).write_bytes(INPUTS[kind]())
        arguments += [str(tmp_path / kind), seg_type]
    command = [sys.executable, "-W", "error", written_twice.__file__, str(tmp_path / "there"), *arguments]
    environment = {**os.environ, "TZ": another_day(), "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment) as process:
        written_twice.main(str(tmp_path / "here"), *arguments)
    assert process.returncode == 0
    one, other = contents(tmp_path / "here"), contents(tmp_path / "there")
    assert len(one) == sum(files_of(kind) for kind, _ in kinds)
    assert one.keys() == other.keys()
    assert {Path(name).name for name in one if one[name] != other[name]} == {"timings.json"}


def another_day() -> str:
    """A time zone in which it is not the day that it is here: one is 14 hours before, the other 12 behind."""
    here = datetime.now().astimezone().date()
    zones = {"EAST-14": 14, "WEST+12": -12}
    days = {name: datetime.now(timezone(timedelta(hours=hours))).date() for name, hours in zones.items()}
    return next(name for name, day in days.items() if day != here)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_labelmap_where_it_was_asked_for(tiny_engine: Engine, store: Store) -> None:
    answer = answered(tiny_engine, "dicom")
    binary = write_item(answer, ("dicom-seg", "json"), store, claim())
    labelmap = write_item(answer, ("dicom-seg", "json"), store, claim(seg_type=["labelmap"]))
    same = [one.sha256 == other.sha256 for one, other in zip(binary.files, labelmap.files, strict=True)]
    assert same[:2] == [False, True]


def test_json_has_no_times_and_a_file_of_their_own_has(tiny_engine: Engine, store: Store) -> None:
    clock = Clock()
    clock.add("decode", 12.5)
    done = write_item(answered(tiny_engine, "dicom"), ("json",), store, claim(), clock)
    answer, timings = (json.loads(read(store, file)) for file in done.files)
    assert "timings_ms" not in answer
    assert answer["findings"][0]["contour"]
    assert all("milliseconds" not in stage and stage["name"] for stage in answer["stages"])
    assert done.files[1].name == "00007_scan/timings.json"
    assert timings["decode"] == 12.5
    assert timings["stages"] > 0
    assert {stage["name"] for stage in timings["by_stage"]} == {stage["name"] for stage in answer["stages"]}
    assert "millisecond" not in json.dumps(done.summary)


def test_summary_is_small_json_without_the_patient(tiny_engine: Engine, store: Store) -> None:
    done = write_item(answered(tiny_engine, "dicom"), ("json", "dicom-seg"), store, claim())
    text = json.dumps(done.summary)
    assert len(text) < 4000
    assert PATIENT not in text
    (finding,) = json.loads(text)["findings"]
    assert (finding["label"], finding["box"], "contour" in finding) == ("lesion", [20, 24, 36, 40], False)
    assert json.loads(text)["provenance"].keys() == {"weights", "software", "provider"}


def test_what_cannot_be_had_is_said(tiny_engine: Engine, store: Store) -> None:
    item = row(write_item(answered(tiny_engine, "png"), ("json", "dicom-seg"), store, claim()))
    with pytest.raises(InputError, match="Found a DICOM output asked for of a picture that is not DICOM") as caught:
        file_of(item, "dicom-seg")
    assert caught.value.code == "needs_dicom"
    with pytest.raises(BadParameter, match="Found format=mask; wanted one that this job made: json") as refused:
        file_of(item, "mask")
    assert refused.value.code == "unsupported_format"


def test_nothing_to_write_is_no_failure(tiny_engine: Engine, store: Store) -> None:
    done = write_item(answered(tiny_engine, "empty"), ("dicom-seg",), store, claim())
    assert file_of(row(done), "dicom-seg") is None
    assert [file.name for file in done.files] == ["00007_scan/timings.json"]
    with pytest.raises(BadParameter, match="wanted one that this job made: none"):
        file_of(row(done), "json")


def test_an_item_that_can_have_no_format_fails(tiny_engine: Engine, store: Store) -> None:
    with pytest.raises(InputError, match="not DICOM") as caught:
        write_item(answered(tiny_engine, "png"), ("dicom-seg", "dicom-sr"), store, claim())
    assert caught.value.code == "needs_dicom"
    assert keys_of(store) == []


def test_a_full_disk_leaves_nothing(tiny_engine: Engine, store: Store) -> None:
    answer = answered(tiny_engine, "dicom")
    json_size = write_item(answer, ("json",), store, claim()).files[0].bytes
    with files_limited_to(json_size), pytest.raises(DiskFull, match="a store without room"):
        write_item(answer, ("json", "dicom-sc"), store, replace(claim(), attempt=3))
    assert {key.split("/")[3] for key in keys_of(store)} == {"2"}
    assert store.sweep(0) == 0


def test_discarded_files_are_gone(tiny_engine: Engine, store: Store) -> None:
    done = write_item(answered(tiny_engine, "png"), ("json", "mask"), store, claim())
    for _ in range(2):
        discard(store, done.files)
    assert keys_of(store) == []


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ([], DEFAULT_OUTPUTS),
        ([""], DEFAULT_OUTPUTS),
        (["mask,json"], ("json", "mask")),
        (["mask", " coco , mask", "dicom-seg"], ("mask", "dicom-seg", "coco")),
    ],
)
def test_outputs_from_a_field(texts: list[str], wanted: tuple[str, ...]) -> None:
    assert wanted_outputs(texts) == wanted


@pytest.mark.parametrize("text", ["jpg", "json,hologram", "panels", "JSON"])
def test_unknown_outputs(text: str) -> None:
    with pytest.raises(BadParameter, match=r"Found format=.*; wanted one of json, mask") as caught:
        wanted_outputs([text])
    assert caught.value.code == "unsupported_format"


@given(n=st.integers(0, 99_999), name=st.text(max_size=200))
def test_folders_are_harmless_everywhere(n: int, name: str) -> None:
    assert re.fullmatch(r"[0-9]{5}_[A-Za-z0-9_-]{1,60}", folder_of(n, name))


def test_folders_tell_where_they_come_from() -> None:
    assert folder_of(3, "exam 1/Scan 7.nii.gz") == "00003_Scan_7"
    assert folder_of(3, "äöü.png") == folder_of(3, ".hidden") == "00003_item"


def test_keys_hold_no_name(tiny_engine: Engine, store: Store) -> None:
    done = write_item(answered(tiny_engine, "png"), ("json",), store, claim("../Müller^Anna.png"))
    files: tuple[StoredFile, ...] = done.files
    assert [file.key for file in files] == ["jobs/j/7/2/answer.json", "jobs/j/7/2/timings.json"]
    assert files[0].name == "00007_M_ller_Anna/00007_M_ller_Anna.json"
