"""Export: what is served is what was trained, in files that hold nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models.compact_unet import CompactClassifier, CompactUNet
from service.engine import Engine, Request
from service.image import Image
from service.manifest import read_manifest
from tests.training.phantom_busi import phantom
from tests.training.tiny_export import SIDE, STAGES, WIDTHS, Exported, recipe, write_recipe, write_template
from training import packing
from training.export import (
    OUTPUTS,
    Ensemble,
    Mirrored,
    deployable,
    digest,
    export_network,
    export_pipeline,
)
from training.fit import build_network

ROOT = Path(__file__).parents[2]
SHAPE = (1, SIDE, SIDE)
every_stage = pytest.mark.parametrize("stage", STAGES)


def picture(batch: int = 2) -> Tensor:
    return torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(batch))


def parts(output: Any) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


@torch.no_grad()
def given(network: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    return parts(network(image))


def served(path: Path, image: Tensor) -> tuple[Tensor, ...]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return tuple(torch.from_numpy(one) for one in session.run(None, {"image": image.numpy()}))


# ---- the files ------------------------------------------------------------------------------------------------------


@every_stage
def test_height_and_width_are_fixed_and_the_batch_alone_is_dynamic(stage: str, exported: Exported) -> None:
    graph = onnx.load(exported.file(stage)).graph
    for value in (*graph.input, *graph.output):
        batch, *others = value.type.tensor_type.shape.dim
        assert batch.dim_param
        assert all(one.dim_value > 0 for one in others)
    (image,) = graph.input
    assert image.name == "image"
    assert [one.dim_value for one in image.type.tensor_type.shape.dim[1:]] == list(SHAPE)
    assert [one.name for one in graph.output] == OUTPUTS[stage]


@every_stage
@pytest.mark.parametrize("batch", [1, 3, 5])
def test_onnx_gives_what_torch_gives(stage: str, batch: int, exported: Exported) -> None:
    wanted = given(exported.network(stage), picture(batch))
    found = served(exported.file(stage), picture(batch))
    assert [one.shape for one in found] == [one.shape for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= 1e-4 * max(1, other.abs().max())


@every_stage
def test_large_weights_are_stored_in_eight_bits(stage: str, exported: Exported) -> None:
    graph = onnx.load(exported.file(stage)).graph
    floats = [one.name for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT]
    bytes_of = {one.name: int(np.prod(one.dims)) for one in graph.initializer if one.name.endswith(".codes")}
    large = sum(one.numel() for one in exported.network(stage).parameters() if packing.packable(one.shape))
    assert sum(bytes_of.values()) == large > 0
    assert not set(floats) & {name.removesuffix(".codes") for name in bytes_of}


@every_stage
def test_a_file_says_nothing_of_the_machine_it_was_made_on(stage: str, exported: Exported) -> None:
    content = exported.file(stage).read_bytes()
    assert str(ROOT).encode() not in content
    assert b".py" not in content


def test_the_mirrored_localiser_gives_the_mirror_image_for_a_mirror_image(exported: Exported) -> None:
    logits, presence = served(exported.file("localise"), picture())
    mirrored, same = served(exported.file("localise"), picture().flip(3))
    assert torch.allclose(mirrored.flip(3), logits, atol=1e-4)
    assert torch.allclose(same, presence, atol=1e-4)
    assert not torch.allclose(logits.flip(3), logits, atol=1e-2)


# ---- the networks ---------------------------------------------------------------------------------------------------


def network(kind: type[nn.Module] = CompactUNet, seed: int = 0, **arguments: Any) -> nn.Module:
    torch.manual_seed(seed)
    return kind(widths=WIDTHS, **arguments).eval()


@pytest.mark.parametrize(
    ("kind", "arguments"), [(CompactUNet, {}), (CompactUNet, {"presence": 1}), (CompactClassifier, {})]
)
def test_mirrored_commutes_with_mirroring(kind: type[nn.Module], arguments: dict[str, int]) -> None:
    both = Mirrored(network(kind, **arguments))
    for one, other in zip(given(both, picture()), given(both, picture().flip(3)), strict=True):
        assert torch.allclose(other.flip(3) if other.ndim == 4 else other, one, atol=1e-5)


@pytest.mark.parametrize("presence", [0, 1])
def test_an_ensemble_is_the_mean_of_its_members(presence: int) -> None:
    members = [network(seed=seed, presence=presence) for seed in range(3)]
    outputs = [given(one, picture()) for one in members]
    for index, found in enumerate(given(Ensemble(members), picture())):
        wanted = sum(one[index] for one in outputs) / 3
        assert torch.allclose(found, wanted, atol=1e-6)


@every_stage
def test_folding_batch_norm_changes_nothing(stage: str, exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without packing the network that is exported gives what the trained one gives."""
    monkeypatch.setattr(packing, "SMALLEST_PACKED", 10**9)
    folded = deployable(exported.recipes[stage], exported.weights[stage][:1], mirror=False)
    assert not [one for one in folded.modules() if isinstance(one, nn.BatchNorm2d)]
    for one, other in zip(given(folded, picture()), given(_trained(exported, stage), picture()), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def _trained(exported: Exported, stage: str) -> nn.Module:
    trained = build_network(exported.recipes[stage])
    trained.load_state_dict(torch.load(exported.weights[stage][0], weights_only=True))
    return trained.eval()


@every_stage
def test_packing_changes_the_output_little(stage: str, exported: Exported) -> None:
    packed = deployable(exported.recipes[stage], exported.weights[stage][:1], mirror=False)
    for one, other in zip(given(packed, picture()), given(_trained(exported, stage), picture()), strict=True):
        assert (one - other).abs().max() <= 0.05 * other.abs().max()


class ExportsDifferently(nn.Module):
    """A layer that looks whether it is being exported."""

    def forward(self, image: Tensor) -> Tensor:
        return image + 1 if torch.compiler.is_exporting() else image * 2


def test_a_network_that_exports_differently_is_refused_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found ONNX and torch to differ by .*; wanted at most 1e-04. Do not ship"):
        export_network(ExportsDifferently().eval(), recipe("segment"), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


# ---- the pipeline ---------------------------------------------------------------------------------------------------


def test_the_folder_is_a_pipeline_that_the_service_opens_and_serves(exported: Exported) -> None:
    engine = Engine.open([exported.folder.parents[1]], "cpu", 1)
    drawn = phantom(1, "malignant").image
    answer = engine.segment(Image(drawn[None, ..., None]), Request("small"))
    assert answer.result.mask.labels.shape == (1, *drawn.shape)
    assert [stage.name for stage in answer.result.stages] == list(STAGES)


def test_a_pipeline_may_be_called_otherwise_than_its_template(exported: Exported, tmp_path: Path) -> None:
    folder = export_pipeline(exported.template, exported.weights, tmp_path, "mine", "2.0.1")
    assert folder == tmp_path / "mine" / "2.0.1"
    manifest, other = read_manifest(folder), read_manifest(exported.folder)
    assert (manifest.name, manifest.version) == ("mine", "2.0.1")
    assert manifest.stages == other.stages
    with pytest.raises(ValidationError, match="version"):
        export_pipeline(exported.template, exported.weights, tmp_path, version="2")


def test_the_manifest_says_how_each_network_came_to_be(exported: Exported) -> None:
    manifest = read_manifest(exported.folder)
    assert exported.folder.parts[-2:] == (manifest.name, manifest.version)
    assert manifest.evidence.metrics == ()
    for stage in manifest.stages:
        made_by = exported.recipes[stage.name]
        assert stage.input == made_by.input
        assert stage.look == (made_by.look if stage.on != "image" else type(stage.look)())
        (weights,) = stage.weights.values()
        content = (exported.folder / weights.file).read_bytes()
        assert weights.sha256 == hashlib.sha256(content).hexdigest() == digest(exported.folder / weights.file)
        wanted = {"recipe": made_by.name, "members": len(exported.weights[stage.name]), "test_fold": 0}
        wanted |= {"validation": 0.4, "dataset": {"path": "training.datasets.busi.cases", "arguments": {}}}
        assert wanted.items() <= stage.training.items()
        assert 0 <= stage.training["onnx_against_torch"] <= 1e-4


def test_what_was_not_measured_yet_says_so(exported: Exported) -> None:
    card = (exported.folder / "card.md").read_text(encoding="utf-8")
    assert card.startswith("# Small (small 1.0.0)\n")
    assert "Nothing was measured yet" in card


def _unexported(folder: Path, *recipes: Any, **template: Any) -> tuple[Path, dict[str, list[Path]]]:
    """A template of a localiser and a segmenter and weights that nothing gets to read."""
    for one in recipes or (recipe("localise"), recipe("segment")):
        write_recipe(one, folder)
    return write_template(folder, "localise", "segment", **template), {"localise": [folder], "segment": [folder]}


def test_a_stage_without_weights_is_named_before_anything_is_exported(tmp_path: Path) -> None:
    template, weights = _unexported(tmp_path)
    del weights["segment"]
    with pytest.raises(ValueError, match="Found no weights for stage segment; .* Pass --weights segment=PATH"):
        export_pipeline(template, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_no_stage_are_named(tmp_path: Path) -> None:
    template, weights = _unexported(tmp_path)
    with pytest.raises(ValueError, match="Found weights for lesion; wanted a stage of localise, segment. Mend"):
        export_pipeline(template, weights | {"lesion": [tmp_path]}, tmp_path / "out")


@pytest.mark.parametrize("changes", [{"test_fold": 1}, {"validation": 0.2}])
def test_networks_of_two_splits_make_no_pipeline(changes: dict[str, Any], tmp_path: Path) -> None:
    """The test part of one would be training pictures of the other."""
    template, weights = _unexported(tmp_path, recipe("localise"), recipe("segment", **changes))
    with pytest.raises(ValueError, match="in tiny_segment, 0 and 0.4 in tiny_localise; wanted the same. Train both"):
        export_pipeline(template, weights, tmp_path / "out")


def test_weights_that_were_shown_other_pictures_than_the_template_has_are_refused(tmp_path: Path) -> None:
    shown = recipe("segment", input={"size": [SIDE, SIDE], "mean": [0.1], "std": [0.25]})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(write_recipe(shown, tmp_path).read_text())
    write_recipe(recipe("segment"), tmp_path)
    template = write_template(tmp_path, stages=[{"name": "segment", "recipe": "tiny_segment.yaml", "licence": "none"}])
    weights = {"segment": [tmp_path / "run" / "best.pt"]}
    with pytest.raises(ValueError, match=r"Found .*best.pt trained with input mean \(0.1,\); wanted \(0.4,\), as the"):
        export_pipeline(template, weights, tmp_path / "out")


def test_one_recipe_for_two_stages_is_refused(tmp_path: Path) -> None:
    """Their files would have one name."""
    template, weights = _unexported(tmp_path)
    (tmp_path / "tiny_segment.yaml").write_text((tmp_path / "tiny_localise.yaml").read_text())
    with pytest.raises(ValueError, match="Found recipes tiny_localise, tiny_localise; wanted no name twice"):
        export_pipeline(template, weights, tmp_path / "out")


def test_a_template_that_would_lead_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    template, weights = _unexported(tmp_path, version="../1.0.0")
    with pytest.raises(ValidationError, match="version\n.*should match pattern"):
        export_pipeline(template, weights, tmp_path / "out")


def test_a_template_that_claims_to_be_measured_is_refused_before_anything_is_exported(tmp_path: Path) -> None:
    evidence = {"level": "validated", "data": "phantoms", "data_licence": "Apache-2.0"}
    template, weights = _unexported(tmp_path, evidence=evidence)
    with pytest.raises(ValidationError, match="evidence\n.*level validated needs metrics"):
        export_pipeline(template, weights, tmp_path / "out")


@pytest.mark.parametrize("content", ["another network", "a checkpoint", "no weights", "nothing"])
def test_weights_that_are_not_the_recipes_are_refused(content: str, exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    match content:
        case "another network":
            torch.save(network(CompactClassifier).state_dict(), path)
        case "a checkpoint":
            torch.save({"network": network().state_dict(), "epoch": 3}, path)
        case "no weights":
            path.write_bytes(b"no weights")
        case "nothing":
            path.write_bytes(b"")
    with pytest.raises(ValueError, match="Found in .*weights.pt no weights of .*CompactUNet as recipe"):
        deployable(exported.recipes["segment"], [path], mirror=False)
