"""SAM and MedSAM: sizes, what trains, prompts as transformers has them, weights of every kind, ONNX files served."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from models.sam import Sam, SamPointDecoder, medsam, renamed, sam, tiny
from service.engine import Engine, Request
from service.image import Image, Point, Region
from service.manifest import InputSpec
from service.preprocess import prepare, restore
from service.stages import network_box, point_prompt
from tests import tiny_pipeline
from tests.models.laws import check_golden, check_learns, check_reload, examples, parameters
from training.awake import awaken
from training.onnx_graph import check_export, traced

PLACES = 6
IMAGE, EMBEDDING, BOXES = (3, 64, 64), (16, 8, 8), (1, 4)
SHAPES = (IMAGE, BOXES)
GRAPHS = {
    "encoder": ((IMAGE,), ("image",), "embedding"),
    "decoder": ((EMBEDDING, BOXES), ("embedding", "boxes"), "logits"),
    "pointer": ((EMBEDDING, (PLACES, 2), (PLACES,)), ("embedding", "points", "labels"), "logits"),
}


def loud(network: Sam) -> Sam:
    """Scaled so that equal outputs mean something."""
    awaken(network.encoder, [IMAGE])
    awaken(network.decoder, [EMBEDDING, BOXES])
    return network.eval()


@pytest.fixture(scope="module")
def network() -> Sam:
    torch.manual_seed(0)
    return loud(tiny())


@pytest.fixture(scope="module")
def graphs(network: Sam) -> dict[str, bytes]:
    """Everything that is ever exported of SAM, once."""
    parts = modules(network)
    return {
        role: traced(parts[role], shapes, inputs, [output]).SerializeToString()
        for role, (shapes, inputs, output) in GRAPHS.items()
    }


def modules(network: Sam) -> dict[str, Any]:
    return {
        "encoder": network.encoder,
        "decoder": network.decoder,
        "pointer": SamPointDecoder(network.decoder).eval(),
    }


def library() -> SamModel:
    """Transformers' own network of tiny sizes."""
    vision = SamVisionConfig(
        hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=2, window_size=3,
        global_attn_indexes=(1,), num_pos_feats=8, image_size=64, patch_size=8, initializer_range=0.3,
    )  # fmt: skip
    vision.scale = 1.0
    mask = SamMaskDecoderConfig(hidden_size=16, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16)
    prompt = SamPromptEncoderConfig(hidden_size=16, image_size=64, patch_size=8)
    return SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask, initializer_range=0.3)
    )


