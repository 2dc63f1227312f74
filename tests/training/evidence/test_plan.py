"""What is measured follows from the training blocks of a manifest, whatever the pipeline is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from service.manifest import Manifest, read_manifest
from tests import tiny_mammography, tiny_pipeline
from training.evidence.kinds import KINDS, kind_of
from training.evidence.plan import KNOWN, MASSES, TISSUE, Measured, plan_of

BUSI = "training.datasets.busi.cases"


def trained(folder: Path, **blocks: dict[str, Any]) -> Manifest:
    """The manifest with a training block for each stage named."""
    content = yaml.safe_load((folder / "manifest.yaml").read_text())
    for stage in content["stages"]:
        stage["training"] = blocks.get(stage["name"], {})
    (folder / "manifest.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return read_manifest(folder)


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    return tiny_pipeline.write(tmp_path) / tiny_pipeline.NAME / tiny_pipeline.VERSION


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return tiny_mammography.write(tmp_path) / tiny_mammography.NAME / tiny_mammography.VERSION


def dataset(path: str, **arguments: Any) -> dict[str, Any]:
    return {"dataset": {"path": path, "arguments": arguments}, "test_fold": 0, "validation": 0.1}


def test_a_lesion_cascade_is_measured_once_though_all_stages_learned_from_one_set(squares: Path) -> None:
    block = dataset(BUSI)
    found = plan_of(trained(squares, localise=block, lesion=block, classify=block))
    assert [(one.kind, one.folder, one.part, one.stage) for one in found] == [
        ("lesions", "ultrasound_busi", "test", None),
        ("screenshots", "ultrasound_busi", "test", None),
    ]


def test_stages_of_two_sets_are_each_measured_on_their_own(films: Path) -> None:
    found = plan_of(trained(films, tissue=dataset(TISSUE), lesion=dataset(MASSES, aspect=0.58)))
    assert [(one.kind, one.folder, one.part, one.stage) for one in found] == [
        ("labels", "mammography_tissue_ddsm", "test", "tissue"),
        ("boxes", "mammography_masses_cbis", "test", None),
        ("masks", "mammography_masks_cbis", "all", None),
        ("findings", "mammography_tissue_ddsm", "all", None),
    ]
    assert found[1].dataset.arguments == {"aspect": 0.58}


def test_a_set_that_nobody_knows_is_measured_as_its_stage_is(films: Path, squares: Path) -> None:
    found = plan_of(trained(films, tissue=dataset("new.films.cases"), lesion=dataset("new.masses.cases")))
    assert [(one.kind, one.place) for one in found] == [("labels", "films"), ("masks", "masses")]
    (lesions,) = plan_of(trained(squares, lesion=dataset("new.masses.cases")))
    assert (lesions.kind, lesions.place) == ("lesions", "masses")


def test_a_stage_may_say_itself_what_is_measured(squares: Path) -> None:
    drawn = {"writer": "training.phantoms.ultrasound_set.write", "number": 3}
    measure = [{"kind": "masks", "drawn": drawn, "part": "all", "on": "phantoms"}]
    (found,) = plan_of(trained(squares, lesion=dataset(BUSI) | {"measure": measure}))
    assert (found.kind, found.on, found.dataset.path) == ("masks", "phantoms", BUSI)
    assert found.place == "drawn by training.phantoms.ultrasound_set.write, seeds 10000000 to 10000002"


def test_phantoms_that_training_may_have_drawn_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 10000000"):
        Measured.model_validate({"kind": "masks", "dataset": {"path": "a.b"}, "drawn": {"writer": "a.b", "first": 5}})


def test_a_pipeline_that_does_not_say_what_it_learned_from_cannot_be_measured(squares: Path) -> None:
    with pytest.raises(ValueError, match=r"Found no data set in the stages of tiny 1\.0\.0; wanted training\.dataset"):
        plan_of(read_manifest(squares))


def test_every_kind_that_is_planned_is_there() -> None:
    assert {block["kind"] for blocks in KNOWN.values() for block in blocks} <= set(KINDS)
    with pytest.raises(ValueError, match="Found measurement 'guesses'; wanted one of lesions"):
        kind_of("guesses")
