"""SAM and MedSAM: sizes, what trains, prompts as transformers has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.sam import Sam, medsam, sam, tiny
from tests.models.laws import check_golden, check_learns, check_reload, examples, parameters
from tests.models.sams import BOXES, EMBEDDING, IMAGE, PLACES, boxes, library, loud

SHAPES = (IMAGE, BOXES)


@pytest.fixture(scope="module")
def network() -> Sam:
    torch.manual_seed(0)
    return loud(tiny())


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
    assert found.std() > 0.05
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
