"""What is kept is kept whole, and a file of another run is told from one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.service.jobs.limits import files_limited_to
from training.distributed import World
from training.fit import BEST, CHECKPOINT, fit
from training.phantoms.tiny import cases
from training.recipe import Recipe
from training.run_folder import describe
from training.state import build_network, load_weights, read


def recipe(**changes: Any) -> Recipe:
    schedule = {"epochs": 1, "batch": 2, "precision": "float32", "average": 0.5}
    content = {
        "name": "tiny",
        "task": "whole",
        "network": {"path": "models.unet.tiny"},
        "dataset": {"path": "training.phantoms.tiny.cases", "arguments": {"kind": "mri"}},
        "input": {"size": [32, 32]},
        "validation": 0.37,
    }
    return Recipe.model_validate(content | changes | {"schedule": schedule | changes.get("schedule", {})})


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms")
    cases(root, kind="mri")
    return root


@pytest.fixture(scope="module")
def run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch; nobody writes here."""
    out = tmp_path_factory.mktemp("run")
    fit(recipe(), phantoms, out, workers=0)
    return out


def _copy(run: Path, out: Path, block: Recipe, data: Path) -> Path:
    """The run's checkpoint in a folder which says that it is of the recipe ``block``."""
    out.mkdir()
    describe(out, block, data, World(torch.device("cpu")))
    (out / CHECKPOINT).write_bytes((run / CHECKPOINT).read_bytes())
    return out


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"path": "models.attention_unet.tiny"}},
        {"network": {"path": "models.unet.tiny", "arguments": {"widths": [4, 4, 8, 8, 24]}}},
        {"optimizer": {"path": "torch.optim.SGD"}, "freeze": ["encoder.*"]},
    ],
    ids=["architecture", "width", "frozen"],
)
def test_a_checkpoint_of_another_run_is_not_resumed(
    changes: dict[str, Any], run: Path, phantoms: Path, tmp_path: Path
) -> None:
    words = r"Found in .*checkpoint.pt a checkpoint of another run \(.*\); wanted one of models\..*tiny as recipe tiny"
    other = recipe(schedule={"epochs": 2}, **changes)
    with pytest.raises(ValueError, match=words):
        fit(other, phantoms, _copy(run, tmp_path / "out", other, phantoms), resume=True, workers=0)
    assert (tmp_path / "out" / CHECKPOINT).read_bytes() == (run / CHECKPOINT).read_bytes()


def test_weights_of_another_network_are_not_loaded(run: Path) -> None:
    other = recipe(network={"path": "models.attention_unet.tiny"})
    with pytest.raises(
        ValueError, match=r"Found in .*best.pt weights of another network .*; wanted those of models.att"
    ):
        load_weights(build_network(other), run / BEST, other)


def test_what_torch_never_wrote_is_refused(tmp_path: Path) -> None:
    (tmp_path / "start.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"Found in .*start.pt no weights .*; wanted a file that torch wrote"):
        read(tmp_path / "start.pt")
    with pytest.raises(ValueError, match="no weights"):
        build_network(recipe(start=tmp_path / "start.pt"))


def test_a_full_disk_is_told_and_loses_no_finished_epoch(run: Path, phantoms: Path, tmp_path: Path) -> None:
    longer = recipe(schedule={"epochs": 2})
    out = _copy(run, tmp_path / "out", longer, phantoms)
    words = (
        "Found no way to write .*wanted room on the disk. What was saved before is whole: free some space and go on "
        "with --resume"
    )
    size = (out / CHECKPOINT).stat().st_size
    with files_limited_to(size - 1), pytest.raises(OSError, match=words):
        fit(longer, phantoms, out, resume=True, workers=0)
    assert not list(out.glob("*.partial"))
    assert read(out / CHECKPOINT)["epoch"] == 1
    fit(longer, phantoms, out, resume=True, workers=0)
    assert read(out / CHECKPOINT)["epoch"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {"average": 0}},
        {"schedule": {"rate": {"kind": "warm_restarts", "per": "epoch", "first": 2}, "accumulate": 2}},
        {
            "loss": {"path": "training.losses.dice_bce"},
            "terms": {"shape": {"path": "training.losses.convexity_loss"}},
            "loss_weights": "learned",
            "sampling": "lesion_balanced",
            "augment": {"light": 1, "noise": 1, "flips": [0.3, 0.3]},
        },
    ],
    ids=["no average", "restarts", "learned weights"],
)
def test_a_resumed_run_is_the_same_run(changes: dict[str, Any], phantoms: Path, tmp_path: Path) -> None:
    # A rate that does not depend on how many epochs are planned.
    schedule = {"rate": {"kind": "constant"}, **changes.get("schedule", {})}

    def planned(epochs: int) -> Recipe:
        return recipe(**{**changes, "schedule": {**schedule, "epochs": epochs}})

    fit(planned(3), phantoms, tmp_path / "whole", workers=0)
    fit(planned(1), phantoms, tmp_path / "parts", workers=0)
    torch.manual_seed(99)
    fit(planned(3), phantoms, tmp_path / "parts", resume=True, workers=0)
    whole, parts = (read(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert whole["history"] == parts["history"]
    for part in ("network", "average", "loss"):
        assert (part in whole) == (part in parts)
        for name, value in whole.get(part, {}).items():
            assert torch.equal(value, parts[part][name]), name


def test_without_an_average_the_weights_themselves_are_kept(phantoms: Path, tmp_path: Path) -> None:
    fit(recipe(schedule={"average": 0}), phantoms, tmp_path, workers=0)
    saved, kept = read(tmp_path / CHECKPOINT), read(tmp_path / BEST)
    assert "average" not in saved
    assert all(torch.equal(kept[name], value) for name, value in saved["network"].items())


def test_training_ends_early_when_it_gets_no_better(phantoms: Path, tmp_path: Path) -> None:
    still = recipe(schedule={"epochs": 9, "learning_rate": 0.0, "early_stop": 2, "average": 0})
    fit(still, phantoms, tmp_path, workers=0)
    assert read(tmp_path / CHECKPOINT)["epoch"] == 3
    before = (tmp_path / CHECKPOINT).read_bytes()
    fit(still, phantoms, tmp_path, resume=True, workers=0)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_network_that_is_loaded_next_starts_from_nothing() -> None:
    """Neither its own starting weights nor the recipe's are looked for, which may be far away."""
    far = recipe(network={"path": "models.smp_unet.tiny", "arguments": {"weights": "none.pt"}}, start=Path("none.pt"))
    assert build_network(far, start=False)
    with pytest.raises((OSError, ValueError)):
        build_network(far)
