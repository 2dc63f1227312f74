"""Pictures whose chest wall lies where networks do not know it are mirrored for them, and the answer mirrored back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.cascade import Ask, Cascade
from service.engine import Answer, Engine, Request
from service.errors import BadParameter
from service.image import Image, Mask, Point, Region
from service.manifest import Manifest
from service.measure import findings
from service.mirror import mirrored_ask, mirrored_image, mirrored_region, mirrored_result
from service.result import Part
from service.side import seen_side, side_of
from service.stages import build_stage
from tests import tiny_mammography as tiny
from tests.fakes import FakeNetwork, manifest, picture, spec, volume
from tests.service.checkpointed import told

SIZE = (32, 32)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    root = tiny.write(tmp_path_factory.mktemp("mammography"))
    return Engine.open((root,), "cpu")


def sided(canonical: str | None = "left") -> Cascade:
    """A network to which left and right differ: it marks what is bright and has a darker pixel at its left."""

    def right_edges(x: np.ndarray) -> dict[str, np.ndarray]:
        before = np.pad(x, ((0, 0), (0, 0), (0, 0), (1, 0)))[..., :-1]
        rising = (x > 0.6) & (before < 0.5)
        return {"logits": np.where(rising, 9, -9).astype(np.float32) + x}

    one = manifest([spec("lesion", threshold=0.6)])
    card = Manifest.model_validate({**one.model_dump(by_alias=True), "canonical_side": canonical})
    return Cascade(card, (build_stage(card.stages[0], {"network": FakeNetwork(right_edges, (1, *SIZE))}),))


def film(seed: int) -> np.ndarray:
    """A breast at the left edge, bright things in it."""
    rng = np.random.default_rng(seed)
    plane = np.zeros((64, 48), np.uint8)
    rows, columns = np.mgrid[:64, :48]
    plane[((rows - 32) / 26) ** 2 + (columns / 30) ** 2 < 1] = 90
    for _ in range(4):
        top, left = rng.integers(16, 44), rng.integers(0, 20)
        plane[top : top + rng.integers(2, 7), left : left + rng.integers(2, 7)] = rng.integers(180, 255)
    return plane


def flip(plane: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(plane[:, ::-1])


def codes(flags: Any) -> list[str]:
    return [flag.code for flag in flags]


@given(st.integers(0, 2**32 - 1))
def test_flipping_the_picture_flips_the_mask_and_all_else(seed: int) -> None:
    plane, run = film(seed), sided()
    one, other = run.run(picture(plane)), run.run(picture(flip(plane)))
    assert one.side is not None
    assert other.side is not None
    assert (one.side.mirrored, other.side.mirrored) == (False, True)
    np.testing.assert_array_equal(other.mask.labels, one.mask.labels[:, :, ::-1])
    again = mirrored_result(replace(other, flags=one.flags), plane.shape[1])
    assert told(again) == told(one)
    for image, result in ((plane, one), (flip(plane), other)):
        found = findings(result.mask, picture(image), result.parts)
        assert all(finding.score is not None for finding in found)
    scores = [sorted(round(f.score or 0, 6) for f in findings(r.mask, picture(plane), r.parts)) for r in (one, other)]
    assert scores[0] == scores[1]


def test_without_a_canonical_side_nothing_is_turned() -> None:
    plane, run = film(1), sided(None)
    one, other = run.run(picture(plane)), run.run(picture(flip(plane)))
    assert (one.side, one.flags) == (None, ())
    assert (other.mask.labels != one.mask.labels[:, :, ::-1]).any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_answer_says_which_side_and_how_it_is_known(engine: Engine, mirrored: bool) -> None:
    plane = flip(tiny.breast()) if mirrored else tiny.breast()
    answer = engine.segment(picture(plane, modality="MG"), Request(roi="fibroglandular"))
    (finding,) = answer.findings
    left, _, right, _ = finding.box
    assert (left, right) == ((48, 52) if mirrored else (12, 16))
    edge = "right" if mirrored else "left"
    assert _side(answer) == {"canonical": "left", "chest_wall": edge, "source": "picture", "mirrored": mirrored}
    (flag,) = (flag for flag in answer.flags if flag.code == "side_guessed")
    assert flag.text.endswith(f"its chest wall was taken to lie at the {edge} edge.")
    tissue = engine.segment(picture(plane, modality="MG"), Request(stage="tissue")).result.mask.labels[0]
    assert tissue[30, 50 if mirrored else 13] == 2
    assert tissue[30, 13 if mirrored else 50] == 0
    assert answer.measurements[1].value == 16 * 20 + 16


def _side(answer: Answer) -> Any:
    preprocessing = answer.provenance["preprocessing"]
    assert isinstance(preprocessing, dict)
    return preprocessing["side"]


@pytest.mark.parametrize(
    ("plane", "laterality", "expected", "flagged"),
    [
        (film(1), "L", ("left", "picture"), []),
        (flip(film(1)), "R", ("right", "picture"), []),
        (film(1), None, ("left", "picture"), ["side_guessed"]),
        (film(1), "B", ("left", "picture"), ["side_guessed"]),
        (film(1), "R", ("left", "picture"), ["side_disputed"]),
        (np.tile(np.arange(64, dtype=np.uint8), (64, 1)).T, "R", ("right", "file"), []),
        (np.zeros((40, 40), np.uint8), "L", ("left", "file"), []),
        (np.zeros((40, 40), np.uint8), None, (None, "none"), ["side_unknown"]),
    ],
)
def test_the_picture_goes_before_the_files_word(
    plane: np.ndarray, laterality: str | None, expected: tuple[Any, str], flagged: list[str]
) -> None:
    side = side_of(picture(plane, laterality=laterality), "left")
    assert (side.chest_wall, side.source) == expected
    assert codes(side.flags) == flagged
    assert side.mirrored == (expected[0] == "right")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_the_side_is_seen_at_any_depth_of_bits_and_any_size(dtype: Any) -> None:
    large = np.kron(film(2).astype(np.float32), np.ones((14, 14), np.float32)) * 3
    plane = np.minimum(large, 255).astype(dtype) * dtype(1 if dtype is np.uint8 else 90)
    assert seen_side(picture(plane)) == "left"
    assert seen_side(picture(flip(plane))) == "right"


def test_boxes_and_points_are_of_the_picture_as_it_came() -> None:
    one, two = spec("find", "detect"), spec("lesion", on="find", look={"margin": 0.0})
    card = Manifest.model_validate({**manifest([one, two]).model_dump(by_alias=True), "canonical_side": "left"})
    bright = FakeNetwork(lambda x: {"logits": 20 * (x - 0.6)}, (1, *SIZE))
    run = Cascade(card, tuple(build_stage(stage, {"network": bright}) for stage in card.stages))
    plane = flip(film(0))
    plane[20:24, 40:44] = plane[40:44, 40:44] = 250
    box = Region(36, 16, 47, 28)
    result = run.run(picture(plane), Ask(boxes=(box,)))
    assert result.side is not None
    assert result.side.mirrored
    assert [look.region for look in result.stages[0].regions] == [box]
    where = np.argwhere(result.mask.labels[0])
    assert where[:, 0].min() >= 16
    assert where[:, 0].max() < 28
    with pytest.raises(BadParameter, match=r"Found box \(50, 0, 60, 10\)"):
        run.run(picture(plane), Ask(boxes=(Region(50, 0, 60, 10),)))


def test_a_volume_is_turned_by_its_middle_slice() -> None:
    slices = np.stack([film(n) for n in range(3)])
    one = sided().run(volume(slices))
    other = sided().run(volume(slices[:, :, ::-1]))
    np.testing.assert_array_equal(other.mask.labels, one.mask.labels[:, :, ::-1])


@given(st.integers(0, 2**32 - 1))
@example(0)
def test_mirroring_twice_gives_the_same_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(3, 20, 2))
    box = Region(0, 1, int(rng.integers(1, width + 1)), height)
    image = Image(rng.integers(0, 255, (1, height, width, 1)).astype(np.uint8), focus=box)
    back = mirrored_image(mirrored_image(image))
    np.testing.assert_array_equal(back.voxels, image.voxels)
    assert back.focus == box
    ask = Ask(boxes=(box,), points=(Point(0, 1), Point(width - 1, 0, inside=False)))
    assert mirrored_ask(mirrored_ask(ask, width), width) == ask
    assert mirrored_region(box, width).right == width


def test_a_part_that_its_mask_does_not_hold_is_told() -> None:
    result = sided().run(picture(film(0)))
    odd = Part("lesion", Region(0, 0, 2, 2), (0, 0, 0), 1, 0.5)
    empty = Mask(np.zeros((1, 64, 48), np.uint8), result.mask.names)
    with pytest.raises(ValueError, match=r"Found no pixel of label 1 at \(0, 0, 0\); wanted the part's own mask"):
        mirrored_result(replace(result, mask=empty, parts=(odd,)), 48)


def test_a_manifest_names_an_edge(tmp_path: Path) -> None:
    from service.errors import ManifestError

    with pytest.raises(ManifestError, match="field canonical_side = 'L'; wanted Input should be 'left' or 'right'"):
        Engine.open((tiny.write(tmp_path, canonical_side="L"),), "cpu")
