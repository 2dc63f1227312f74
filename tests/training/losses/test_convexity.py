"""Convexity terms on drawn shapes: published figures, laws, and why one published term is not offered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tests.training.drawn import SIDE, blobs, crescent, disc, ellipse, ring, square
from training.losses.convexity import TERMS, _closed, convexity_loss

CONVEX = {
    "small disc": disc(8),
    "disc": disc(30),
    "ellipse": ellipse(20, 7, 33),
    "large ellipse": ellipse(48, 20),
    "square": square(40),
    "ellipse at the border": ellipse(30, 18, at=(20, 20)),
}


def value(term: str, mask: np.ndarray, **constants: object) -> float:
    torch.manual_seed(0)
    return float(TERMS[term](torch.from_numpy(mask).float()[None], **constants))


def saturated(mask: np.ndarray) -> torch.Tensor:
    return 60 * (2 * torch.from_numpy(mask).float()[None, None] - 1)


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("term", ["midpoint", "closing_gap", "ball"])
def test_convex_shapes_cost_nothing(term: str, name: str) -> None:
    assert value(term, CONVEX[name]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [crescent(), ring()], ids=["crescent", "ring"])
@pytest.mark.parametrize("term", ["midpoint", "closing_gap", "ball"])
def test_concave_shapes_cost_something(term: str, shape: np.ndarray) -> None:
    assert value(term, shape) > 1e-5


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [(disc(20), 3.40), (square(40), 3.49), (ellipse(36, 15), 3.53), (crescent(), 3.81), (ring(25, 9.6), 3.78)],
    ids=["disc", "square", "ellipse", "crescent", "ring"],
)
def test_circularity_of_the_published_shapes(shape: np.ndarray, wanted: float) -> None:
    """To 0.04: the figures do not say how large the shapes were."""
    assert value("circularity", shape) == pytest.approx(wanted, abs=0.04)


def test_circularity_prefers_discs_to_convex_ellipses_and_is_never_0() -> None:
    assert 3.3 < value("circularity", disc(15)) < value("circularity", ellipse(24, 10))


def test_a_narrow_kernel_closes_nothing_wide() -> None:
    """Two blobs 0 % and a crescent 0.65 % of the area at 21, 56 % and 60 % at 71, to a tenth of the area."""
    two, moon = blobs(18, 22), crescent()
    assert value("closing_gap", two, kernels=(21,)) == 0
    assert value("closing_gap", two, kernels=(71,)) == pytest.approx(0.56, abs=0.02)
    assert value("closing_gap", moon, kernels=(21,)) == pytest.approx(0.0065, abs=0.001)
    assert value("closing_gap", moon, kernels=(71,)) == pytest.approx(0.60, abs=0.1)


def test_kernels_are_averaged_and_the_gap_is_a_share_of_the_object() -> None:
    moon = crescent()
    each = [value("closing_gap", moon, kernels=(k,)) for k in (21, 41, 71)]
    assert value("closing_gap", moon, kernels=(21, 41, 71)) == pytest.approx(np.mean(each), abs=1e-6)
    plain = value("closing_gap", moon, kernels=(71,), by_area=False)
    assert plain * SIDE**2 / moon.sum() == pytest.approx(each[2], rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([3, 7, 15]))
def test_a_closing_never_lies_below_its_input(seed: int, k: int) -> None:
    u = torch.rand(2, 24, 20, generator=torch.Generator().manual_seed(seed))
    closed = _closed(u, k)
    assert (closed >= u).all()
    assert torch.equal(_closed(closed, 3), _closed(_closed(closed, 3), 3))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([3, 21]))
def test_the_envelope_term_is_always_0_and_hence_not_offered(seed: int, k: int) -> None:
    u = torch.rand(1, 1, 24, 20, generator=torch.Generator().manual_seed(seed))
    envelope = functional.relu(u - functional.max_pool2d(u, k, stride=1, padding=k // 2)).mean()
    assert envelope == 0
    assert "envelope" not in TERMS


def test_the_gap_between_two_blobs_is_seen_by_offsets_that_reach_over_it() -> None:
    """20 px apart: 4.6e-4 at a reach of 16 and 3.3e-3 at 32, to the draw of 64 offsets and the blobs' size."""
    near, far = (value("midpoint", blobs(14, 20), reach=reach) for reach in (16, 32))
    assert near == pytest.approx(4.6e-4, rel=0.5)
    assert far == pytest.approx(3.3e-3, rel=0.3)


def test_nothing_wraps_round_the_picture() -> None:
    """Shifts that rolled would see two halves of one object here."""
    left = np.zeros((32, 32), bool)
    left[8:24, :4] = True
    assert value("midpoint", left, reach=31) == 0


