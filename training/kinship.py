"""Which pictures a run knows: those it learned from, and those that show the same patient.

What a run learned from, its folder tells: recipe, data and split, and those of the runs whose weights it began with. A
picture is known to it through any picture of its group (patient, near-duplicates) or, where the data sets differ,
through a near-duplicate of it. Other views of one patient in another data set cannot be told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import track

from training.datasets.case import Case
from training.datasets.grouping import Fingerprint, fingerprint, near_duplicate_pairs
from training.datasets.pictures import eight_bits
from training.recipe import Recipe, read_recipe
from training.run_folder import CONFIG, ENVIRONMENT
from training.sampling import parts_of

Known = dict[str, list[Case]]


@dataclass(frozen=True)
class Corpus:
    """Cases, with the data set (dotted path) and the folder that they are from."""

    dataset: str
    folder: Path
    cases: tuple[Case, ...]

    def same(self, other: Corpus) -> bool:
        """Whether both are of one data set, so that groups tell who is who."""
        return (self.dataset, self.folder.resolve()) == (other.dataset, other.folder.resolve())


def corpus_of(recipe: Recipe, data: Path) -> Corpus:
    """All cases of a recipe's split, its test part included."""
    parts = parts_of(recipe, data)
    return Corpus(recipe.dataset.path, data, (*parts.train, *parts.validation, *parts.test))


def learner(run: Path) -> Recipe:
    """The recipe of a run. Raises FileNotFoundError for what is no run folder."""
    for name in (CONFIG, ENVIRONMENT):
        if not (run / name).is_file():
            raise FileNotFoundError(
                f"Found no {name} in {run}; wanted a run folder, which tells what was learned from. Give one that "
                "`fit` or `yolo` wrote."
            )
    return read_recipe(run / CONFIG)


def learned(run: Path, data: Path | None = None, *, validation: bool = True) -> list[Corpus]:
    """What a run, and those it began with, learned from; ``data`` in place of the folder that the run noted.

    Without ``validation`` the cases that only chose the best epoch do not count.

    Raises FileNotFoundError for what is no run folder, or data that are gone; ValueError for weights to begin with of
    which nothing tells what they learned from.
    """
    recipe = learner(run)
    folder = data or Path(json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))["data"])
    if not folder.is_dir():
        raise FileNotFoundError(f"Found no folder {folder}, from which {run} learned; wanted it. Pass --trained-on.")
    parts = parts_of(recipe, folder)
    cases = (*parts.train, *(parts.validation if validation else ()))
    return [Corpus(recipe.dataset.path, folder, cases), *_before(recipe, validation=validation)]


def _before(recipe: Recipe, *, validation: bool) -> list[Corpus]:
    if recipe.start is None:
        return []
    run = recipe.start.parent
    if not (run / CONFIG).is_file():
        raise ValueError(
            f"Found that {recipe.name} began with {recipe.start}, of which nothing tells what it learned from; wanted "
            "weights in their run folder. Begin with such, or with nothing."
        )
    return learned(run, validation=validation)


@dataclass(eq=False)
class Kinship:
    """Tells known pictures; remembers what they look like."""

    prints: dict[Path, Fingerprint] = field(default_factory=dict)

    def known(self, wanted: Corpus, lessons: Iterable[Corpus]) -> Known:
        """Those of the cases ``wanted`` that are known by a lesson, by name, each with the cases of its group there."""
        found: Known = {}
        for lesson in lessons:
            pairs = _by_group(wanted, lesson) if wanted.same(lesson) else self._by_looks(wanted, lesson)
            for name, cases in pairs.items():
                found.setdefault(name, []).extend(cases)
        return found

    def _by_looks(self, wanted: Corpus, lesson: Corpus) -> Known:
        here, there = wanted.cases, lesson.cases
        prints = [self._print(case) for case in track([*here, *there], "same pictures", console=Console(stderr=True))]
        groups: dict[str, set[str]] = {}
        for one, other in near_duplicate_pairs(prints):
            if one < len(here) <= other:
                groups.setdefault(here[one].name, set()).add(there[other - len(here)].group)
        return {name: [case for case in there if case.group in kin] for name, kin in groups.items()}

    def _print(self, case: Case) -> Fingerprint:
        if case.image not in self.prints:
            self.prints[case.image] = fingerprint(eight_bits(case.read_image()))
        return self.prints[case.image]


def _by_group(wanted: Corpus, lesson: Corpus) -> Known:
    groups: Known = {}
    for case in lesson.cases:
        groups.setdefault(case.group, []).append(case)
    return {case.name: groups[case.group] for case in wanted.cases if case.group in groups}
