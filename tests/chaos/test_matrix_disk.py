"""A disk that is really full: a small file system in memory where the tests run as root, a limit on files else."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.house import House, house
from tests.chaos.orders import Told, accepted, check, mixed, posted

pytestmark = pytest.mark.chaos
ROOM = "24m"
KEPT = 2**20
PIECE = 2**16


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder whose ``data`` is a file system of its own."""
    data = tmp_path / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(data)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED: a full file system needs root and mount; the limit on files is tested")
    yield tmp_path
    subprocess.run(["umount", str(data)], check=True)


def test_the_disk_fills_up_and_gets_room_again(small_disk: Path, tiny_pipelines: Path, undisturbed: Told) -> None:
    with house(small_disk, tiny_pipelines, min_free_bytes=str(KEPT)) as made:
        made.arm("claimed")
        job_id = accepted(made, mixed())
        made.halted("claimed")
        filler = _filled(small_disk / "data")
        refused = posted(made, mixed())
        assert (refused.status_code, refused.json()["code"]) == (507, "disk_full")
        made.release()
        made.until(lambda: "worker_pauses" in _logs(made))
        # To look on is possible all the time; nothing has failed, and nothing half done is visible.
        seen = made.client.get(f"/jobs/{job_id}").json()
        assert seen["state"] == "running"
        assert seen["failed"] == 1
        filler.unlink()
        check(made, job_id, undisturbed)


@pytest.mark.parametrize("most", [0, 1000], ids=["nothing can be written", "some files are too large"])
def test_a_limit_on_files(tmp_path: Path, tiny_pipelines: Path, most: int, undisturbed: Told) -> None:
    with house(tmp_path, tiny_pipelines) as made:
        made.arm("claimed")
        job_id = accepted(made, mixed())
        pid = made.halted("claimed")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        made.release()
        made.until(lambda: "worker_pauses" in _logs(made))
        # That the service has killed its silent worker is as good.
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        check(made, job_id, undisturbed)


def _filled(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(PIECE))
    return filler


def _logs(made: House) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in (made.folder / "logs").iterdir())
