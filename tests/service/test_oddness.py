"""The check for unlike pictures: it flags, refuses nothing, and has no opinion where a manifest has no figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.engine import Engine, Request
from service.image import Image, Region
from service.manifest import read_manifest
from service.oddness import distance, features, oddness_flags
from service.oddness_spec import FEATURES, Oddness
from tests import tiny_pipeline

SQUARE = tiny_pipeline.square(16, 24, 16)


def grey(picture: np.ndarray) -> Image:
    return Image(picture[None, ..., None])


def like(image: Image, threshold: float = 1.0) -> Oddness:
    return Oddness(
        mean=tuple(features(image).tolist()), deviation=(0.1,) * len(FEATURES), threshold=threshold, quantile=0.99
    )


def named(image: Image) -> dict[str, float]:
    return dict(zip(FEATURES, features(image).tolist(), strict=True))


def test_a_picture_like_those_learned_from_is_not_flagged_and_another_is() -> None:
    check = like(grey(SQUARE))
    assert distance(check, features(grey(SQUARE))) == 0
    assert oddness_flags(check, grey(SQUARE), "US") == ()
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    (flag,) = oddness_flags(check, Image(noise[None]), "US")
    assert flag.code == "unlike_training"
    assert "modality US" in flag.text
    assert "evaluated all the same" in flag.text
    assert oddness_flags(None, Image(noise[None]), "US") == ()


def test_the_service_flags_and_answers_all_the_same(tmp_path: Path) -> None:
    folder = tiny_pipeline.write(tmp_path) / tiny_pipeline.NAME / tiny_pipeline.VERSION
    plain = Engine.open([tmp_path], "cpu", 1).segment(grey(SQUARE), Request())
    content = yaml.safe_load((folder / "manifest.yaml").read_text())
    odd = like(grey(255 - SQUARE)).model_dump(mode="json")
    (folder / "manifest.yaml").write_text(yaml.safe_dump(content | {"oddness": odd}))
    answer = Engine.open([tmp_path], "cpu", 1).segment(grey(SQUARE), Request())
    assert [flag.code for flag in plain.flags] == []
    assert [flag.code for flag in answer.flags] == ["unlike_training"]
    assert answer.result.status == "found"
    np.testing.assert_array_equal(answer.result.mask.labels, plain.result.mask.labels)
    assert read_manifest(folder).oddness == Oddness.model_validate(odd)


def test_features_say_what_they_are_called() -> None:
    colour = np.zeros((40, 80, 3), np.uint8)
    colour[..., 0] = 255
    assert named(Image(colour[None]))["colourfulness"] == 1
    found = named(grey(SQUARE))
    assert found["colourfulness"] == found["aspect"] == 0
    assert found["dark_border"] == 1
    assert found["dark_share"] == pytest.approx(1 - 16 * 16 / 64**2, abs=0.02)
    assert found["upright_edges"] == pytest.approx(found["level_edges"], abs=0.01)
    stripes = np.tile(np.array([0, 255] * 4, np.uint8).repeat(8), (64, 1))
    assert named(grey(stripes))["upright_edges"] > 0.9
    assert named(grey(stripes.T))["level_edges"] > 0.9
    assert named(grey(np.zeros((10, 20), np.uint8)))["aspect"] == pytest.approx(np.log(2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_the_type_of_the_voxels_is_no_matter(dtype: type) -> None:
    np.testing.assert_allclose(features(grey(SQUARE.astype(dtype))), features(grey(SQUARE)), atol=0.02)


def test_values_that_are_no_numbers_are_borne() -> None:
    picture = SQUARE.astype(np.float32)
    picture[0, :3] = np.nan, np.inf, -np.inf
    assert np.isfinite(features(grey(picture))).all()


@given(gain=st.floats(0.1, 5), offset=st.floats(-100, 100))
def test_another_unit_changes_nothing(gain: float, offset: float) -> None:
    picture = np.random.default_rng(1).random((48, 48))
    np.testing.assert_allclose(features(grey(picture * gain + offset)), features(grey(picture)), atol=1e-4)


def test_a_mirrored_picture_is_as_odd() -> None:
    picture = np.random.default_rng(2).random((96, 96)).cumsum(axis=1)
    np.testing.assert_allclose(features(grey(picture[:, ::-1])), features(grey(picture)), atol=0.02)


def test_of_a_volume_the_middle_slice_of_the_focus_is_looked_at() -> None:
    voxels = np.zeros((5, 64, 64, 1), np.uint8)
    voxels[3, ..., 0] = SQUARE
    focused = Image(voxels, depth_axis="space", focus=Region(0, 0, 64, 64, 2, 5))
    np.testing.assert_array_equal(features(focused), features(grey(SQUARE)))


def test_a_manifest_with_too_few_figures_is_wrong() -> None:
    with pytest.raises(ValidationError, match="mean and deviation need 16 values each, one for each feature"):
        Oddness(mean=(0.0,), deviation=(1.0,), threshold=1, quantile=0.99)
