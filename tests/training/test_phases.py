"""Phases: each begins with the best weights of the one before, none is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from tests.training import tiny_runs
from training.fit import BEST, LAST
from training.phases import Chain
from training.trained import EVENTS, recipe_of

ONCE = {"epochs": 1, "batch": 2, "learning_rate": 0.01, "average": 0, "precision": "float32"}
YOLO = {"path": "training.yolo.YoloPlan", "arguments": {}}


@pytest.fixture(scope="module")
def chain(small_busi: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Two phases, trained; nobody writes here."""
    out = tmp_path_factory.mktemp("phases")
    first, second = (tiny_runs.recipe(name, schedule=ONCE) for name in ("first", "second"))
    made = Chain((first, second), small_busi, out / "net", out / "logs" / "net")
    assert not made.done
    assert made.train() == out / "net"
    return made


def test_a_phase_begins_where_the_one_before_was_best(chain: Chain) -> None:
    assert chain.done
    assert recipe_of(chain.folder(0)).start is None
    assert recipe_of(chain.run).start == (chain.run.parent / "net_phase1" / BEST).resolve()
    assert chain.best(1) == chain.run.parent / "net_phase1" / BEST
    assert (chain.weights(), chain.weights("last"), chain.best()) == (
        chain.run / BEST,
        chain.run / LAST,
        chain.run / BEST,
    )
    before, after = (torch.load(chain.best(phase), weights_only=True) for phase in (1, 2))
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_events_lie_in_the_run_and_where_they_are_wanted(chain: Chain) -> None:
    for name in ("net", "net_phase1"):
        assert list((chain.run.parent / name).glob(EVENTS))
        assert list((chain.run.parent / "logs" / name).glob(EVENTS))
    tags = {"loss", "validation_loss", "learning_rate", "validation", "dice_lesion"}
    for folder in (chain.run, chain.run.parent / "logs" / "net"):
        events = LegacyEventFileLoader(str(next(folder.glob(EVENTS)))).Load()
        assert tags <= {value.tag for event in events for value in event.summary.value}


def test_what_is_finished_stays(chain: Chain) -> None:
    before = {path: path.stat().st_mtime_ns for path in chain.run.parent.rglob("*.*")}
    chain.train()
    assert {path: path.stat().st_mtime_ns for path in chain.run.parent.rglob("*.*")} == before


def test_without_folds_every_phase_lies_elsewhere_and_leaves_them_out(chain: Chain) -> None:
    other = chain.without([3, 1])
    assert [one.excluded for one in other.phases] == [(1, 3), (1, 3)]
    assert [other.folder(phase).name for phase in (0, 1)] == ["net_without_1_3_phase1", "net_without_1_3"]
    assert other.logs == chain.run.parent / "logs" / "net_without_1_3"
    assert other.last.name == "second_without_1_3"


def test_a_run_of_another_recipe_is_not_taken_for_it(chain: Chain, small_busi: Path) -> None:
    another = tiny_runs.recipe("first", schedule=ONCE, negatives=0.5)
    with pytest.raises(ValueError, match=r"Found a run in .*net_phase1 whose negatives is 0.2; wanted 0.5"):
        Chain((another, chain.last), small_busi, chain.run, chain.logs).train()


def test_yolo_has_one_phase(small_busi: Path, tmp_path: Path) -> None:
    recipe = tiny_runs.recipe("yolo", "localise", network=YOLO, start=tmp_path / "best.pt")
    chain = Chain((recipe,), small_busi, tmp_path / "run")
    assert chain.weights().name == "yolo.onnx"
    assert not chain.done
    with pytest.raises(ValueError, match=r"Found yolo to start from .*best.pt; wanted nothing: YOLO learns in one"):
        chain.train()
