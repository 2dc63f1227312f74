"""The phases of one network's training: each begins with the best weights of the one before."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from training.fit import BEST, LAST
from training.recipe import Recipe
from training.run_folder import CONFIG
from training.trained import check_same, finish, finished
from training.yolo import ONNX, is_yolo, train_yolo


@dataclass(frozen=True)
class Chain:
    """One network to be trained in phases.

    Attributes:
        phases: their recipes.
        data: folder of the data set.
        run: folder of the last phase; those before it lie beside it as ``<run>_phase1``, ...
        logs: folder for TensorBoard's events of the last phase, in the same way, beside those in the run folders.
    """

    phases: tuple[Recipe, ...]
    data: Path
    run: Path
    logs: Path | None = None

    @property
    def last(self) -> Recipe:
        """The recipe of what comes out."""
        return self.phases[-1]

    @property
    def done(self) -> bool:
        """Whether the last phase came to its end."""
        return (self.run / ONNX).is_file() if is_yolo(self.last) else finished(self.run)

    def folder(self, phase: int) -> Path:
        """The run folder of a phase, counted from 0."""
        return self._of(self.run, phase)

    def best(self, phase: int | None = None) -> Path:
        """The best weights of a phase, counted from 1; of the last one for None."""
        return self.folder(len(self.phases) - 1 if phase is None else phase - 1) / BEST

    def weights(self, checkpoint: str = "best") -> Path:
        """What the last phase leaves: its ``best`` or ``last`` state dict, of YOLO the graph."""
        if is_yolo(self.last):
            return self.run / ONNX
        return self.run / (LAST if checkpoint == "last" else BEST)

    def without(self, folds: Collection[int]) -> Chain:
        """The same, trained without further folds, in folders named so."""
        end = "_without_" + "_".join(map(str, sorted(folds)))
        phases = (
            one.model_copy(update={"name": one.name + end, "excluded": (*one.excluded, *sorted(folds))})
            for one in self.phases
        )
        logs = self.logs and self.logs.with_name(self.logs.name + end)
        return replace(self, phases=tuple(phases), run=self.run.with_name(self.run.name + end), logs=logs)

    def train(self) -> Path:
        """Train what is not finished; returns the last run folder.

        Raises ValueError where a folder holds a run of another recipe, or YOLO is to start from weights, and what
        training raises.
        """
        start = self.phases[0].start
        for phase, recipe in enumerate(self.phases):
            changes: dict[str, Any] = {"start": start, "logs": self.logs and self._of(self.logs, phase)}
            _finish(recipe.model_copy(update=changes), self.data, self.folder(phase))
            start = self.best(phase + 1).resolve()
        return self.run

    def _of(self, last: Path, phase: int) -> Path:
        return last if phase == len(self.phases) - 1 else last.with_name(f"{last.name}_phase{phase + 1}")


def _finish(recipe: Recipe, data: Path, run: Path) -> None:
    if not is_yolo(recipe):
        finish(recipe, data, run)
        return
    if recipe.start is not None:
        raise ValueError(
            f"Found {recipe.name} to start from {recipe.start}; wanted nothing: YOLO learns in one phase from its "
            "architecture file. Give its stage one recipe and no `start`."
        )
    if (run / CONFIG).is_file():
        check_same(recipe, run)
    # ultralytics changes its process for good, which is no place for the networks that come after.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        apart.submit(train_yolo, recipe, data, run, resume=run.is_dir()).result()
