"""Weights of SAM: original, library's and own names, folders, files, the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import SamConfig, SamModel

from models.sam import Sam, renamed, tiny
from tests.models.laws import examples
from tests.models.sams import IMAGE, boxes, library

# Names in the original files of SAM, and what transformers calls the same.
ORIGINAL = {
    "image_encoder.pos_embed": "vision_encoder.pos_embed",
    "image_encoder.patch_embed.proj.weight": "vision_encoder.patch_embed.projection.weight",
    "image_encoder.blocks.0.norm1.weight": "vision_encoder.layers.0.layer_norm1.weight",
    "image_encoder.blocks.11.attn.rel_pos_h": "vision_encoder.layers.11.attn.rel_pos_h",
    "image_encoder.blocks.1.mlp.lin2.bias": "vision_encoder.layers.1.mlp.lin2.bias",
    "image_encoder.neck.0.weight": "vision_encoder.neck.conv1.weight",
    "image_encoder.neck.1.bias": "vision_encoder.neck.layer_norm1.bias",
    "image_encoder.neck.2.weight": "vision_encoder.neck.conv2.weight",
    "image_encoder.neck.3.weight": "vision_encoder.neck.layer_norm2.weight",
    "prompt_encoder.point_embeddings.2.weight": "prompt_encoder.point_embed.2.weight",
    "prompt_encoder.not_a_point_embed.weight": "prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.no_mask_embed.weight": "prompt_encoder.no_mask_embed.weight",
    "prompt_encoder.mask_downscaling.0.weight": "prompt_encoder.mask_embed.conv1.weight",
    "prompt_encoder.mask_downscaling.1.weight": "prompt_encoder.mask_embed.layer_norm1.weight",
    "prompt_encoder.mask_downscaling.3.weight": "prompt_encoder.mask_embed.conv2.weight",
    "prompt_encoder.mask_downscaling.4.bias": "prompt_encoder.mask_embed.layer_norm2.bias",
    "prompt_encoder.mask_downscaling.6.bias": "prompt_encoder.mask_embed.conv3.bias",
    "mask_decoder.iou_token.weight": "mask_decoder.iou_token.weight",
    "mask_decoder.transformer.layers.1.norm4.bias": "mask_decoder.transformer.layers.1.layer_norm4.bias",
    "mask_decoder.transformer.layers.0.self_attn.q_proj.weight": (
        "mask_decoder.transformer.layers.0.self_attn.q_proj.weight"
    ),
    "mask_decoder.transformer.norm_final_attn.weight": "mask_decoder.transformer.layer_norm_final_attn.weight",
    "mask_decoder.output_upscaling.0.weight": "mask_decoder.upscale_conv1.weight",
    "mask_decoder.output_upscaling.1.weight": "mask_decoder.upscale_layer_norm.weight",
    "mask_decoder.output_upscaling.3.bias": "mask_decoder.upscale_conv2.bias",
    "mask_decoder.output_hypernetworks_mlps.3.layers.0.bias": "mask_decoder.output_hypernetworks_mlps.3.proj_in.bias",
    "mask_decoder.output_hypernetworks_mlps.0.layers.1.bias": "mask_decoder.output_hypernetworks_mlps.0.layers.0.bias",
    "mask_decoder.output_hypernetworks_mlps.0.layers.2.bias": "mask_decoder.output_hypernetworks_mlps.0.proj_out.bias",
    "mask_decoder.iou_prediction_head.layers.0.weight": "mask_decoder.iou_prediction_head.proj_in.weight",
    "mask_decoder.iou_prediction_head.layers.1.weight": "mask_decoder.iou_prediction_head.layers.0.weight",
    "mask_decoder.iou_prediction_head.layers.2.weight": "mask_decoder.iou_prediction_head.proj_out.weight",
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": (
        "prompt_encoder.shared_embedding.positional_embedding"
    ),
}  # fmt: skip


def test_original_names_become_the_librarys() -> None:
    marks = {name: torch.tensor(float(n)) for n, name in enumerate(ORIGINAL)}
    found = {name: int(value) for name, value in renamed(marks).items()}
    wanted = {name: n for n, name in enumerate(ORIGINAL.values())}
    shared = "shared_image_embedding.positional_embedding"
    assert found == {**wanted, shared: wanted["prompt_encoder.shared_embedding.positional_embedding"]}
    # All of them are names of the library, and its own stay as they are.
    with torch.device("meta"):
        own = SamModel(SamConfig()).state_dict()
    assert set(found) <= set(own)
    assert set(renamed(own)) == set(own)


def originally_named(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of the original files."""
    back: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == "shared_image_embedding.positional_embedding":
            continue
        for theirs, original in (
            ("vision_encoder", "image_encoder"), ("image_encoder.layers.", "image_encoder.blocks."),
            ("patch_embed.projection", "patch_embed.proj"), ("neck.conv1", "neck.0"), ("neck.layer_norm1", "neck.1"),
            ("neck.conv2", "neck.2"), ("neck.layer_norm2", "neck.3"), ("mask_embed.conv1", "mask_downscaling.0"),
            ("mask_embed.layer_norm1", "mask_downscaling.1"), ("mask_embed.conv2", "mask_downscaling.3"),
            ("mask_embed.layer_norm2", "mask_downscaling.4"), ("mask_embed.conv3", "mask_downscaling.6"),
            (".layer_norm", ".norm"), (".point_embed.", ".point_embeddings."), ("upscale_conv1", "output_upscaling.0"),
            ("upscale_layer_norm", "output_upscaling.1"), ("upscale_conv2", "output_upscaling.3"),
            ("head.layers.0", "head.layers.1"), ("head.proj_in", "head.layers.0"), ("head.proj_out", "head.layers.2"),
            *((f"mlps.{n}.{a}", f"mlps.{n}.layers.{b}") for n in range(4)
              for a, b in (("layers.0", 1), ("proj_in", 0), ("proj_out", 2))),
            ("shared_embedding.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
        ):  # fmt: skip
            name = name.replace(theirs, original)
        back[name] = value
    return back


@torch.no_grad()
def test_weights_from_a_folder_and_from_files_of_every_naming(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = library()
    (image,), prompt = examples((IMAGE,), 1), boxes((5, 6, 40, 50))
    wanted = Sam(model, trained="decoder").eval()
    model.save_pretrained(tmp_path / "folder")
    torch.save(model.state_dict(), tmp_path / "library.pt")
    torch.save(wanted.state_dict(), tmp_path / "own.pt")
    torch.save({"model": originally_named(model.state_dict())}, tmp_path / "original.pth")
    for name in ("folder", "library.pt", "own.pt", "original.pth"):
        found = tiny(weights=str(tmp_path / name))
        assert found.training
        torch.testing.assert_close(found.eval()(image, prompt), wanted(image, prompt))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    state = library().state_dict()
    del state["mask_decoder.iou_token.weight"]
    torch.save(state, tmp_path / "short.pt")
    with pytest.raises(ValueError, match=r"short\.pt: 1 parameters missing .*such as mask_decoder\.iou_token\.weight"):
        tiny(weights=str(tmp_path / "short.pt"))


@pytest.mark.parametrize("where", ["nowhere/at/all", "runs/sam.pth", "/nowhere"])
def test_weights_that_are_not_there(where: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"Found nothing at {where}; wanted a folder, a file with a state dict"):
        tiny(weights=where)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="nobody/nothing"):
        tiny(weights="nobody/nothing")
