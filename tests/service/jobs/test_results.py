"""The zip of a job's results: its table, its report, its files, streamed and the same again."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine import Engine, Request
from service.errors import DamagedFile
from service.formats.archive import bundled
from service.formats.read import read_image
from service.jobs.intake import Upload, take
from service.jobs.item_outputs import write_item
from service.jobs.model import Claim, ItemRow, JobRow, NewItem, NewJob, Problem, StoredFile
from service.jobs.report import COLUMNS, findings_csv
from service.jobs.results import results
from service.jobs.store import Joined, Store, open_store
from service.jobs.zip_out import LARGE, Entry, zipped
from tests.service.formats.dicom_sources import ultrasound_file, ultrasound_series
from tests.service.jobs.stores import BUCKET
from tests.tiny_pipeline import square

MEGABYTE = 1 << 20
CREATED = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
SQUARE = square(20, 24, 16)
BROKEN = Problem("malformed", "a png file that cannot be decoded", "a well-formed file", "Save it anew.")
JOB = JobRow(
    id="j", owner="", state="partial", pipeline="tiny", version="1.0.0", outputs=("json", "mask"), created=CREATED,
    finished=CREATED.replace(hour=9), expires=None, total=4, done=4, stage=None, seq=9, failed=1, weights="ab" * 32,
    parameters={"threshold": ["0.5"]},
)  # fmt: skip


def row(n: int, name: str, **about: Any) -> ItemRow:
    told = {"state": "succeeded", "problem": None, "files": (), "summary": {}, "kind": "image", **about}
    return ItemRow("j", n, name, stage=None, steps_done=1, steps_total=1, attempts=1, **told)


def done(engine: Engine, store: Store, n: int, content: bytes, name: str = "scan.dcm") -> ItemRow:
    item = NewItem(name, "image", f"jobs/j/{n}/input", "0" * 64, 1)
    job = NewJob("j", "", "tiny", "1.0.0", "0" * 64, (), {}, "0" * 64)
    claim = Claim("j", n, "worker", 1, 1, False, 60, item, job, CREATED)
    answer = engine.segment(read_image(content), Request("tiny"))
    written = write_item(answer, ("json", "mask", "overlay"), store, claim)
    return row(n, name, files=written.files, summary=json.loads(json.dumps(written.summary)))


@pytest.fixture
def items(tiny_engine: Engine, store: Store) -> list[ItemRow]:
    dark = np.zeros((64, 64), np.uint8)
    dark[0, 0] = 9
    return [
        done(tiny_engine, store, 0, ultrasound_file(SQUARE)),
        row(1, "bad.png", state="failed", problem=BROKEN),
        done(tiny_engine, store, 2, ultrasound_file(dark), "=cmd|'/c calc'!A1.dcm"),
        done(tiny_engine, store, 3, bundled(ultrasound_series(np.stack([dark, SQUARE, SQUARE, dark]))), "exam"),
    ]


def opened(store: Store, items: list[ItemRow]) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(results(store, JOB, lambda: items))))
    assert archive.testzip() is None
    return archive


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_zip_holds_table_report_files_and_times(store: Store, items: list[ItemRow]) -> None:
    archive = opened(store, items)
    assert archive.namelist() == [
        "findings.csv",
        "report.json",
        *(f"00000_scan/00000_scan{suffix}" for suffix in (".json", ".mask.png", ".overlay.png")),
        *(f"00002_c_calc_A1/00002_c_calc_A1{suffix}" for suffix in (".json", ".mask.png", ".overlay.png")),
        *(f"00003_exam/00003_exam{suffix}" for suffix in (".json", ".mask.nii.gz")),
        "timings.json",
    ]
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    for item in items:
        for file in item.files[:-1]:
            with store.open(file.key) as stream:
                assert archive.read(file.name) == stream.read()


def test_zip_is_the_same_again(store: Store, items: list[ItemRow]) -> None:
    one, other = (b"".join(results(store, JOB, lambda: iter(items))) for _ in range(2))
    assert one == other


def test_table_has_a_row_per_finding_and_per_item_without(store: Store, items: list[ItemRow]) -> None:
    rows = table(opened(store, items).read("findings.csv"))
    assert [tuple(one[name] for name in ("item", "state", "status", "problem", "finding")) for one in rows] == [
        ("0", "succeeded", "found", "", "1"),
        ("1", "failed", "", "malformed", ""),
        ("2", "succeeded", "none_found", "", ""),
        ("3", "succeeded", "found", "", "1"),
    ]
    first, volume = rows[0], rows[3]
    assert tuple(first) == COLUMNS
    assert [first[name] for name in ("left_px", "top_px", "right_px", "bottom_px")] == ["20", "24", "36", "40"]
    assert float(first["area_mm2"]) == pytest.approx(256 * 0.02)
    assert (first["pipeline"], first["version"], first["label"]) == ("tiny", "1.0.0", "lesion")
    assert (first["spacing_source"], first["touches_border"], first["volume_ml"]) == ("pixel_spacing", "false", "")
    assert first["class"] == "benign"
    assert 0 < float(first["class_score"]) <= 1
    assert (volume["first_slice"], volume["last_slice"]) == ("1", "2")
    assert float(volume["volume_ml"]) == pytest.approx(512 * 0.7 / 1000)
    assert float(volume["centroid_y_mm"]) < 0


def test_columns_stay_as_they_are() -> None:
    """Programs read these by name and by place: new ones come at the end."""
    assert ",".join(COLUMNS) == (
        "item,name,state,problem,pipeline,version,status,class,class_score,finding,label,score,left_px,top_px,right_px,"
        "bottom_px,first_slice,last_slice,area_px,area_mm2,long_axis_mm,short_axis_mm,longest_mm,volume_ml,"
        "centroid_x_px,centroid_y_px,centroid_slice,centroid_x_mm,centroid_y_mm,centroid_z_mm,quadrant,clock_face,"
        "touches_border,spacing_source,measurement,measurement_value,measurement_unit"
    )


def test_a_name_is_no_formula(store: Store, items: list[ItemRow]) -> None:
    assert table(opened(store, items).read("findings.csv"))[2]["name"] == "'=cmd|'/c calc'!A1.dcm"


@given(name=st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_name_whatever_is_a_formula_or_breaks_the_table(name: str) -> None:
    content = b"".join(findings_csv(JOB, [row(0, name), row(1, "after")]))
    rows = table(content)
    assert [one["item"] for one in rows] == ["0", "1"]
    assert rows[0]["name"].replace("'", "") == name.replace("'", "")
    assert not rows[0]["name"].startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("a;b.png", '"a;b.png"'),
        ("a;=1+1.png", '"a;\'=1+1.png"'),
        ('a; "@SUM(1)".png', '"a; ""\'@SUM(1)"".png"'),
        ("＝1+1", "'＝1+1"),
        ("-a.png", "'-a.png"),
        ("a\tb", '"a\tb"'),
        ("a=b-c.png", "a=b-c.png"),
    ],
)
def test_a_name_stays_in_its_cell_whatever_parts_cells(name: str, cell: str) -> None:
    assert f"0,{cell},".encode() in b"".join(findings_csv(JOB, [row(0, name)]))


def test_report_says_where_it_comes_from_and_what_became_of_all(store: Store, items: list[ItemRow]) -> None:
    report = json.loads(opened(store, items).read("report.json"))
    assert report["research_use_only"] is True
    assert report["job"] == {
        "id": "j", "state": "partial", "pipeline": "tiny", "version": "1.0.0", "weights_sha256": "ab" * 32,
        "outputs": ["json", "mask"], "parameters": {"threshold": ["0.5"]}, "created": "2031-05-06T07:08:09+00:00",
        "items": 4, "failed": 1,
    }  # fmt: skip
    good, bad, empty, volume = report["items"]
    assert (bad["state"], bad["problem"]["code"], bad["files"]) == ("failed", "malformed", {})
    assert (good["status"], good["findings"], empty["status"], empty["findings"]) == ("found", 1, "none_found", 0)
    assert good["provenance"]["weights"]
    assert good["files"]["mask"] == {
        "name": "00000_scan/00000_scan.mask.png",
        "sha256": items[0].files[1].sha256,
        "bytes": items[0].files[1].bytes,
        "media_type": "image/png",
    }
    assert volume["left_out"]["overlay"]["code"] == "needs_one_slice"


def test_times_stand_apart(store: Store, items: list[ItemRow]) -> None:
    archive = opened(store, items)
    timings = json.loads(archive.read("timings.json"))
    assert timings["finished"] == "2031-05-06T09:08:09+00:00"
    assert [one["n"] for one in timings["items"]] == [0, 1, 2, 3]
    assert timings["items"][0]["timings_ms"]["stages"] > 0
    assert timings["items"][1]["timings_ms"] is None
    for name in ("report.json", "findings.csv"):
        assert not {b"millisecond", b"finished", b"09:08:09"} & {
            word for word in (b"millisecond", b"finished", b"09:08:09") if word in archive.read(name)
        }


def test_an_empty_job_is_a_whole_zip(store: Store) -> None:
    assert opened(store, []).namelist() == ["findings.csv", "report.json", "timings.json"]
    assert json.loads(opened(store, []).read("report.json"))["items"] == []


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_damaged_file_never_becomes_a_whole_zip(store: Store, items: list[ItemRow], harm: str) -> None:
    file = items[0].files[1]
    store.delete(file.key)
    if harm == "changed":
        store.put(file.key, bytes(file.bytes))
    sent: list[bytes] = []
    with pytest.raises(DamagedFile, match=r"no file where one was|not what was written"):
        sent.extend(results(store, JOB, lambda: items))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(sent)))


def test_neither_a_file_nor_the_zip_is_held_in_memory(store: Store) -> None:
    noise = np.random.default_rng(1).bytes(MEGABYTE)

    def file(n: int) -> StoredFile:
        stored = store.put(f"jobs/j/{n}/1/answer.nii.gz", Joined(noise for _ in range(12)))
        return StoredFile(f"{n:05d}_x/x.nii.gz", f"jobs/j/{n}/1/answer.nii.gz", stored.sha256, stored.bytes, "x")

    items = [row(n, "x", files=(file(n),)) for n in range(2)]
    tracemalloc.start()
    longest = total = 0
    for piece in results(store, JOB, lambda: items):
        longest, total = max(longest, len(piece)), total + len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 24 * MEGABYTE
    assert longest < 4 * MEGABYTE
    assert peak < 8 * MEGABYTE


def test_thousands_of_items_take_no_memory_each(store: Store) -> None:
    summary = {"status": "none_found", "findings": [], "note": "x" * 2000}

    def many() -> Iterable[ItemRow]:
        return (row(n, f"{n}.png", summary={**summary, "n": n}) for n in range(2000))

    tracemalloc.start()
    pieces = sum(1 for _ in results(store, JOB, many))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pieces > 2000
    assert peak < 2 * MEGABYTE


def test_a_download_given_up_leaves_nothing_open(store: Store, items: list[ItemRow]) -> None:
    pieces: Any = results(store, JOB, lambda: items)
    for _ in range(8):
        next(pieces)
    pieces.close()


@pytest.mark.parametrize("compress", [True, False])
def test_entries_whose_size_is_large(compress: bool) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"small after all"

    whole = b"".join(zipped([Entry("a", pieces(), LARGE + 1), Entry("b", [b""])], compress=compress))
    archive = zipfile.ZipFile(io.BytesIO(whole))
    assert (archive.read("a"), archive.read("b")) == (b"small after all", b"")


def test_object_storage_gives_the_same_zip(tiny_engine: Engine, store: Store, tmp_path: Path, endpoint: str) -> None:
    away = open_store(f"s3://{BUCKET}/{tmp_path.name}?endpoint={endpoint}")
    sent = [Upload("a.dcm", io.BytesIO(ultrasound_file(SQUARE)))]
    sent += [Upload(f"exam/{n}", io.BytesIO(one)) for n, one in enumerate(ultrasound_series(np.stack([SQUARE] * 3)))]
    zips = []
    for place in (store, away):
        taken = take(sent, place, "j")
        assert [one.key for one in place.keys("jobs/j/")] == ["jobs/j/0/input", "jobs/j/1/input"]
        rows = [done(tiny_engine, place, n, content(place, one), one.name) for n, one in enumerate(taken.items)]
        with zipfile.ZipFile(io.BytesIO(b"".join(results(place, JOB, partial(iter, rows))))) as archive:
            zips.append({name: archive.read(name) for name in archive.namelist() if name != "timings.json"})
    assert zips[0] == zips[1]
    assert len(zips[0]) == 2 + 3 + 2


def content(store: Store, item: NewItem) -> bytes:
    with store.open(item.key) as stream:
        return stream.read()


def test_job_rows_change_nothing_but_themselves(store: Store, items: list[ItemRow]) -> None:
    later = replace(JOB, finished=CREATED.replace(hour=20), seq=99)
    one = opened(store, items)
    other = zipfile.ZipFile(io.BytesIO(b"".join(results(store, later, lambda: items))))
    assert [name for name in one.namelist() if one.read(name) != other.read(name)] == ["timings.json"]
