"""Boxes come from networks that did not learn from the picture, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.stages import Detect
from tests.training import tiny_runs
from tests.training.phantom_busi import write_busi
from training.export import digest
from training.kinship import Corpus, corpus_of, learned
from training.out_of_fold import Boxes, Looking, boxes_of_chain, boxes_of_runs, natural_look, opened
from training.phases import Chain
from training.recipe import Recipe
from training.regions import read_boxes

ONCE = {"epochs": 1, "batch": 2, "learning_rate": 0.01, "average": 0, "precision": "float32"}
SMALL = {"schedule": ONCE, "validation": 0.3}
TISSUE = {
    "network": {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": [4, 8, 8], "classes": 4}},
    "dataset": {"path": "training.datasets.tissue.cases"},
    "classes": ["background", "adipose", "fibroglandular", "pectoral"],
}


def localiser(name: str = "localiser", **changes: object) -> Recipe:
    return tiny_runs.recipe(name, "localise", **(SMALL | changes))


def unknown(corpus: Corpus, run: Path) -> set[str]:
    known = {case.group for lesson in learned(run) for case in lesson.cases}
    return {case.name for case in corpus.cases if case.group not in known}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Trained with and without one fold; folds 1 and 2 are left out altogether, lest it take too long."""
    data = write_busi(tmp_path_factory.mktemp("busi"), 20)
    made = Chain((localiser(excluded=[1, 2]),), data, tmp_path_factory.mktemp("chain") / "localise")
    made.train()
    for fold in (3, 4):
        made.without([fold]).train()
    return made


def test_every_picture_is_looked_at_by_a_network_without_it(chain: Chain, tmp_path: Path) -> None:
    wanted = corpus_of(chain.last, chain.data)
    boxes = boxes_of_chain(chain, natural_look(chain.last), wanted)
    assert set(boxes.found) == {case.name for case in wanted.cases}
    for run, names in boxes.sources.items():
        assert set(names) <= unknown(wanted, Path(run))
    assert [Path(run).name for run in boxes.sources] == ["localise", "localise_without_3", "localise_without_4"]
    assert boxes.write(tmp_path / "deeper" / "boxes.json") == tmp_path / "deeper" / "boxes.json"
    assert read_boxes(tmp_path / "deeper" / "boxes.json") == boxes.found
    told = json.loads((tmp_path / "deeper" / "boxes.sources.json").read_text())
    assert {run: one["cases"] for run, one in told.items()} == boxes.sources
    assert told[str(chain.run)]["weights"] == digest(chain.run / "best.pt")


def test_held_out_boxes_cost_no_training_and_leave_trained_cases_without(chain: Chain) -> None:
    wanted = corpus_of(chain.last, chain.data)
    boxes = boxes_of_chain(chain, natural_look(chain.last), wanted, folds=False)
    trained = {case.name for lesson in learned(chain.run, validation=False) for case in lesson.cases}
    assert set(boxes.found) == {case.name for case in wanted.cases} - trained
    assert list(boxes.sources) == [str(chain.run)]


def test_finished_runs_share_the_pictures_that_they_do_not_know(chain: Chain) -> None:
    wanted = corpus_of(chain.last, chain.data)
    runs = [chain.without([fold]).run for fold in (3, 4)]
    boxes = boxes_of_runs(runs, natural_look(chain.last), wanted)
    assert set(boxes.sources[str(runs[0])]) == unknown(wanted, runs[0])
    assert set(boxes.found) == {case.name for case in wanted.cases}


def test_a_picture_that_all_runs_know_gets_no_box_and_nothing_is_given(chain: Chain) -> None:
    wanted = corpus_of(chain.last, chain.data)
    with pytest.raises(ValueError, match=r"Found \d of \d+ pictures, the first .*, that every run was trained or vali"):
        boxes_of_runs([chain.run, chain.without([3]).run], natural_look(chain.last), wanted)


def test_one_fold_alone_cannot_look_at_itself(chain: Chain) -> None:
    alone = Chain((chain.without([4]).last,), chain.data, chain.without([4]).run)
    with pytest.raises(ValueError, match=r"Found folds \[3\] to train on, of which \[3\] are to be looked at; wanted"):
        boxes_of_chain(alone, natural_look(alone.last), corpus_of(chain.last, chain.data))


def test_weights_that_saw_the_picture_are_found_out(chain: Chain, tmp_path: Path) -> None:
    begun = localiser(name="begun", start=chain.run / "best.pt", excluded=[1, 2])
    every = corpus_of(chain.last, chain.data)
    cases = tuple(case for case in every.cases if case.fold == 3)
    later = Chain((begun,), chain.data, tmp_path / "begun")
    with pytest.raises(ValueError, match=r"Found that .*begun_without_3 learned from .*, which shows .*; wanted a run"):
        boxes_of_chain(later, natural_look(begun), Corpus(every.dataset, chain.data, cases))


def test_a_graph_is_kept_and_made_anew_for_newer_weights(chain: Chain) -> None:
    look = natural_look(chain.last)
    assert isinstance(opened(chain.run, look), Detect)
    graph = chain.run / "best.onnx"
    before = graph.stat().st_mtime_ns
    opened(chain.run, look)
    assert graph.stat().st_mtime_ns == before
    (chain.run / "best.pt").touch()
    opened(chain.run, look)
    assert graph.stat().st_mtime_ns > before


def test_a_network_localises_by_its_task() -> None:
    whole = natural_look(tiny_runs.recipe("a", "whole"))
    assert (whole.block["kind"], whole.label, whole.block["threshold"]) == ("segment", None, 0.5)
    network = {"path": "training.yolo.YoloPlan", "arguments": {}}
    assert natural_look(localiser(network=network)).block["decode"]["kind"] == "yolo"
    tissue = tiny_runs.recipe("tissue", "labels", **TISSUE)
    assert natural_look(tissue, "pectoral").block["labels"] == ["adipose", "fibroglandular", "pectoral"]
    with pytest.raises(ValueError, match="Found label None for tissue; wanted one of adipose, fibroglandular, pecto"):
        natural_look(tissue)
    with pytest.raises(ValueError, match="Found task segment of a; wanted localise, whole or labels"):
        natural_look(tiny_runs.recipe("a", "segment"))


def test_nobody_is_asked_about_nothing(chain: Chain) -> None:
    boxes = Boxes(Corpus("nothing", chain.data, ()))
    boxes.add(chain.run, Looking({}), [])
    assert (boxes.found, boxes.sources, boxes.missing) == ({}, {}, [])
