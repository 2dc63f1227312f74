"""Folders are synced when they may be new, and only then."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

from service.jobs.settled import MOST, Settled
from service.jobs.store_local import LocalStore
from tests.service.jobs.stores import ROOT

# Puts files in turn and tells which folders were opened for each: the store opens one for nothing but to sync it.
WATCHED = """
import os, shutil, sys
from pathlib import Path
from service.jobs.store_local import LocalStore
root, opened = Path(sys.argv[1]), []
sys.addaudithook(lambda name, given: opened.append(given) if name == "open" and given[2] & os.O_DIRECTORY else None)
store = LocalStore(root)
for key in sys.argv[2:]:
    opened.clear()
    if key.startswith("remove "):
        shutil.rmtree(root / key.removeprefix("remove "))
        continue
    store.put(key, b"x")
    print(*(os.path.relpath(given[0], root) for given in opened), sep=" ")
"""
# A process that may open two files more: the folder and the one above it.
CROWDED = """
import os, resource, sys
from pathlib import Path
from service.jobs.settled import Settled
settled = Settled(Path(sys.argv[1]))
(Path(sys.argv[1]) / "a").mkdir()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
opened = []
try:
    while True:
        opened.append(os.dup(0))
except OSError:
    print("full")
for one in opened[-2:]:
    os.close(one)
settled.sync(Path(sys.argv[1]) / "a")
print("synced")
"""


def synced(root: Path, *steps: str) -> list[list[str]]:
    """Folders that a process synced for each file it put."""
    command = [sys.executable, "-c", WATCHED, str(root), *steps]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    return [line.split() for line in told.splitlines()]


def held(root: Path) -> list[str]:
    """Folders at or below ``root`` that this process holds open."""
    links = (os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _is_link(name))
    return sorted(link for link in links if link.startswith(str(root)))


def _is_link(name: str) -> bool:
    return Path(f"/proc/self/fd/{name}").is_symlink()


def test_new_folders_are_synced_up_to_one_that_has_its_place(tmp_path: Path) -> None:
    assert synced(tmp_path, "jobs/a/0/input", "jobs/a/0/1/x", "jobs/a/0/1/y", "jobs/a/1/input", "jobs/b/0/input") == [
        ["jobs/a/0", "jobs/a", "jobs", "."],
        ["jobs/a/0/1", "jobs/a/0"],
        ["jobs/a/0/1"],
        ["jobs/a/1", "jobs/a"],
        ["jobs/b/0", "jobs/b", "jobs"],
    ]


def test_folders_of_another_process_may_be_new(tmp_path: Path) -> None:
    LocalStore(tmp_path).put("jobs/a/0/input", b"x")
    assert synced(tmp_path, "jobs/a/0/1/x") == [["jobs/a/0/1", "jobs/a/0", "jobs/a", "jobs", "."]]


def test_a_folder_that_was_removed_and_made_anew_is_synced_again(tmp_path: Path) -> None:
    whole = ["jobs/a/0", "jobs/a", "jobs", "."]
    assert synced(tmp_path, "jobs/a/0/input", "remove jobs", "jobs/a/0/input", "jobs/a/0/other") == [
        *(whole, whole),
        ["jobs/a/0"],
    ]


def test_few_folders_are_held_and_none_for_longer_than_the_store(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for number in range(MOST):
        store.put(f"jobs/a/{number}/input", b"x")
    assert len(held(tmp_path)) == MOST
    assert str(tmp_path / "jobs/a") in held(tmp_path)
    del store
    gc.collect()
    assert held(tmp_path) == []


def test_a_folder_that_is_gone_needs_no_place(tmp_path: Path) -> None:
    settled = Settled(tmp_path)
    (tmp_path / "a").mkdir()
    settled.sync(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    settled.sync(tmp_path / "a" / "b")
    settled.sync(tmp_path / "a")
    assert held(tmp_path) == [f"{tmp_path}/a (deleted)"]


def test_too_many_open_files_cost_only_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CROWDED, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert told == "full\nsynced\n"
