"""Phantoms: seeded, exact, and near enough to the real thing for what they are used for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import service
from training.phantoms.acoustics import cast_behind, speckled
from training.phantoms.lesions import KINDS, placed
from training.phantoms.samples import SAMPLES, write_samples
from training.phantoms.ultrasound import Phantom, ultrasound_phantom

SMALL = (160, 200)
BUNDLED = Path(service.__file__).parent / "samples"


def _ring(mask: np.ndarray, width: int) -> np.ndarray:
    """The band of ``width`` pixels just outside the mask, as booleans."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return (cv2.dilate(mask, kernel) > 0) & (mask == 0)


def test_equal_arguments_give_equal_pixels() -> None:
    one, two = (ultrasound_phantom(seed=5, size=SMALL) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.mask, two.mask)


def test_another_seed_gives_another_picture() -> None:
    assert not np.array_equal(
        ultrasound_phantom(seed=5, size=SMALL).image, ultrasound_phantom(seed=6, size=SMALL).image
    )


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    lesions=st.integers(0, 3),
    size=st.tuples(st.integers(96, 200), st.integers(96, 260)),
    framed=st.booleans(),
)
def test_every_phantom_has_the_promised_grid(seed: int, lesions: int, size: tuple[int, int], framed: bool) -> None:
    phantom = ultrasound_phantom(seed=seed, lesions=lesions, size=size, framed=framed)
    assert phantom.image.shape == phantom.mask.shape == size
    assert phantom.image.dtype == phantom.mask.dtype == np.uint8
    assert set(np.unique(phantom.mask)) <= {0, 1}
    assert cv2.connectedComponents(phantom.mask)[0] - 1 == lesions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_the_mask_marks_a_darker_region(kind: str, seed: int) -> None:
    phantom = ultrasound_phantom(seed=seed, kind=kind)
    inside = phantom.image[phantom.mask == 1].mean()
    assert inside < 0.75 * phantom.image[_ring(phantom.mask, 8)].mean()


def test_the_edge_lies_where_the_mask_says() -> None:
    """Averaged over many speckles, a cyst's grey values cross half-way within two pixels of the mask's edge."""
    phantom = ultrasound_phantom(seed=3, kind="cyst")
    image = phantom.image.astype(float)
    inside = cv2.erode(phantom.mask, np.ones((5, 5), np.uint8)) == 1
    outer = _ring(phantom.mask, 4) & ~_ring(phantom.mask, 2)
    edge = _ring(phantom.mask, 1)
    assert image[inside].mean() < image[edge].mean() < image[outer].mean()


def test_behind_a_cyst_it_is_brighter_and_behind_a_malignant_lesion_darker() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[20:50, 40:60] = 1
    assert cast_behind(mask, 11)[55:80, 45:55].min() > 2
    assert cast_behind(mask, -20)[55:80, 45:55].max() < -4
    assert np.abs(cast_behind(mask, -20)[:15]).max() < 1e-3


def test_speckle_of_even_tissue_keeps_its_level_and_is_finer_at_the_focus() -> None:
    level = np.full((200, 300), -20, np.float32)
    echo = speckled(level, np.random.default_rng(0))
    assert echo.mean() == pytest.approx(-20, abs=1.5)
    assert _correlation(echo[70:85]) < _correlation(echo[-15:])


def _correlation(rows: np.ndarray) -> float:
    """Correlation of neighbours three pixels apart along the rows."""
    return float(np.corrcoef(rows[:, :-3].ravel(), rows[:, 3:].ravel())[0, 1])


def test_kinds_differ_in_outline() -> None:
    """Solidity (area over convex area): smooth lesions are nearly convex, malignant ones are not."""

    def solidity(kind: str, seed: int) -> float:
        mask = placed((420, 560), [kind], np.random.default_rng(seed))[0].mask
        outline = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
        return float(cv2.contourArea(outline) / cv2.contourArea(cv2.convexHull(outline)))

    smooth = np.mean([solidity("benign", seed) for seed in range(6)])
    irregular = np.mean([solidity("malignant", seed) for seed in range(6)])
    assert irregular < 0.93 < smooth


def test_a_screenshot_has_black_bars_and_marks_outside_the_scan() -> None:
    plain, framed = (ultrasound_phantom(seed=1, framed=flag) for flag in (False, True))
    assert framed.image.shape == plain.image.shape
    assert framed.image[:, :4].max() == 0
    assert framed.image[: framed.image.shape[0] // 14].max() > 150


@pytest.mark.parametrize("lesions", [-1, 4])
def test_too_many_lesions_are_refused(lesions: int) -> None:
    with pytest.raises(ValueError, match=f"found {lesions} lesions, wanted 0 to 3"):
        ultrasound_phantom(seed=0, lesions=lesions)


def test_a_picture_too_small_for_its_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted at least 96 pixels"):
        ultrasound_phantom(seed=0, size=(95, 300))


def test_the_command_writes_pictures_and_masks_that_say_what_they_are(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.phantoms.ultrasound", "-o", tmp_path, "--count", "2", "--seed", "7"]
    subprocess.run(command, check=True, timeout=120)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"ultrasound_phantom_{seed}{kind}.png" for seed in (7, 8) for kind in ("", "_mask")]
    with Image.open(tmp_path / "ultrasound_phantom_7.png") as picture:
        assert picture.text["phantom"] == "yes"
        assert np.array_equal(np.asarray(picture), ultrasound_phantom(seed=7).image)


def test_the_bundled_samples_are_what_the_code_draws(tmp_path: Path) -> None:
    """Within two grey levels: other builds of numpy and OpenCV may round differently."""
    write_samples(tmp_path)
    assert (tmp_path / "index.json").read_text() == (BUNDLED / "index.json").read_text()
    for sample in SAMPLES:
        drawn, bundled = (_pixels(folder / f"{sample.stem}.png") for folder in (tmp_path, BUNDLED))
        assert np.abs(drawn - bundled).max() <= 2


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def test_the_bundled_samples_are_small_named_and_marked_as_phantoms() -> None:
    index = json.loads((BUNDLED / "index.json").read_text())
    assert {entry["name"] for entry in index} == {path.name for path in BUNDLED.glob("*.png")}
    for entry in index:
        path = BUNDLED / entry["name"]
        assert "phantom" in path.name
        assert "Phantom" in entry["title"]
        assert path.stat().st_size < 300_000
        with Image.open(path) as picture:
            assert picture.text["phantom"] == "yes"


def test_a_phantom_cannot_be_changed() -> None:
    phantom = ultrasound_phantom(seed=0, size=SMALL)
    assert isinstance(phantom, Phantom)
    with pytest.raises(AttributeError):
        phantom.image = phantom.mask  # type: ignore[misc]
