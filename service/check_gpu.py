"""Whether the masks made on a GPU are those made on the CPU: what ``make check-gpu`` runs.

    python -m service.check_gpu [--images DIR] [--pipeline NAME] [--device cuda:0]

Every pipeline outlines the same pictures on both: the bundled samples, drawn ones, and those of a folder; each as it is
and, where the pipeline takes a box, with its middle half given. Nothing is compared with the truth here.

Exit status: 0 every label of every pipeline agrees; 1 one does not, or there was nothing to compare; 2 no GPU can be
used; 3 the installation must be mended.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engine import Answer, Engine, LoadedPipeline, Request
from service.errors import BadParameter, DeviceError, InputError, SetupError
from service.formats.raster import read_raster
from service.image import Image, Region
from service.settings import Settings, read_settings

LEAST_DICE = 0.999
AGREES, DIFFERS, NO_GPU, BROKEN = 0, 1, 2, 3
SAMPLES = Path(__file__).parent / "samples"
DRAWN_SIZES = ((300, 400), (512, 512), (700, 500))


@dataclass(frozen=True)
class Case:
    """One picture and what is asked of it."""

    name: str
    image: Image
    boxes: tuple[Region, ...] = ()


@dataclass
class Comparison:
    """One pipeline's masks on both devices, label by label.

    Attributes:
        title: name and version.
        cases: how many were compared.
        common: pixels that both masks give to a label, by its name.
        total: pixels of both masks together, by label.
        least: lowest Dice of one case, and which it is.
        differing: cases whose status differs.
    """

    title: str
    cases: int = 0
    common: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)
    least: tuple[float, str] = (1.0, "none")
    differing: list[str] = field(default_factory=list)

    def add(self, case: Case, one: Answer, other: Answer) -> None:
        """Count one case in."""
        self.cases += 1
        if one.result.status != other.result.status:
            self.differing.append(case.name)
        for label, name in one.result.mask.names.items():
            common, total = overlap(one.result.mask.labels == label, other.result.mask.labels == label)
            self.common[name] = self.common.get(name, 0) + common
            self.total[name] = self.total.get(name, 0) + total
            if total:
                self.least = min(self.least, (2 * common / total, case.name))

    @property
    def dice(self) -> dict[str, float]:
        """Over all cases together, by label; labels that no mask holds are left out."""
        return {name: 2 * self.common[name] / total for name, total in self.total.items() if total}

    @property
    def agrees(self) -> bool:
        """Something was outlined, and everything alike."""
        return bool(self.dice) and not self.differing and min(self.dice.values()) >= LEAST_DICE

    def lines(self) -> Iterator[str]:
        """For the reader."""
        verdict = "agrees" if self.agrees else "DIFFERS" if self.dice else "NOT COMPARED"
        yield f"{verdict:13}{self.title}, {self.cases} cases on both devices"
        for name, dice in self.dice.items():
            yield f"{'':13}Dice of {name} {dice:.6f}"
        if not self.dice:
            yield f"{'':13}Nothing was outlined anywhere. Give pictures of its kind: --images DIR --pipeline NAME."
            return
        yield f"{'':13}least of one case {self.least[0]:.6f} ({self.least[1]})"
        if self.differing:
            yield f"{'':13}another status for {', '.join(self.differing)}"


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """Pixels set in both, and pixels set in the one plus pixels set in the other."""
    return int(np.count_nonzero(one & other)), int(np.count_nonzero(one)) + int(np.count_nonzero(other))


def compare(reference: Engine, candidate: Engine, pipeline: LoadedPipeline, cases: Iterable[Case]) -> Comparison:
    """The masks of one pipeline from both engines. A box that the pipeline cannot take is left out."""
    manifest = pipeline.manifest
    comparison = Comparison(f"{manifest.name} {manifest.version}")
    for case in cases:
        request = Request(manifest.name, manifest.version, boxes=case.boxes)
        try:
            answers = [engine.segment(case.image, request) for engine in (reference, candidate)]
        except BadParameter:
            if case.boxes:
                continue
            raise
        comparison.add(case, *answers)
    return comparison


def cases_of(pictures: Iterable[tuple[str, Image]]) -> Iterator[Case]:
    """Each picture as it is, then with its middle half given as a box."""
    for name, image in pictures:
        yield Case(name, image)
        _, height, width, _ = image.voxels.shape
        yield Case(f"{name} in a box", image, (Region(width // 4, height // 4, 3 * width // 4, 3 * height // 4),))


def drawn() -> Iterator[tuple[str, Image]]:
    """Dark ovals on bright noise, the same each time: enough to make networks answer, not to look like a patient."""
    for number, (height, width) in enumerate(DRAWN_SIZES):
        noise = np.random.default_rng(number).normal(150, 30, (height, width))
        y, x = np.mgrid[:height, :width]
        oval = ((x - width / 2) / (width / 6)) ** 2 + ((y - height / 2) / (height / 8)) ** 2 < 1
        plane = np.clip(np.where(oval, noise / 4, noise), 0, 255).astype(np.uint8)
        yield f"drawn {number + 1}", Image(plane[np.newaxis, :, :, np.newaxis])


def samples(pipeline: str) -> Iterator[tuple[str, Image]]:
    """The bundled pictures of one pipeline."""
    for entry in json.loads((SAMPLES / "index.json").read_text(encoding="utf-8")):
        if entry["pipeline"] == pipeline:
            yield entry["name"], read_raster((SAMPLES / entry["name"]).read_bytes())


def given(folder: Path | None, settings: Settings) -> Iterator[tuple[str, Image]]:
    """The pictures of a folder; what is none is told and left out."""
    for path in sorted(folder.iterdir()) if folder else ():
        try:
            yield path.name, read_raster(path.read_bytes(), settings.limits)
        except (InputError, OSError) as error:
            _tell(f"{path.name} is left out: {error}")


def check(reference: Engine, candidate: Engine, only: str | None, pictures: Sequence[tuple[str, Image]]) -> bool:
    """Compare every pipeline, or one, and print what came of it; whether all agree."""
    agree = []
    for pipeline in reference.pipelines():
        name = pipeline.manifest.name
        if only in (None, name):
            comparison = compare(reference, candidate, pipeline, cases_of([*samples(name), *drawn(), *pictures]))
            agree.append(comparison.agrees)
            sys.stdout.writelines(f"{line}\n" for line in comparison.lines())
    return bool(agree) and all(agree)


def run(arguments: argparse.Namespace) -> int:
    """The exit status. Raises SetupError."""
    settings = read_settings()
    wanted = (settings.pipeline_roots, settings.network_threads, settings.gpu_memory)
    try:
        candidate = _opened(arguments.device, *wanted)
    except DeviceError as error:
        _tell(f"No GPU can be used here, so nothing was compared. {error}")
        return NO_GPU
    reference = _opened("cpu", *wanted)
    if arguments.pipeline:
        reference.pipeline(arguments.pipeline)
    agree = check(reference, candidate, arguments.pipeline, list(given(arguments.images, settings)))
    sys.stdout.write(f"{candidate.provider} {'agrees' if agree else 'DOES NOT AGREE'} with {reference.provider}.\n")
    return AGREES if agree else DIFFERS


def _opened(device: str, roots: tuple[Path, ...], threads: int, gpu_memory: int) -> Engine:
    return Engine.open(roots, device, threads, gpu_memory)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(words: Sequence[str] | None = None) -> int:
    """Command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="check-gpu", description="Compare the masks of a GPU with those of the CPU.")
    parser.add_argument("--images", type=Path, metavar="DIR", help="further pictures, for every pipeline compared")
    parser.add_argument("--pipeline", metavar="NAME", help="one pipeline (default: all)")
    parser.add_argument("--device", default="cuda", metavar="cuda[:N]", help="which GPU (default: cuda)")
    arguments = parser.parse_args(words)
    if arguments.images is not None and not arguments.images.is_dir():
        parser.error(f"--images {arguments.images}: no such folder")
    if arguments.device.partition(":")[0] != "cuda":
        parser.error(f"--device {arguments.device}: wanted cuda or cuda:<number>")
    try:
        return run(arguments)
    except (SetupError, InputError) as error:
        _tell(f"The comparison could not be made. {error}")
        return BROKEN


if __name__ == "__main__":
    sys.exit(main())
