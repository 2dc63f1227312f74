"""CompactUNet and its classifier: shapes, gradients, golden outputs, shared names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.compact_unet import CompactClassifier, CompactFusion, CompactMap, CompactUNet

SMALL, LARGE = (8, 12, 16), (24, 48, 80, 128, 192)


def seeded(kind: type[nn.Module], **arguments: Any) -> Any:
    torch.manual_seed(0)
    return kind(**arguments).eval()


def picture(batch: int = 1, channels: int = 1, size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    """Random, uniform in -1 to 1, always the same."""
    return 2 * torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(1)) - 1


def parameters(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize(("channels", "classes", "presence"), [(1, 1, 0), (3, 2, 1), (1, 4, 3)])
@pytest.mark.parametrize("size", [(32, 48), (64, 32)])
def test_logits_have_the_inputs_size(channels: int, classes: int, presence: int, size: tuple[int, int]) -> None:
    network = seeded(CompactUNet, in_channels=channels, classes=classes, widths=SMALL, presence=presence)
    output = network(picture(2, channels, size))
    logits = output[0] if presence else output
    assert logits.shape == (2, classes, *size)
    if presence:
        assert output[1].shape == (2, presence)


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_any_number_of_stages_works(depth: int) -> None:
    network = seeded(CompactUNet, widths=[4] * depth)
    assert len(network.encode(picture(size=(64, 64)))) == depth
    assert network(picture(size=(64, 64))).shape == (1, 1, 64, 64)


@pytest.mark.parametrize(
    ("kind", "arguments"), [(CompactUNet, {"presence": 1, "dropout": 0.0}), (CompactClassifier, {"dropout": 0.0})]
)
def test_the_gradient_reaches_every_parameter(kind: type[nn.Module], arguments: dict[str, Any]) -> None:
    network = seeded(kind, widths=SMALL, **arguments).train()
    output = network(picture(4))
    parts = output if isinstance(output, tuple) else (output,)
    sum(part.pow(2).sum() for part in parts).backward()
    without = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.abs().sum() > 0]
    assert without == []


def test_the_number_of_parameters() -> None:
    assert parameters(CompactUNet(widths=LARGE, presence=1)) == UNET_PARAMETERS
    assert parameters(CompactClassifier(widths=LARGE)) == CLASSIFIER_PARAMETERS


def test_the_output_is_golden() -> None:
    """A change here means that weights trained earlier no longer give what they gave."""
    logits, presence = seeded(CompactUNet, widths=SMALL, presence=1)(picture())
    assert logits[0, 0, ::8, ::16].flatten().tolist() == pytest.approx(GOLDEN_LOGITS, abs=1e-4)
    assert presence.flatten().tolist() == pytest.approx(GOLDEN_PRESENCE, abs=1e-4)
    scores = seeded(CompactClassifier, widths=SMALL)(picture())
    assert scores.flatten().tolist() == pytest.approx(GOLDEN_SCORES, abs=1e-4)


def test_neighbours_in_a_batch_change_nothing() -> None:
    network = seeded(CompactUNet, widths=SMALL, presence=1)
    batch = picture(3)
    for index in range(3):
        for together, alone in zip(network(batch), network(batch[index : index + 1]), strict=True):
            assert torch.allclose(together[index], alone[0], atol=1e-5)


def test_dropout_acts_in_training_alone() -> None:
    network = seeded(CompactUNet, widths=SMALL, presence=1, dropout=0.5)
    assert torch.equal(network(picture())[1], network(picture())[1])
    network.presence.train()
    assert not torch.equal(network(picture())[1], network(picture())[1])


def test_the_encoder_of_the_segmenter_loads_into_the_classifier() -> None:
    unet, classifier = seeded(CompactUNet, widths=SMALL), CompactClassifier(widths=SMALL)
    encoder = {name: value for name, value in unet.state_dict().items() if name in classifier.state_dict()}
    missing, unexpected = classifier.load_state_dict(encoder, strict=False)
    assert unexpected == []
    assert sorted(missing) == ["head.linear.bias", "head.linear.weight"]
    seen: list[torch.Tensor] = []
    hook = classifier.context.register_forward_hook(lambda module, inputs, output: seen.append(output))
    classifier.eval()(picture())
    hook.remove()
    assert torch.equal(seen[0], unet.encode(picture())[-1])


UNET_PARAMETERS, CLASSIFIER_PARAMETERS = 2_947_074, 2_162_027
GOLDEN_LOGITS = [
    -0.05182, -0.01198, -0.07547, -0.01084, -0.00039, -0.01274, -0.03048, 0.00355, 0.00646, 0.00523, -0.01982, 0.01024
]  # fmt: skip
GOLDEN_PRESENCE = [0.06379]
GOLDEN_SCORES = [-0.13188, -0.09111, 0.39258]


def test_fusion_gives_depth_while_it_trains_and_logits_alone_when_it_serves() -> None:
    network = seeded(CompactFusion, classes=4, widths=SMALL)
    logits = network(picture(2, 4))
    assert logits.shape == (2, 4, 32, 48)
    assert torch.equal(network(picture(2, 4)[:, :3], picture(2, 4)[:, 3:]), logits)
    both = network.train()(picture(4, 4))
    assert [one.shape for one in both] == [(4, 4, 32, 48), (4, 1, 32, 48)]


def test_fusion_sees_depth_unless_it_is_dropped() -> None:
    network, x = seeded(CompactFusion, widths=SMALL, depth_dropout=1.0), picture(2, 4)
    without = x * torch.tensor([1, 1, 1, 0])[:, None, None]
    assert not torch.allclose(network(x), network(without))
    seen: list[torch.Tensor] = []
    network.unet.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.train()(x)
    assert torch.equal(seen[0], without)


def test_a_map_lies_between_0_and_1() -> None:
    network = seeded(CompactMap, widths=SMALL)
    drawn = network(20 * picture(2, 3))
    assert drawn.shape == (2, 1, 32, 48)
    assert 0 <= drawn.min() < drawn.max() <= 1
