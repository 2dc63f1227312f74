"""How time and memory of a volume grow with its slices.

    python benchmarks/volumes.py [--slices 64 512] [--side N] [--rounds N] [--json]

Volumes are made of the bundled ultrasound phantoms, which move from slice to slice, and go through the bundled pipeline
on one thread, under a watch that writes every checkpoint to a file. Each run has a process of its own. Printed
are, from one run of this script: seconds of the processor by size and their ratio per slice, the share of the time that
was not spent in networks, and the most memory held beyond the voxels and the mask. Exit status 1 when time is not
linear within 10 %, that share is over 10 %, or the memory grows by more than 5 %.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from service.engine import BUNDLED, Engine, Request  # noqa: E402 - the tree before any installed copy
from service.image import Image  # noqa: E402

LINEAR, SHARE, GROWTH = 0.10, 0.10, 0.05
PAGE = 4096
PRESENT = np.uint64(63)
SPACING = (1.5, 0.7, 0.7)
# Slices of one phantom.
LONG = 16
MIB = 2**20


@dataclass(frozen=True)
class Run:
    """One volume: seconds of the processor and of the clock, those inside networks, and bytes at the most.

    ``beyond`` leaves out the voxels and those pages of the mask that were written.
    """

    slices: int
    processor: float
    clock: float
    networks: float
    beyond: int
    checkpoints: int
    findings: int


class File:
    """A watch that keeps the last checkpoint in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.saves = 0

    def step(self, stage: str, done: int, total: int) -> None:
        """Nobody looks on."""

    def load(self) -> bytes | None:
        """There is none."""
        return None

    def save(self, state: bytes) -> None:
        """Written whole."""
        self._path.write_bytes(state)
        self.saves += 1


def volume(depth: int, side: int) -> NDArray[np.uint8]:
    """(depth, side, side, 1) of phantoms, a few slices long each, that move; nothing of that size is made beside it."""
    paths = sorted((ROOT / "service" / "samples").glob("ultrasound_*.png"))
    pictures = [cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (side, side)) for path in paths]
    voxels = np.empty((depth, side, side, 1), np.uint8)
    for z in range(depth):
        voxels[z, :, :, 0] = np.roll(pictures[z // LONG % len(pictures)], z % LONG, axis=1)
    return voxels


def peak() -> int:
    """Most bytes this process ever had in memory."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def resident(array: NDArray[np.uint8]) -> int:
    """Bytes of it that lie in memory: what was never written takes none."""
    first, last = array.ctypes.data // PAGE, (array.ctypes.data + array.nbytes - 1) // PAGE
    with open("/proc/self/pagemap", "rb") as pages:
        pages.seek(8 * first)
        entries = np.frombuffer(pages.read(8 * (last - first + 1)), np.uint64)
    return int((entries >> PRESENT).sum()) * PAGE


def measured(depth: int, side: int) -> Run:
    """One volume in this process."""
    engine = Engine.open((BUNDLED,), "cpu", 1)
    image = Image(volume(depth, side), SPACING, "user", depth_axis="space", modality="US")
    request = Request("ultrasound", probabilities=False)
    # The first batches of a process pay for memory that all later ones use again.
    engine.segment(Image(volume(LONG, side), depth_axis="space", modality="US"), request)
    with tempfile.TemporaryDirectory() as folder:
        watch = File(Path(folder) / "checkpoint")
        clock, processor = time.perf_counter(), time.process_time()
        answer = engine.segment(image, request, watch)
        findings = len(answer.findings)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
    networks = sum(stage.network_ms for stage in answer.result.stages) / 1000
    beyond = peak() - image.voxels.nbytes - resident(answer.result.mask.labels)  # type: ignore[union-attr]
    return Run(depth, processor, clock, networks, beyond, watch.saves, findings)


def apart(depth: int, side: int) -> Run:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--one", str(depth), "--side", str(side)]
    return Run(**json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def figures(few: list[Run], many: list[Run]) -> dict[str, float]:
    """Ratios inside this run of the script; each pair was measured one after the other."""
    per_slice = [b.processor / b.slices / (a.processor / a.slices) for a, b in zip(few, many, strict=True)]
    return {
        "time_per_slice_ratio": statistics.median(per_slice),
        "share_outside_networks": statistics.median(1 - one.networks / one.clock for one in many),
        "memory_ratio": statistics.median(one.beyond for one in many) / statistics.median(one.beyond for one in few),
    }


def report(few: list[Run], many: list[Run], found: dict[str, float]) -> None:
    """Print what was measured."""
    for runs in (few, many):
        one = runs[-1]
        seconds = statistics.median(run.processor for run in runs)
        print(
            f"{one.slices:5d} slices: {seconds:.2f} s of the processor, {1000 * seconds / one.slices:.2f} ms a slice, "
            f"{statistics.median(run.beyond for run in runs) / MIB:.1f} MiB beyond voxels and mask, "
            f"{one.checkpoints} checkpoints, {one.findings} findings"
        )
    print(f"\ntime per slice, many to few: {found['time_per_slice_ratio']:.3f} (wanted 1 +- {LINEAR})")
    print(f"share outside of networks:   {found['share_outside_networks']:.3f} (wanted at most {SHARE})")
    print(f"memory, many to few:         {found['memory_ratio']:.3f} (wanted at most {1 + GROWTH})")


def within(found: dict[str, float]) -> bool:
    """Whether every bound is kept."""
    linear = abs(found["time_per_slice_ratio"] - 1) <= LINEAR
    return linear and found["share_outside_networks"] <= SHARE and found["memory_ratio"] <= 1 + GROWTH


def main() -> int:
    """Command line; the exit status is 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description="How time and memory of a volume grow with its slices.")
    parser.add_argument("--slices", type=int, nargs=2, default=(64, 512), metavar=("FEW", "MANY"))
    parser.add_argument("--side", type=int, default=256, help="pixels of a slice's side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line too")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(asdict(measured(arguments.one, arguments.side))))
        return 0
    pairs = [[apart(depth, arguments.side) for depth in arguments.slices] for _ in range(arguments.rounds)]
    few, many = ([pair[n] for pair in pairs] for n in (0, 1))
    found = figures(few, many)
    report(few, many, found)
    if arguments.json:
        print(json.dumps(found))
    print(f"\n{'Within' if within(found) else 'BEYOND'} the bounds.")
    return 0 if within(found) else 1


if __name__ == "__main__":
    sys.exit(main())
