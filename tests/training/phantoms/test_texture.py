"""Random fields: unit, as broad as asked for, and the film's curve there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.phantoms.film import Response, Scan, developed
from training.phantoms.texture import check_choice, drawn, fractal, ridges, smooth, smoothstep


def test_smooth_noise_is_unit_and_as_broad_as_asked() -> None:
    """The correlation of Gaussian-blurred noise d pixels apart is exp(-d^2 / 4 sigma^2)."""
    noise = smooth(np.random.default_rng(0), (300, 300), (5, 12))
    assert noise.mean() == pytest.approx(0, abs=1e-4)
    assert noise.std() == pytest.approx(1, abs=1e-4)
    for axis, sigma in ((0, 5), (1, 12)):
        near, far = np.moveaxis(noise, axis, 0)[:-6], np.moveaxis(noise, axis, 0)[6:]
        assert np.corrcoef(near.ravel(), far.ravel())[0, 1] == pytest.approx(np.exp(-9 / sigma**2), abs=0.12)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 12), st.floats(0, 20)), min_size=1, max_size=3), st.integers(0, 99))
def test_smooth_noise_has_any_number_of_axes(axes: list[tuple[int, float]], seed: int) -> None:
    shape, sigma = [side for side, _ in axes], [width for _, width in axes]
    one, two = (smooth(np.random.default_rng(seed), shape, sigma) for _ in range(2))
    assert one.shape == tuple(shape)
    assert one.dtype == np.float32
    assert np.array_equal(one, two)
    assert np.isfinite(one).all()


def test_the_power_of_fractal_noise_falls_with_the_exponent() -> None:
    field = fractal(np.random.default_rng(1), (512, 512), 3.0, 1.0)
    power = np.abs(np.fft.fft2(field)) ** 2
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512)[None, :])
    low, high = (power[(frequency > f) & (frequency < 1.3 * f)].mean() for f in (0.02, 0.16))
    assert np.log(low / high) / np.log(8) == pytest.approx(3, abs=0.4)


def test_ridges_lie_where_the_noise_changes_its_sign() -> None:
    assert ridges(np.array([-1.0, 0.0, 1.0], np.float32), 0.2).round(3).tolist() == [0, 1, 0]
    assert smoothstep(np.array([-1.0, 0.0, 0.5, 1.0, 2.0], np.float32)).tolist() == [0, 0, 0.5, 1, 1]


def test_what_is_drawn_lies_in_its_range() -> None:
    rng = np.random.default_rng(2)
    assert all(2 <= drawn(rng, (2, 3)) <= 3 for _ in range(50))


def test_a_choice_that_is_none_is_refused() -> None:
    check_choice("view", None, ("CC", "MLO"))
    with pytest.raises(ValueError, match="Found view 'LM'; wanted CC, MLO"):
        check_choice("view", "LM", ("CC", "MLO"))


@given(st.floats(0, 255), st.floats(0, 2))
def test_grey_and_attenuation_are_each_others_inverse(grey: float, added: float) -> None:
    response = Response()
    attenuation = response.attenuation(np.array([grey]))
    assert response.grey(attenuation)[0] == pytest.approx(grey, abs=1e-2)
    assert response.grey(attenuation + np.float32(added))[0] >= grey - 1e-2


def test_contrast_fades_towards_black_and_white() -> None:
    response = Response()
    gains = [float(response.grey(response.attenuation(np.array([g])) + np.float32(0.3))[0] - g) for g in (4, 128, 250)]
    assert gains[1] > 15
    assert max(gains[0], gains[2]) < 4


def test_the_grain_of_a_developed_film_is_as_stated() -> None:
    scan = Scan(air=5, grain=0.02, correlation=0.45, blur=0.3, uneven=0)
    grey = developed(np.zeros((200, 200), np.float32), scan, np.random.default_rng(0))
    assert grey.std() == pytest.approx(0.02 * 259 / 4, rel=0.05)
