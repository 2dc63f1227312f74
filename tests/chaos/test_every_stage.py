"""One SIGKILL at each stage of an item's way, in one job: quick enough for every run of the suite."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.chaos.house import House, house
from tests.chaos.orders import accepted, attempts, check, ended, pictures, told

STAGES = ("localise", "lesion", "writing", "written")


def test_a_worker_is_killed_at_each_stage(tmp_path: Path, tiny_pipelines: Path) -> None:
    files = pictures(len(STAGES) + 2)
    with house(tmp_path, tiny_pipelines, crew=2) as made:
        for stage in STAGES:
            made.arm(stage)
        job_id = accepted(made, files)
        for _ in STAGES:
            _kill_whoever_halts(made)
        ended(made, job_id)
        assert sum(attempts(made, job_id)) >= len(files) + len(STAGES)
        again = accepted(made, files)
        ended(made, again)
        check(made, job_id, told(made, again))


def _kill_whoever_halts(made: House) -> None:
    made.until(lambda: list(made.halts.glob("*.at.*")))
    mark = next(made.halts.glob("*.at.*"))
    os.kill(int(mark.suffix[1:]), signal.SIGKILL)
    mark.unlink()
