"""What a run knows, and how pictures of two data sets are recognised as the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.training.phantom_busi import write_busi
from tests.training.tiny_runs import Runs
from tests.training.tiny_sets import write_mammograms, write_tissue
from training.datasets import busi, tissue, unified_csv
from training.kinship import Corpus, Kinship, corpus_of, learned
from training.run_folder import CONFIG, ENVIRONMENT
from training.sampling import parts_of
from training.trained import recipe_of

BUSI, TISSUE, TABLE = (f"training.datasets.{name}.cases" for name in ("busi", "tissue", "unified_csv"))


def names(corpus: Corpus) -> set[str]:
    return {case.name for case in corpus.cases}


def begun(source: Path, folder: Path, **changes: object) -> Path:
    """A run folder as if it had been trained, its recipe changed."""
    folder.mkdir()
    shutil.copy(source / ENVIRONMENT, folder)
    recipe = recipe_of(source).model_copy(update=changes)
    (folder / CONFIG).write_text(json.dumps(recipe.model_dump(mode="json", exclude_none=True)))
    return folder


def test_a_run_learned_from_its_training_and_validation_part(runs: Runs) -> None:
    parts = parts_of(recipe_of(runs.localiser), runs.data)
    (lesson,) = learned(runs.localiser)
    assert names(lesson) == {case.name for case in (*parts.train, *parts.validation)}
    (trained,) = learned(runs.localiser, validation=False)
    assert names(trained) == {case.name for case in parts.train}
    assert names(corpus_of(recipe_of(runs.localiser), runs.data)) == {case.name for case in busi.cases(runs.data)}


def test_what_a_run_began_with_has_taught_it_as_well(runs: Runs, tmp_path: Path) -> None:
    later = begun(runs.localiser, tmp_path / "later", start=runs.localiser / "best.pt", excluded=(1, 2))
    own, before = learned(later)
    assert {case.fold for case in own.cases} == {3, 4}
    assert {case.fold for case in before.cases} == {1, 2, 3, 4}


def test_cases_of_one_group_know_each_other(runs: Runs) -> None:
    cases = busi.cases(runs.data)
    here = Corpus(BUSI, runs.data, tuple(cases))
    there = Corpus(BUSI, runs.data / ".." / runs.data.name, tuple(case for case in cases if case.fold == 2))
    known = Kinship().known(here, [there])
    assert set(known) == {case.name for case in cases if case.group in {one.group for one in there.cases}}
    assert {one.fold for found in known.values() for one in found} == {2}


def test_the_same_film_in_two_data_sets_is_recognised_with_its_whole_group(tmp_path: Path) -> None:
    films = tissue.cases(write_tissue(tmp_path / "tissue", 6))
    table = unified_csv.cases(write_mammograms(tmp_path / "table", [100, 101, 102, 3]))
    kinship = Kinship()
    here, there = Corpus(TABLE, tmp_path / "table", tuple(table)), Corpus(TISSUE, tmp_path / "tissue", tuple(films))
    known = kinship.known(here, [there])
    assert {name: [case.group for case in found] for name, found in known.items()} == {"set 03": ["A_0003_1"]}
    assert kinship.known(there, [here])[films[3].name] == [table[3]]
    assert len(kinship.prints) == 10


def test_a_copy_of_a_data_set_is_recognised_by_its_looks(tmp_path: Path) -> None:
    one, other = (write_busi(tmp_path / name, 5) for name in ("one", "other"))
    here, there = (Corpus(BUSI, folder, tuple(busi.cases(folder))) for folder in (one, other))
    assert set(Kinship().known(here, [there])) >= {case.name for case in here.cases if case.category != "normal"}


def test_what_tells_nothing_of_its_origin_is_refused(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no config.yaml in .*; wanted a run folder, which tells what"):
        learned(tmp_path)
    alone = begun(runs.localiser, tmp_path / "alone", start=tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"Found that localiser began with .*weights.pt, of which nothing tells"):
        learned(alone)
    gone = begun(runs.localiser, tmp_path / "gone")
    noted = json.loads((gone / ENVIRONMENT).read_text())
    (gone / ENVIRONMENT).write_text(json.dumps(noted | {"data": str(tmp_path / "moved")}))
    with pytest.raises(FileNotFoundError, match=r"Found no folder .*moved, from which .*gone learned"):
        learned(gone)
    assert names(learned(gone, runs.data)[0]) == names(learned(runs.localiser)[0])