def boxes(*each: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(each)[None]


def test_published_sizes() -> None:
    assert parameters(sam) == parameters(medsam) == 93_735_728
    with torch.device("meta"):
        network = sam()
    parts = {
        "encoder": (network.encoder, 89_670_912),
        "prompt encoder": (network.decoder.prompt_encoder, 6_476),
        "mask decoder": (network.decoder.mask_decoder, 4_058_340),
    }
    for name, (part, wanted) in parts.items():
        assert sum(one.numel() for one in part.parameters()) == wanted, name
    assert network.encoder.size == 1024


def untrained(network: Sam, *, encoder: bool) -> set[str]:
    """Frozen on purpose: the prompt encoder; what one mask per prompt leaves idle; the encoder, where it is cached."""
    idle = ("prompt_encoder.", "iou_prediction_head.", *(f"output_hypernetworks_mlps.{n}." for n in (1, 2, 3)))
    return {
        name
        for name, _ in network.named_parameters()
        if any(part in name for part in idle) or (encoder and name.startswith("encoder."))
    }


def test_the_decoder_alone_learns() -> None:
    network = tiny()
    check_learns(network, SHAPES, untrained(network, encoder=True))
    assert {name for name, one in network.named_parameters() if not one.requires_grad} == untrained(
        network, encoder=True
    )


def test_encoder_and_decoder_learn() -> None:
    network = tiny(trained="encoder_and_decoder")
    check_learns(network, SHAPES, untrained(network, encoder=False))


def test_medsam_trains_more_than_sam() -> None:
    with torch.device("meta"):
        trained = [sum(one.numel() for one in build().parameters() if one.requires_grad) for build in (sam, medsam)]
    assert trained[1] - trained[0] == 89_670_912


def test_what_trains_must_be_known() -> None:
    with pytest.raises(ValueError, match="Found trained='prompt'; wanted decoder or encoder_and_decoder"):
        tiny(trained="prompt")  # type: ignore[arg-type]


def test_reload(tmp_path: Path) -> None:
    check_reload(tiny, SHAPES, tmp_path)


def test_golden() -> None:
    check_golden("sam", tiny, SHAPES)


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Found an image of \(32, 64\) pixels; wanted \(64, 64\)"):
        tiny()(torch.zeros(1, 3, 32, 64), boxes((0, 0, 9, 9)))


@torch.no_grad()
def test_an_embedding_stands_for_its_image(network: Sam) -> None:
    image, prompt = examples((IMAGE,), 2)[0], torch.tensor([[[3.0, 4, 30, 40]], [[9, 9, 50, 60]]])
    torch.testing.assert_close(network(network.encoder(image), prompt), network(image, prompt))


@torch.no_grad()
def test_boxes_and_points_mean_what_they_mean_in_the_library() -> None:
    torch.manual_seed(3)
    model = library()
    network = loud(Sam(model, trained="decoder"))
    model.eval()
    (image,) = examples((IMAGE,), 2)
    two = torch.tensor([[[3.0, 4, 30, 40], [9, 9, 50, 60]]]).repeat(2, 1, 1)

    def wanted(**prompt: Tensor) -> Tensor:
        masks = model(pixel_values=image, multimask_output=False, **prompt).pred_masks
        return functional.interpolate(masks.squeeze(2), (64, 64), mode="bilinear", align_corners=False)

    found = network(image, two)
    assert found.shape == (2, 2, 64, 64)
    assert found.abs().mean() > 0.3
    alike(found, wanted(input_boxes=two))
    points = torch.tensor([[[12.0, 20], [40, 8], [33, 50]]]).repeat(2, 1, 1)
    for count in (1, 2, 3):
        some, labels = points[:, :count], torch.tensor([[1, 0, 1]])[:, :count].repeat(2, 1)
        told = padded(some, labels)
        alike(network(image, *told), wanted(input_points=some[:, None], input_labels=labels[:, None]))
        both = padded(
            torch.cat([two[:, 0].reshape(2, 2, 2), some], 1), torch.cat([torch.tensor([[2, 3]] * 2), labels], 1)
        )
        alike(
            network(image, *both),
            wanted(input_boxes=two[:, :1], input_points=some[:, None], input_labels=labels[:, None]),
        )
    corners = padded(two[:, 0].reshape(2, 2, 2), torch.tensor([[2, 3]] * 2))
    alike(network(image, *corners), network(image, two[:, :1]))


def alike(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def padded(points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Filled up to the places of the exported graph, with what must change nothing."""
    left = PLACES - points.shape[1]
    noise = 64 * torch.rand(points.shape[0], left, 2)
    return torch.cat([points, noise], 1), torch.cat([labels.float(), torch.full((labels.shape[0], left), -1.0)], 1)


@torch.no_grad()
def test_mixed_precision_does_not_move_a_box(network: Sam) -> None:
    embedding = torch.zeros(1, *EMBEDDING)
    told: list[Tensor] = []
    handle = network.decoder.prompt_encoder.register_forward_hook(lambda module, inputs, output: told.append(output[0]))
    network.decoder(embedding, boxes((33.25, 4.5, 61, 62.75)))
    with torch.autocast("cpu", torch.bfloat16):
        assert network.decoder(embedding, boxes((33.25, 4.5, 61, 62.75))).dtype == torch.bfloat16
    handle.remove()
    assert torch.equal(*told)


@pytest.mark.parametrize("role", list(GRAPHS))
def test_onnx_equals_torch(network: Sam, graphs: dict[str, bytes], role: str) -> None:
    shapes, _, _ = GRAPHS[role]
    check_export(modules(network)[role], graphs[role], *shapes)


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
        for library, original in (
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
            name = name.replace(library, original)
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


SPEC = {"size": [64, 64], "channels": 3, "window": {"kind": "range", "low": 0, "high": 255}, "letterbox": True}


def prompting(root: Path, encoder: bytes, decoder: bytes) -> Engine:
    """The tiny pipeline with its segmenter replaced by a prompt stage of two files."""
    folder = tiny_pipeline.write(root) / tiny_pipeline.NAME / tiny_pipeline.VERSION
    weights = {}
    for role, content in (("encoder", encoder), ("decoder", decoder)):
        (folder / f"{role}.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        weights[role] = {"file": f"{role}.onnx", "sha256": digest, "licence": "Apache-2.0"}
    raw = yaml.safe_load((folder / "manifest.yaml").read_text())
    raw["stages"][1].update(kind="prompt", weights=weights, input=SPEC)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(raw))
    return Engine.open((root,), "cpu")


@pytest.fixture(scope="module")
def picture() -> Image:
    rng = np.random.default_rng(0)
    return Image(rng.integers(0, 256, (1, 48, 80, 1), np.uint8))


@torch.no_grad()
def expected(network: Sam, picture: Image, points: list[Point], box: Region | None) -> np.ndarray:
    """Probabilities (height, width) of the torch network for the same picture and prompt."""
    tensor, placement = prepare(picture.slab(0, 1)[0], InputSpec.model_validate(SPEC))
    told = point_prompt(placement, PLACES, points, box)
    given = [told["points"], told["labels"]] if points or box is None else [network_box(box, placement)[None]]
    logits = network(torch.from_numpy(tensor)[None], *(torch.from_numpy(one)[None] for one in given))
    return restore(torch.sigmoid(logits)[0].numpy(), placement)[0]


@pytest.mark.parametrize("role", ["decoder", "pointer"])
def test_two_onnx_files_in_a_manifest_folder_answer_a_box(
    network: Sam, graphs: dict[str, bytes], picture: Image, tmp_path: Path, role: str
) -> None:
    engine = prompting(tmp_path, graphs["encoder"], graphs[role])
    box = Region(20, 10, 60, 40)
    result = engine.segment(picture, Request(boxes=(box,))).result
    (patch,) = result.patches
    wanted = expected(network, picture, [], box)
    assert 0.1 < (wanted > 0.5).mean() < 0.9
    np.testing.assert_allclose(patch.probability[0], wanted, atol=1e-4)
    assert [stage.network_runs for stage in result.stages] == [0, 2, 1]


def test_two_onnx_files_in_a_manifest_folder_answer_points(
    network: Sam, graphs: dict[str, bytes], picture: Image, tmp_path: Path
) -> None:
    engine = prompting(tmp_path, graphs["encoder"], graphs["pointer"])
    points = [Point(30, 20), Point(70, 5, inside=False)]
    for count, box in ((1, None), (2, None), (2, Region(20, 10, 60, 40))):
        asked = Request(points=tuple(points[:count]), boxes=(box,) if box else ())
        (patch,) = engine.segment(picture, asked).result.patches
        np.testing.assert_allclose(patch.probability[0], expected(network, picture, points[:count], box), atol=1e-4)
