"""Parts of the ACA networks: gate, pyramid, decoder."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.blocks_attention import AtrousPyramid, ContextDecoder, ContextGate, ContextUp, conv_pair
from tests.models.laws import check_onnx, examples, parameters

SKIP, GATE = (16, 6, 5), (8, 6, 5)


def gated(pooled: bool) -> tuple[ContextGate, Tensor, Tensor]:
    torch.manual_seed(0)
    return (ContextGate(16, 8, pooled=pooled).eval(), *examples((SKIP, GATE), 2))


@pytest.mark.parametrize("pooled", [False, True])
def test_the_gate_is_its_definition(pooled: bool) -> None:
    gate, skip, deep = gated(pooled)
    both = torch.cat([skip, deep], dim=1)
    narrow, wide = gate.channel[1].weight, gate.channel[3].weight
    context = both.mean(dim=(2, 3), keepdim=True) if pooled else both
    channel = torch.sigmoid(functional.conv2d(functional.conv2d(context, narrow).relu(), wide))
    first, second = gate.place[0].weight, gate.place[2]
    place = torch.sigmoid(
        functional.conv2d(functional.conv2d(both, first, padding=1).relu(), second.weight) + second.bias.item()
    )
    torch.testing.assert_close(gate(skip, deep), gate.fuse(skip * channel * place + skip))


def test_only_the_pooled_gate_has_one_weight_per_channel() -> None:
    for pooled in (False, True):
        gate, *both = gated(pooled)
        channel = gate.channel(torch.cat(both, dim=1))
        assert channel.shape == (2, 16, *((1, 1) if pooled else (6, 5)))


@pytest.mark.parametrize("pooled", [False, True])
def test_what_is_far_away_counts_for_the_pooled_gate_alone(pooled: bool) -> None:
    gate, skip, deep = gated(pooled)
    elsewhere = deep.clone()
    elsewhere[..., 0, 0] += 5
    changed = (gate(skip, elsewhere) - gate(skip, deep))[..., 3:, 3:].abs().amax()
    assert (changed > 1e-3) if pooled else (changed == 0)


def test_the_pooled_gate_exports() -> None:
    torch.manual_seed(0)
    check_onnx(_Alone(), [(24, 6, 5)])


class _Alone(torch.nn.Module):
    """The gate with one input, which holds both."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = ContextGate(16, 8, pooled=True)

    def forward(self, both: Tensor) -> Tensor:
        return self.gate(both[:, :16], both[:, 16:])


def test_the_gate_narrows_to_an_eighth_of_the_skip_and_never_to_nothing() -> None:
    assert ContextGate(64, 8).place[0].out_channels == 8
    assert ContextGate(4, 8).place[0].out_channels == 1


def test_the_pyramid_sees_as_far_as_its_rates() -> None:
    torch.manual_seed(0)
    pyramid, picture = AtrousPyramid(1, 3, rates=(1, 4)).eval(), torch.zeros(1, 1, 15, 15)
    spot = picture.clone()
    spot[..., 7, 7] = 1
    changed = (pyramid(spot) != pyramid(picture)).any(dim=1)[0].nonzero()
    reach = {(dy, dx) for dy in (-4, 0, 4) for dx in (-4, 0, 4)} | {(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    assert {(y - 7, x - 7) for y, x in changed.tolist()} <= reach
    assert changed.min() == 3
    assert changed.max() == 11


def test_published_parts_have_the_published_parameters() -> None:
    assert parameters(lambda: AtrousPyramid(512, 256)) == 4_983_296
    ups = [(256, 256, 128), (128, 128, 64), (64, 64, 64), (64, 64, 64)]
    assert [parameters(lambda one=one: ContextUp(*one)) for one in ups] == [975_905, 244_241, 125_833, 125_833]


def test_the_decoder_ends_at_its_finest_feature() -> None:
    torch.manual_seed(0)
    decoder = ContextDecoder((4, 6, 8), pyramid=AtrousPyramid(8, 5), widths=(7, 3)).eval()
    assert decoder(examples(((4, 21, 16), (6, 10, 8), (8, 5, 4)), 2)).shape == (2, 3, 21, 16)


def test_dropout_comes_last_and_only_where_wanted() -> None:
    assert isinstance(conv_pair(2, 3, dropout=0.1)[-1], torch.nn.Dropout2d)
    assert len(conv_pair(2, 3)) == 2
