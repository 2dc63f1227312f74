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
from tests.chaos.orders import Told, accepted, check, check_attempts, mixed, posted

pytestmark = pytest.mark.chaos
ROOM = "24m"
KEPT = 2**20
PIECE = 2**16


@pytest.fixture(params=["data", "data/jobs/files"], ids=["everything", "files alone"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder of a house in ``tmp_path`` that is a file system of its own."""
    small = tmp_path / request.param
    small.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED: a full file system needs root and mount; the limit on files is tested")
    yield small
    subprocess.run(["umount", "--lazy", str(small)], check=True)


def test_the_disk_fills_up(small_disk: Path, tmp_path: Path, tiny_pipelines: Path, undisturbed: Told) -> None:
    with house(tmp_path, tiny_pipelines, min_free_bytes=str(KEPT)) as made:
        made.arm("claimed")
        job_id = accepted(made, mixed())
        made.halted("claimed")
        filler = _filled(small_disk)
        refused = posted(made, mixed())
        assert (refused.status_code, refused.json()["code"]) == (507, "disk_full")
        made.release()
        # It says so, or cannot tell that it lives for so long that the service ends it.
        made.until(lambda: "worker_pauses" in _logs(made) or "embedded_worker_silent" in _logs(made))
        # To look on is possible all the time; nothing has failed, and nothing half done is visible.
        seen = made.client.get(f"/jobs/{job_id}").json()
        assert (seen["state"], seen["failed"]) == ("running", 1)
        filler.unlink()
        check(made, job_id, undisturbed)


def test_a_worker_may_write_nothing(tmp_path: Path, tiny_pipelines: Path, undisturbed: Told) -> None:
    with house(tmp_path, tiny_pipelines) as made:
        made.arm("claimed")
        job_id = accepted(made, mixed())
        pid = made.halted("claimed")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        made.release()
        # It can neither end its item nor give it back, nor tell that it lives: the service finds it silent.
        made.until(lambda: pid not in made.processes())
        check(made, job_id, undisturbed)
        assert check_attempts(made, job_id)[0] >= 1


def _filled(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(PIECE))
    return filler


def _logs(made: House) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in (made.folder / "logs").iterdir())