def test_midpoints_by_area() -> None:
    moon = crescent()
    plain, by_area = (value("midpoint", moon, by_area=one) for one in (False, True))
    assert by_area == pytest.approx(plain * SIDE**2 / moon.sum(), rel=1e-4)


@pytest.mark.parametrize("degrees", [0, 30, 45, 77])
def test_an_ellipse_ends_at_twice_its_standard_deviation(degrees: float) -> None:
    shape = ellipse(36, 15, degrees)
    assert value("ellipse", shape) < 1e-5
    assert value("ellipse", shape, threshold=1.0) == pytest.approx(0.29, abs=0.01)
    assert value("ellipse", square(40)) > 1e-3
    assert value("ellipse", crescent()) > 1e-2


def test_curvature_tells_a_hill_from_a_hollow() -> None:
    """Same slopes, level lines curved the other way."""
    rows, columns = np.mgrid[:32, :32] - 15.5
    hill = np.exp(-(rows**2 + columns**2) / 20)
    up, down = (float(TERMS["quasi_concavity"](torch.from_numpy(one)[None])) for one in (hill, 1 - hill))
    assert 0 < up < 0.97 * down


def test_flat_maps_have_no_curvature() -> None:
    assert TERMS["quasi_concavity"](torch.full((1, 8, 8), 0.3)).item() == 0


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("kind", ["random", "saturated", "nothing", "everything"])
def test_every_term_is_finite_with_a_finite_gradient(term: str, kind: str) -> None:
    torch.manual_seed(0)
    logits = {
        "random": torch.randn(2, 1, 32, 32),
        "saturated": 1e4 * torch.randn(2, 1, 32, 32).sign(),
        "nothing": torch.full((2, 1, 32, 32), -1e4),
        "everything": torch.full((2, 1, 32, 32), 1e4),
    }[kind].requires_grad_()
    loss = convexity_loss(logits, None, term=term)
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert loss >= 0
    assert slope.isfinite().all()


@pytest.mark.parametrize("term", ["midpoint", "closing_gap", "ball"])
def test_descending_makes_a_crescent_more_convex(term: str) -> None:
    small = torch.from_numpy(crescent()[::2, ::2].copy()).float()[None, None]
    torch.manual_seed(0)
    logits = (4 * small - 2 + 0.1 * torch.randn_like(small)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = convexity_loss(logits, None, term=term)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("term", ["midpoint", "closing_gap", "ball"])
def test_growing_is_no_way_to_look_better(term: str) -> None:
    """Dividing by the area scales the gradient and leaves its direction alone."""
    u = functional.avg_pool2d(torch.from_numpy(crescent()).float()[None], 5, stride=1, padding=2).requires_grad_()
    slopes = []
    for by_area in (True, False):
        torch.manual_seed(0)
        slopes += torch.autograd.grad(TERMS[term](u, by_area=by_area).sum(), u)
    torch.testing.assert_close(slopes[0], slopes[1] * SIDE**2 / u.sum(), rtol=1e-4, atol=1e-7)


def test_maps_of_some_classes_only() -> None:
    logits = torch.zeros(1, 4, SIDE, SIDE)
    logits[:, 0], logits[0, 1], logits[0, 2] = 30, saturated(disc(20))[0, 0] + 30, saturated(crescent())[0, 0]
    logits[0, 2, torch.from_numpy(crescent())] = 120
    one, other, both = (convexity_loss(logits, None, term="closing_gap", classes=one) for one in ([1], [2], None))
    assert other > 0.1
    assert both.item() == pytest.approx((one + other).item() / 3, rel=1e-4)


def test_shrinking_keeps_what_is_convex() -> None:
    for shape, low, high in ((disc(40), 0, 1e-3), (crescent(), 0.1, 1)):
        found = convexity_loss(saturated(shape), None, term="closing_gap", shrink=4, kernels=(19,)).item()
        assert low <= found <= high


def test_an_unknown_term() -> None:
    wanted = r"Found convexity term 'envelope'; wanted one of midpoint, closing_gap, .*\. Choose"
    with pytest.raises(ValueError, match=wanted):
        convexity_loss(torch.zeros(1, 1, 4, 4), None, term="envelope")


@pytest.mark.parametrize("classes", [[3], [-1], []])
def test_a_class_that_the_network_does_not_have(classes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"Found classes .*; wanted some of 0 to 2\. Name classes"):
        convexity_loss(torch.zeros(1, 3, 4, 4), None, classes=classes)


def test_an_even_kernel() -> None:
    with pytest.raises(ValueError, match=r"Found kernels \(3, 8\); wanted odd numbers of pixels\. Add 1"):
        convexity_loss(torch.zeros(1, 1, 16, 16), None, term="closing_gap", kernels=(3, 8))
