"""A disk that is really full, at whichever file of an epoch: a clear error, no finished epoch lost, and on it goes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.training.fitting import CASES, recipe
from tests.training.phantom_busi import write_busi
from training.fit import CHECKPOINT, fit
from training.state import read

ROOT = Path(__file__).parents[2]
# Bytes left for the second epoch: none, and from the configuration over events and weights to half a checkpoint.
ROOMS = (0, 8_192, 40_960)
FILLED = """
import shutil, sys
from pathlib import Path
from training.fit import fit
from training.recipe import read_recipe
recipe, data, done, small = map(Path, sys.argv[1:5])
for room in map(int, sys.argv[5:]):
    out, filler = small / "run", small / "filler"
    shutil.copytree(done, out)
    filler.write_bytes(bytes(shutil.disk_usage(small).free - room))
    try:
        fit(read_recipe(recipe), data, out, resume=True, workers=0)
        print("NO ERROR")
    except OSError as error:
        print(" ".join(str(error).split()))
    filler.unlink()
    fit(read_recipe(recipe), data, out, resume=True, workers=0)
    shutil.move(out, done.with_name(f"after_{room}"))
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a file system of its own."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED: a full file system needs root and mount; a limit on files is tested in test_state")
    yield small
    subprocess.run(["umount", "--lazy", str(small)], check=True)


def test_a_run_goes_on_after_a_full_disk_as_if_nothing_had_been(small_disk: Path, tmp_path: Path) -> None:
    data = write_busi(tmp_path / "busi", CASES)
    once, twice = (recipe(schedule={"epochs": epochs, "rate": {"kind": "constant"}}) for epochs in (1, 2))
    fit(once, data, tmp_path / "done", workers=0)
    fit(twice, data, tmp_path / "whole", workers=0)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(twice.model_dump(mode="json", exclude_none=True)))
    where = (tmp_path / "recipe.yaml", data, tmp_path / "done", small_disk)
    command = [sys.executable, "-c", FILLED, *map(str, (*where, *ROOMS))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]
    told = run.stdout.splitlines()
    assert len(told) == len(ROOMS)
    assert all("Found" in line and "wanted" in line and "ree some" in line for line in told), told
    wanted = read(tmp_path / "whole" / CHECKPOINT)["history"]
    assert all(read(tmp_path / f"after_{room}" / CHECKPOINT)["history"] == wanted for room in ROOMS)
    assert not [path for room in ROOMS for path in (tmp_path / f"after_{room}").rglob("*.part*")]
