"""The real service in a process of its own, and what the kernel knows about that process and its children."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.serving import until

ROOT = Path(__file__).resolve().parent.parent
# Tests started in the background of a shell ignore Ctrl-C, and what they start would inherit that.
HEARING = ("env", "--default-signal=INT,HUP")
ANSWER_WITHIN_S = 60.0
# What the kernel takes as an order to forget the highest memory seen so far; proc(5).
FORGET_PEAK = "5"


@dataclass(frozen=True)
class Served:
    """One service process, a client of it and the file that its log goes to."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    @property
    def url(self) -> str:
        """Where it is reached."""
        return str(self.client.base_url).rstrip("/")

    @property
    def pids(self) -> list[int]:
        """The service's own and those of all its descendants."""
        return descendants(self.process.pid)


@contextmanager
def served(folder: Path, pipelines: Path, **settings: str) -> Iterator[Served]:
    """``breast-cascade serve``, ready; data, temporary files, log and working directory lie in ``folder``."""
    for name in ("data", "tmp", "work"):
        (folder / name).mkdir(parents=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BREAST_CASCADE_")},
        **{f"BREAST_CASCADE_{name.upper()}": value for name, value in settings.items()},
        "BREAST_CASCADE_DATA_DIR": str(folder / "data"),
        "BREAST_CASCADE_PIPELINES_DIR": str(pipelines),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": str(ROOT),
    }
    log = folder / "log"
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=environment, cwd=folder / "work"
        )  # fmt: skip
    try:
        until(lambda: _address(log) or process.poll() is not None)
        with httpx.Client(base_url=_address(log), timeout=ANSWER_WITHIN_S, trust_env=False) as client:
            until(lambda: client.get("/health/ready").status_code == 200)
            yield Served(process, client, log)
    finally:
        process.kill()
        process.wait()


def _address(log: Path) -> str:
    found = re.search(r"http://\S+", log.read_text(encoding="utf-8"))
    return found[0] if found else ""


def descendants(pid: int) -> list[int]:
    """``pid`` and the processes that it and its children started; zombies count."""
    parents = {int(one): _parent(int(one)) for one in os.listdir("/proc") if one.isdecimal()}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def gone(pid: int) -> bool:
    """Whether no such process is left, not even as a zombie."""
    return not Path(f"/proc/{pid}").exists()


def named(pids: list[int], name: str) -> list[int]:
    """Those that call themselves so."""
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == name]


def forget_peaks(pids: list[int]) -> dict[int, int]:
    """Resident bytes of each process now; its peak counts from here."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text(FORGET_PEAK)
    return {pid: _resident(pid, "VmRSS") for pid in pids}


def growth(before: Mapping[int, int], pids: list[int]) -> int:
    """Bytes that the processes took at most beyond ``before``; one that came later counts in full."""
    return sum(_resident(pid, "VmHWM") - before.get(pid, 0) for pid in pids)


def _resident(pid: int, field: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
