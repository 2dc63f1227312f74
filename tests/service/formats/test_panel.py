"""The combined picture and its parts: what stands in it for any pipeline, and what jobs and commands write."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from service.engine import Answer, Engine, Request
from service.errors import BadParameter, ManifestError
from service.formats.panel import GAP, STRIP, TILE, encode_panel, panel_parts
from service.image import Image, Mask, Region
from service.settings import Settings
from tests import tiny_mammography as tiny
from tests.fakes import picture, volume
from tests.service.asking import SQUARE, pixels, png, post
from tests.service.commands import call
from tests.service.formats import answers
from tests.service.jobs_over_http import Counter, counter
from tests.service.pipelines import edited

FILM = png(tiny.breast())
PARTS = ("_tissue_seg.png", "_fgt_mask.png", "_cancer_prob.png", "_visualization.png")


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("mammography"))


@pytest.fixture(scope="module")
def engine(pipelines: Path) -> Engine:
    return Engine.open((pipelines,), "cpu")


@pytest.fixture(scope="module")
def service(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter(engine, Settings(data_dir=tmp_path_factory.mktemp("data"))) as running:
        yield running


def answer(engine: Engine, image: Image | None = None, **asked: Any) -> Answer:
    return engine.segment(image or picture(tiny.breast(), modality="MG"), Request(masks=True, **asked))


def rgb(content: bytes) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(content)).convert("RGB"))


def tile(panel: np.ndarray, number: int) -> np.ndarray:
    left = GAP + number * (TILE + GAP)
    return panel[STRIP : STRIP + TILE, left : left + TILE]


def at(part: np.ndarray, x: int, y: int, side: int = 64) -> tuple[int, ...]:
    """The colour in the middle of a pixel of the source."""
    scale = TILE / side
    return tuple(part[int((y + 0.5) * scale), int((x + 0.5) * scale)].tolist())


def test_picture_tissue_probability_and_overlay_stand_side_by_side(engine: Engine) -> None:
    given = answer(engine, roi="fibroglandular")
    panel = rgb(encode_panel(given))
    assert panel.shape == (TILE + 3 * STRIP, 4 * TILE + 5 * GAP, 3)
    colours = {label.name: label.color for label in given.manifest.labels}
    assert at(tile(panel, 0), 30, 50) == (tiny.ADIPOSE,) * 3
    assert at(tile(panel, 1), 30, 50) == colours["adipose"]
    assert at(tile(panel, 1), 20, 36) == colours["fibroglandular"]
    assert at(tile(panel, 1), 4, 4) == colours["pectoral"]
    assert at(tile(panel, 1), 60, 30) == (0, 0, 0)
    assert at(tile(panel, 2), 13, 30) == (255, 255, 255)
    # Not looked at, though as bright.
    assert at(tile(panel, 2), 21, 47) == (0, 0, 0)
    expected = np.rint(np.multiply(250, 0.65) + np.multiply(colours["lesion"], 0.35))
    np.testing.assert_allclose(at(tile(panel, 3), 13, 30), expected, atol=1)
    foot = panel[STRIP + TILE :]
    for color in colours.values():
        assert (foot == color).all(axis=2).sum() >= 100
    # The notice, under the legend.
    assert (foot[STRIP:] > 120).any(axis=2).sum() > 200


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(64, 64), (300, 40), (9, 200)])
def test_any_picture_of_any_pipeline_has_one(shape: tuple[int, int], dtype: Any) -> None:
    labels = np.zeros((1, *shape), np.uint8)
    labels[0, 2:5, 2:5] = 1
    image = Image(np.random.default_rng(0).random((1, *shape, 1)).astype(np.float32).astype(dtype))
    panel = rgb(encode_panel(answers.answer_to(image, labels)))
    assert panel.shape[0] >= TILE * min(1, shape[0] / shape[1]) + 3 * STRIP - 1
    # Three: the picture, the probability, the overlay, which has the label's colour in it.
    assert (panel[..., 0].astype(int) - panel[..., 1] > 30).any()


def test_a_detector_shows_where_it_looked(tiny_engine: Engine) -> None:
    given = tiny_engine.segment(picture(SQUARE, modality="US"), Request(masks=True))
    panel = rgb(encode_panel(given))
    assert (tile(panel, 1) == (143, 184, 232)).all(axis=2).any()
    dark = np.zeros((64, 64), np.uint8)
    dark[0, 0] = 9
    empty = rgb(encode_panel(tiny_engine.segment(picture(dark, modality="US"), Request(masks=True))))
    assert not (tile(empty, 1) == (143, 184, 232)).all(axis=2).any()


def test_a_label_of_one_pixel_is_not_lost_in_a_small_picture() -> None:
    labels = np.zeros((1, 3000, 3000), np.uint8)
    labels[0, 1500, 1500] = 1
    panel = rgb(encode_panel(answers.answer_to(answers.picture(3000, 3000), labels)))
    overlay = tile(panel, 2)
    assert (overlay[310:330, 310:330, 0] > 60).any()


def test_parts_lie_on_the_source_grid(engine: Engine) -> None:
    parts = panel_parts(answer(engine))
    assert list(parts) == ["tissue_seg", "fgt_mask", "cancer_prob"]
    tissue, dense, probability = (pixels(content or b"") for content in parts.values())
    assert tissue.shape == dense.shape == probability.shape == (64, 64)
    assert (tissue[50, 30], tissue[36, 20], tissue[4, 4], tissue[30, 60]) == (1, 2, 3, 0)
    np.testing.assert_array_equal(dense, np.where(tissue == 2, 255, 0))
    assert probability.dtype.itemsize >= 2
    assert probability[30, 13] > 65000
    assert probability[4, 57] == 0


def test_parts_of_a_stage_that_did_not_run_are_missing(engine: Engine) -> None:
    boxed = panel_parts(answer(engine, boxes=(Region(8, 24, 30, 40),)))
    assert {name for name, content in boxed.items() if content is None} == {"tissue_seg", "fgt_mask"}
    tissue = panel_parts(answer(engine, stage="tissue"))
    assert {name for name, content in tissue.items() if content is None} == {"cancer_prob"}
    flat = panel_parts(answer(engine, picture(np.full((64, 64), 9, np.uint8), modality="MG")))
    assert set(flat.values()) == {None}
    encode_panel(answer(engine, picture(np.full((64, 64), 9, np.uint8), modality="MG")))


def test_without_a_choice_each_stage_has_its_mask(tiny_engine: Engine) -> None:
    parts = panel_parts(tiny_engine.segment(picture(SQUARE, modality="US"), Request(masks=True)))
    assert list(parts) == ["lesion_mask", "lesion_prob"]
    np.testing.assert_array_equal(pixels(parts["lesion_mask"] or b""), (SQUARE > 0).astype(np.uint8))


def test_a_slice_of_a_volume_has_one_and_a_volume_none(engine: Engine) -> None:
    slices = np.stack([tiny.breast(), tiny.breast() // 2 + 1])
    focused = volume(slices, modality="MG", focus=Region(0, 0, 64, 64, 0, 1))
    parts = panel_parts(answer(engine, focused))
    assert pixels(parts["tissue_seg"] or b"")[36, 20] == 2
    assert at(tile(rgb(encode_panel(answer(engine, focused))), 0), 30, 50) == (tiny.ADIPOSE,) * 3
    for encode in (encode_panel, panel_parts):
        with pytest.raises(BadParameter, match="Found 2 slices; wanted one slice for this output"):
            encode(answer(engine, volume(slices, modality="MG")))


def test_over_http_it_is_the_combined_picture(service: Counter, engine: Engine) -> None:
    given = post(service.client, FILM, format="panel")
    assert (given.status_code, given.headers["content-type"]) == (200, "image/png")
    assert 'filename="mammography-1.0.0_visualization.png"' in given.headers["content-disposition"]
    np.testing.assert_array_equal(rgb(given.content), rgb(encode_panel(answer(engine))))


def test_jobs_keep_all_of_it_by_name(service: Counter) -> None:
    job = service.done(("films/a film.png", FILM), outputs="panel,json")
    files = service.unzipped(job)
    assert {name for name in files if name.endswith(".png")} == {f"00000_a_film/00000_a_film{one}" for one in PARTS}
    for part in ("tissue_seg", "fgt_mask", "cancer_prob", "panel"):
        got = service.client.get(f"/jobs/{job}/items/0", params={"format": part})
        suffix = "visualization" if part == "panel" else part
        assert got.content == files[f"00000_a_film/00000_a_film_{suffix}.png"]
        assert got.headers["content-disposition"].endswith(f'00000_{suffix}.png"')
    (item,) = json.loads(files["report.json"])["items"]
    assert set(item["files"]) == {"json", "panel", "tissue_seg", "fgt_mask", "cancer_prob"}
    boxed = service.done(("a.png", FILM), outputs="panel", box="8,24,30,40")
    missing = service.client.get(f"/jobs/{boxed}/items/0", params={"format": "tissue_seg"})
    assert (missing.status_code, missing.json()["code"]) == (422, "not_run")


def test_the_command_writes_the_files_of_the_original(
    pipelines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(pipelines))
    films = tmp_path / "films"
    films.mkdir()
    (films / "case.png").write_bytes(FILM)
    named = ("--pipeline", "mammography", "--format", "panel")
    code, _, _ = call("segment", films / "case.png", "-o", tmp_path / "out", *named)
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"case{one}" for one in PARTS)
    assert cv2.imread(str(tmp_path / "out" / "case_tissue_seg.png"), cv2.IMREAD_UNCHANGED).shape[:2] == (64, 64)
    (films / "case_fgt_mask.png").write_bytes(FILM)
    code, _, errors = call("segment", films, "-o", films, *named)
    assert code == 1
    assert "the picture case_fgt_mask.png where an answer goes" in errors
    assert (films / "case_fgt_mask.png").read_bytes() == FILM


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"bad_part": {"stage": "nose"}}, "panel bad_part wants stage nose, which makes no mask"),
        ({"bad_part": {"stage": "tissue", "labels": ["lesion"]}}, "panel bad_part wants labels that stage tissue does"),
        (
            {"bad_part": {"stage": "tissue", "labels": ["adipose"], "probability": True}},
            "panel bad_part wants labels that stage tissue does not give, or of a probability",
        ),
        ({"mask": {"stage": "tissue"}}, "field panel.mask"),
    ],
)
def test_wrong_parts_are_refused(tmp_path: Path, part: dict[str, Any], found: str) -> None:
    root = tiny.write(tmp_path)
    edited(root / tiny.NAME / tiny.VERSION, lambda raw: raw.update(panel=part))
    with pytest.raises(ManifestError, match=found):
        Engine.open((root,), "cpu")


def test_parts_of_a_hand_made_answer() -> None:
    given = answers.answer_to(answers.picture(20, 30), np.zeros((1, 20, 30), np.uint8))
    masks = {"segment_lesion": Mask(np.ones((1, 20, 30), np.uint8), {1: "lesion"})}
    parts = panel_parts(replace(given, result=replace(given.result, masks=masks)))
    assert pixels(parts["segment_lesion_mask"] or b"").all()
    assert pixels(parts["segment_lesion_prob"] or b"").shape == (20, 30)
