"""From data folders in their real layouts to pipelines that the service opens, by the templates that come along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from service.engine import Engine, Request
from service.formats.nifti import read_nifti
from service.formats.options import Options
from service.formats.raster import read_raster
from tests.training import tiny_mri
from tests.training.tiny_sets import write_mammograms, write_tissue
from training.cascade import fit_cascade
from training.cascade_plan import Plan
from training.choices import Source
from training.datasets import mama_mia, tissue
from training.prepare.mri import MriOptions, prepare_mri
from training.regions import read_boxes
from training.template import Settings
from training.trained import recipe_of

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
TINY: dict[str, Any] = {
    "schedule": {"precision": "float32", "average": 0},
    "validation": 0.5,
    "device": "cpu",
    "in_memory": True,
}
COMPACT = {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": [4, 8, 8]}}
LOCALISER = {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": [4, 8, 8], "presence": 1}}
TISSUE = {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": [4, 8, 8], "classes": 4}}


def small(data: Path, size: str, network: dict[str, Any], **changes: Any) -> Settings:
    """One epoch of a tiny network."""
    content = {"data": data, "epochs": 1, "batch": 2, "size": size, "changes": TINY | {"network": network} | changes}
    return Settings.model_validate(content)


def test_mammography_learns_tissue_from_one_data_set_and_lesions_from_another(tmp_path: Path) -> None:
    films = write_tissue(tmp_path / "tissue", 10)
    twin = next(case for case in tissue.cases(films) if case.fold == 1)
    # One picture of the second set is a film that taught the tissue stage.
    table = write_mammograms(tmp_path / "table", [*range(100, 111), int(twin.group.split("_")[1])])
    settings = {"tissue": small(films, "64x32", TISSUE), "lesion": small(table, "32", COMPACT)}
    plan = Plan(RECIPES / "mammography_pipeline.yaml", tmp_path / "out", settings)
    pipeline = fit_cascade(plan)
    runs = tmp_path / "out" / "checkpoints"
    assert sorted(path.name for path in runs.iterdir()) == ["lesion", "tissue", "tissue_without_1"]
    assert len(read_boxes(plan.told)) == 12, "every picture of the second set"
    assert recipe_of(runs / "lesion").boxes == plan.told
    engine = Engine.open([pipeline.parent.parent], "cpu", 1)
    seen = read_raster((table / "images" / "00.png").read_bytes())
    for stage in (None, "tissue"):
        answer = engine.segment(seen, Request("mammography", stage=stage))
        assert answer.result.mask.labels.shape == (1, 96, 96)
    assert set(np.unique(answer.result.mask.labels)) <= {0, 1, 2, 3}


def test_mri_goes_from_exams_to_an_outlined_volume(tmp_path: Path) -> None:
    source = tiny_mri.write_mama_mia(tmp_path / "mama_mia", [f"DUKE_{number:03d}" for number in range(1, 11)])
    slices = prepare_mri(mama_mia.exams(source), tmp_path / "slices", MriOptions(size=48)).parent
    settings = {"localise": small(slices, "32", LOCALISER), "segment": small(slices, "32", COMPACT)}
    plan = Plan(RECIPES / "mri_compact_pipeline.yaml", tmp_path / "out", settings, Source.held_out)
    pipeline = fit_cascade(plan)
    engine = Engine.open([pipeline.parent.parent], "cpu", 1)
    volume = read_nifti(next((source / "images").rglob("*_0001.nii.gz")).read_bytes(), Options())
    answer = engine.segment(volume, Request("mri_compact"))
    assert answer.result.mask.labels.shape == (volume.depth, volume.height, volume.width) == (6, 24, 20)
    window = engine.pipelines()[0].manifest.stages[1].input.window
    assert (window.kind, engine.pipelines()[0].manifest.voxels) == ("percentile", "raw")
