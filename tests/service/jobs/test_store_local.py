"""The folder under kill -9, on full disks, beside other processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service.errors import DiskFull, SetupError, StoreAway
from service.jobs.store import open_store
from service.jobs.store_local import UNFINISHED, LocalStore
from tests.service.jobs.stores import ROOT, child, keys_of

MEGABYTE = 1 << 20
# Puts files of random length without end, each named by its own digest; tells of each when it is done.
BUSY = """
import hashlib, random, sys
from service.jobs.store import open_store
store, chance = open_store(sys.argv[1]), random.Random(int(sys.argv[2]))
print("ready", flush=True)
while True:
    content = chance.randbytes(chance.randrange(1, 300_000))
    key = f"jobs/{chance.randrange(3)}/{hashlib.sha256(content).hexdigest()}"
    store.put(key, content)
    print(key, flush=True)
"""
# A put under a limit on the size of files.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
from service.errors import DiskFull
from service.jobs.store import Joined, open_store
store = open_store(sys.argv[1])
store.put("jobs/a/0/input", bytes(1 << 19))
try:
    store.put("jobs/a/1/input", Joined(bytes(1 << 18) for _ in range(16)))
except DiskFull as error:
    print(error.code, error.retry_after)
"""


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_there_are_whole_files_only(tmp_path: Path, seed: int) -> None:
    with child(BUSY, f"file://{tmp_path}", str(seed)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.004 + 0.013 * seed)
        process.kill()
        told = process.stdout.read().split()
    store = LocalStore(tmp_path)
    keys = keys_of(store)
    assert set(told) <= set(keys)
    assert len(keys) <= len(told) + 1
    for key in keys:
        assert hashlib.sha256((tmp_path / key).read_bytes()).hexdigest() == key.rpartition("/")[2]
    assert store.sweep(0) <= 1
    assert files(tmp_path) == sorted(keys)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files: the kernel refuses the very write that a full disk refuses."""
    command = [sys.executable, "-W", "error", "-c", LIMITED, f"file://{tmp_path}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (ended.stdout.strip(), ended.stderr) == ("disk_full 300", "")
    assert files(tmp_path) == ["jobs/a/0/input"]
    assert sorted(path.name for path in (tmp_path / "jobs/a").iterdir()) == ["0"]


@pytest.fixture
def small_disk(tmp_path: Path) -> object:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=40", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a tmpfs here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_small_disk_that_fills_up(small_disk: Path) -> None:
    store = open_store(f"file://{small_disk}")
    free = store.free()
    assert free is not None
    assert 0 < free <= 2 * MEGABYTE
    store.put("jobs/a/0/input", bytes(MEGABYTE))
    with pytest.raises(DiskFull, match=r"^Found a store without room; wanted room for one more file\. Make room"):
        store.put("jobs/a/1/input", bytes(2 * MEGABYTE))
    assert files(small_disk) == ["jobs/a/0/input"]
    store.delete("jobs/a/0/input")
    store.put("jobs/a/1/input", bytes(MEGABYTE))
    assert files(small_disk) == ["jobs/a/1/input"]


def test_a_disk_without_room_for_folders(small_disk: Path) -> None:
    store = open_store(f"file://{small_disk}")
    fill = [f"jobs/{number}/0/input" for number in range(100)]
    with pytest.raises(DiskFull, match="a store without room"):
        [store.put(key, b"x") for key in fill]
    keys = keys_of(store)
    assert files(small_disk) == sorted(keys)
    assert sum(path.is_dir() for path in small_disk.rglob("*")) == 2 * len(keys) + 2


def test_files_and_folders_are_for_their_user_alone(tmp_path: Path) -> None:
    LocalStore(tmp_path / "store").put("jobs/a/0/input", b"x")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "store").rglob("*")}
    assert modes == {"jobs": 0o700, "a": 0o700, "0": 0o700, "input": 0o600, UNFINISHED: 0o700}


def test_a_deleted_job_leaves_no_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("jobs/a/0/input", b"x")
    store.put("jobs/b/0/input", b"x")
    store.delete("jobs/a/0/input")
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["b"]


def test_folders_of_killed_writers_go_when_they_are_old(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "jobs/a/0").mkdir(parents=True)
    assert (store.sweep(3600), (tmp_path / "jobs/a/0").exists()) == (0, True)
    for _ in range(3):
        # A folder is as young as the last change in it.
        store.sweep(0)
    assert [path.name for path in tmp_path.iterdir()] == [UNFINISHED]


def test_writers_and_deleters_of_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    store, stop, failed = LocalStore(tmp_path), threading.Event(), []

    def delete() -> None:
        while not stop.is_set():
            store.delete("jobs/a/1/input")
            store.sweep(3600)

    def write() -> None:
        try:
            for number in range(60):
                store.put(f"jobs/a/{number % 3}/input", b"x")
                if number % 3 != 1:
                    store.open(f"jobs/a/{number % 3}/input").close()
                    store.delete(f"jobs/a/{number % 3}/input")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=delete), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    threads[1].join()
    stop.set()
    threads[0].join()
    assert failed == []


def test_links_and_foreign_files_are_not_keys(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    (tmp_path / "store/link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "store/pipe")
    assert list(store.keys()) == []


def test_a_folder_that_cannot_be_written_to_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SetupError, match=r"a folder for jobs that cannot be written to; wanted a folder of this user"):
        open_store(f"file://{tmp_path}/file")


def test_an_unfinished_file_swept_while_it_is_written_is_told(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)

    class Swept:
        left = 2

        def read(self, size: int = -1, /) -> bytes:
            self.left -= 1
            store.sweep(-60)
            return b"x" * self.left

    with pytest.raises(StoreAway, match="a folder of the store that does not stay"):
        store.put("jobs/a/0/input", Swept())
    assert files(tmp_path) == []
