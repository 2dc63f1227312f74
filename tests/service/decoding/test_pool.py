"""Files are decoded elsewhere, and whatever happens there the next file is decoded too."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.decoding.bounds import MEBIBYTE, Bounds
from service.decoding.pool import Decoders
from service.engine import Engine
from service.errors import InputError, SetupError, TooLarge, UnknownFormat, UnusableImage
from service.formats.limits import Limits
from service.formats.raster import read_raster
from service.log import JsonLines
from service.settings import Settings
from tests.processes import gone, named
from tests.service.asking import post
from tests.service.decoding.readers import Gate
from tests.service.formats.pictures import deep, gradient, saved, saved_deep
from tests.serving import serving, until

READER = "tests.service.decoding.readers:read"
BOUNDS = Bounds(memory=256 * MEBIBYTE, seconds=20)
PICTURE = saved(gradient(), "PNG")


@contextmanager
def opened(bounds: Bounds = BOUNDS) -> Iterator[Decoders]:
    """Decoders with the misbehaving reader."""
    decoders = Decoders(bounds, READER)
    try:
        yield decoders
    finally:
        decoders.close()


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """Shared by tests that leave it working, which each checks by `works`."""
    with opened() as decoders:
        decoders.start()
        yield decoders


def works(decoders: Decoders) -> bool:
    """Whether a picture comes back right."""
    return np.array_equal(decoders.read(PICTURE, Limits()).slab(0, 1)[0], gradient())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_the_same_image_as_in_this_process(decoders: Decoders, kind: str) -> None:
    content = saved(gradient(), kind)
    here, there = read_raster(content), decoders.read(content, Limits())
    np.testing.assert_array_equal(here.slab(0, 1), there.slab(0, 1))
    assert here.voxels.dtype == there.voxels.dtype
    assert here.notes == there.notes


def test_sixteen_bit_colour_keeps_its_depth(decoders: Decoders) -> None:
    image = decoders.read(saved_deep(deep(), ".png"), Limits())
    np.testing.assert_array_equal(image.slab(0, 1)[0], deep())
    assert image.notes == ("16-bit kept",)


def test_voxels_are_shared_and_not_to_be_written(decoders: Decoders) -> None:
    with pytest.raises(ValueError, match="read-only"):
        decoders.read(PICTURE, Limits()).voxels[0, 0, 0, 0] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "limits", "kind"),
    [
        (b"", Limits(), UnusableImage),
        (b"GIF89a", Limits(), UnknownFormat),
        (PICTURE[:-9], Limits(), UnusableImage),
        (PICTURE, Limits(max_pixels=100), TooLarge),
        (PICTURE, Limits(min_side=50), UnusableImage),
    ],
)
def test_errors_cross_the_border_unchanged(
    decoders: Decoders, content: bytes, limits: Limits, kind: type[InputError]
) -> None:
    with pytest.raises(InputError) as here:
        read_raster(content, limits)
    with pytest.raises(InputError) as there:
        decoders.read(content, limits)
    assert type(here.value) is type(there.value) is kind
    assert vars(here.value) == vars(there.value)


@pytest.mark.parametrize("deed", ["abort", "segfault", "exit", "killed"])
def test_a_crash_is_an_error_of_the_file(decoders: Decoders, deed: str) -> None:
    with pytest.raises(UnusableImage, match="on which its decoder crashed; wanted a well-formed file") as caught:
        decoders.read(b"do:" + deed.encode(), None)
    assert caught.value.code == "decoder_crash"
    assert works(decoders)


@pytest.mark.parametrize("deed", ["memory", "swallowed"])
def test_memory_is_bounded(decoders: Decoders, deed: str) -> None:
    with pytest.raises(TooLarge, match="decoding takes more than 256 MiB of memory") as caught:
        decoders.read(b"do:" + deed.encode(), None)
    assert caught.value.code == "decoder_memory"
    assert works(decoders)


def test_large_pixels_come_through(decoders: Decoders) -> None:
    assert decoders.read(b"do:large", None).voxels.shape == (1, 4096, 4096, 3)


@pytest.mark.parametrize("deed", ["hang", "stop"])
def test_time_is_bounded(deed: str) -> None:
    with opened(Bounds(seconds=2)) as decoders:
        decoders.start()
        with pytest.raises(UnusableImage, match="stopped after 2 s; wanted one that is decoded within") as caught:
            decoders.read(b"do:" + deed.encode(), None)
        assert caught.value.code == "decoder_timeout"
        assert works(decoders)


@pytest.mark.parametrize(
    ("deed", "kind"), [("bug", "KeyError"), ("system exit", "SystemExit"), ("too deep", "Recursion")]
)
def test_a_fault_of_ours_is_told_by_place_alone(
    decoders: Decoders, deed: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, "breast_cascade"),
        pytest.raises(UnusableImage, match="cannot be decoded") as caught,
    ):
        decoders.read(b"do:" + deed.encode(), None)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert caught.value.code == "malformed"
    assert [line["event"] for line in lines] == ["decoder_error", "decoder_replaced"]
    assert lines[0]["kind"].startswith(kind)
    assert lines[0]["place"].startswith(("tests.service.decoding.readers:", "_sitebuiltins:"))
    assert "Jane" not in caplog.text
    assert works(decoders)


def test_the_log_says_what_became_of_a_process(decoders: Decoders, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "breast_cascade"), pytest.raises(UnusableImage):
        decoders.read(b"do:abort", None)
    (record,) = caplog.records
    line = json.loads(JsonLines().format(record))
    assert (line["event"], line["reason"], line["signal"]) == ("decoder_replaced", "crash", signal.SIGABRT)


def test_what_a_codec_prints_is_seen_by_nobody(decoders: Decoders, capfd: pytest.CaptureFixture[str]) -> None:
    decoders.read(b"do:print", None)
    assert capfd.readouterr() == ("", "")


def test_a_decoder_has_given_up_what_it_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAST_CASCADE_BROKER_URL", "redis://:secret@host")
    with opened() as decoders:
        facts = decoders.read(b"do:facts", None).notes
    assert {"RLIMIT_CORE=(0, 0)", "NoNewPrivs:\t1", "Name:\tdecoder", "env PYTHONSAFEPATH"} <= set(facts)
    assert not [fact for fact in facts if "BREAST_CASCADE" in fact]
    # Standard streams, its channel, and the listing itself.
    assert [fact for fact in facts if fact.startswith("fd")] == ["fd /dev/null"] * 3 + ["fds 5"]


@pytest.mark.parametrize("deed", ["socket", "program", "process", "write", "append", "delete", "folder", "signal"])
def test_the_kernel_refuses_what_no_decoder_needs(decoders: Decoders, deed: str) -> None:
    if not decoders.filtered:
        pytest.skip("this machine has no filter for system calls that we know")
    assert decoders.read(b"do:" + deed.encode(), None).notes == ("EPERM",)


@pytest.mark.parametrize("deed", ["read", "thread"])
def test_and_nothing_else(decoders: Decoders, deed: str) -> None:
    assert decoders.read(b"do:" + deed.encode(), None).notes == ("done",)


def test_worn_out_after_some_files(caplog: pytest.LogCaptureFixture) -> None:
    assert Bounds().files == 500
    caplog.set_level(logging.INFO, "breast_cascade")
    with opened(Bounds(files=3, processes=1)) as decoders:
        pids = [decoders.read(b"do:nothing", None).notes for _ in range(7)]
    assert [len(set(pids[:3])), len(set(pids[3:6])), len(set(pids))] == [1, 1, 3]
    said = [record.fields for record in caplog.records if record.message == "decoder_replaced"]  # type: ignore[attr-defined]
    assert said == [{"reason": "worn", "signal": None, "files": 3}] * 2


def test_processes_killed_while_they_wait_are_replaced_unseen(decoders: Decoders) -> None:
    assert works(decoders)
    before = decoders.pids[1:]
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: works(decoders), range(8)))
    assert not set(before) & set(decoders.pids)


def test_a_killed_forker_takes_its_decoders_along_and_is_replaced() -> None:
    with opened() as decoders:
        decoders.start()
        before = decoders.pids
        os.kill(before[0], signal.SIGKILL)
        until(lambda: all(gone(pid) for pid in before[1:]))
        assert works(decoders)
        assert decoders.pids[0] != before[0]


def test_two_files_at_a_time_and_no_third(decoders: Decoders, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with ThreadPoolExecutor(3) as pool:
        reads = [pool.submit(decoders.read, b"do:nothing", gate) for _ in range(3)]
        until(lambda: len(named(decoders.pids, "waiting")) == 2)
        assert not any(read.done() for read in reads)
        gate.open()
        assert {read.result().notes for read in reads} == {(str(pid),) for pid in decoders.pids[1:]}


def test_nothing_piles_up(decoders: Decoders) -> None:
    names, descriptors = os.listdir("/dev/shm"), len(os.listdir("/proc/self/fd"))
    for content in (PICTURE, b"", b"do:abort") * 5:
        try:
            decoders.read(content, Limits())
        except InputError:
            continue
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert set(os.listdir("/dev/shm")) <= set(names)


def test_close_ends_everything(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with opened() as decoders, ThreadPoolExecutor(1) as pool:
        decoders.start()
        pids = decoders.pids
        assert len(pids) == 3
        running = pool.submit(decoders.read, b"do:nothing", gate)
        until(lambda: named(pids, "waiting"))
        decoders.close()
        with pytest.raises(UnusableImage, match="crashed"):
            running.result()
        until(lambda: all(gone(pid) for pid in pids))
        with pytest.raises(SetupError, match="decoders that were closed"):
            decoders.read(PICTURE, Limits())


def test_a_reader_that_is_not_there() -> None:
    decoders = Decoders(reader="service.formats.nothing:read")
    with pytest.raises(SetupError, match=r"do not start \(ModuleNotFoundError") as caught:
        decoders.start()
    assert caught.value.code == "decoders_failed"
    assert decoders.pids == []


@pytest.mark.parametrize("wrong", [{"memory": 1}, {"seconds": 0}, {"files": 0}, {"processes": 3}])
def test_bounds_that_cannot_be_kept(wrong: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match="1 to 2 processes"):
        Bounds(**wrong)


def test_over_http(decoders: Decoders, tiny_engine: Engine) -> None:
    with serving(Settings(), tiny_engine, decoders=decoders) as running:
        for deed, status, code in (("abort", 422, "decoder_crash"), ("memory", 413, "decoder_memory")):
            answer = post(running.client, b"do:" + deed.encode())
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert post(running.client).status_code == 200


def test_the_event_loop_goes_on_while_a_file_is_decoded(tiny_engine: Engine) -> None:
    with opened() as decoders, serving(Settings(), tiny_engine, decoders=decoders) as running:
        stopped = decoders.pids[1:]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(post, running.client)
            until(lambda: running.service.runner.admitted == 1)
            assert running.client.get("/health/live").status_code == 200
            assert not slow.done()
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            assert slow.result().status_code == 200
