"""By-products: what a manifest may name, on which mask it is measured, and what the answer says of it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.density import density
from service.engine import Answer, Engine, Request
from service.errors import ManifestError
from service.image import Image, Mask, Region
from service.jobs.report import findings_csv
from tests import tiny_mammography as tiny
from tests.fakes import picture, volume
from tests.service.jobs.test_results import JOB, row

NAMES = {1: "adipose", 2: "fibroglandular", 3: "pectoral"}
# Of the tiny breast, see `tiny.breast`: lesions are nearest to dense tissue, that in the fat too.
DENSE_PX = 16 * 20 + 4 * 4
BREAST_PX = 48 * 40


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.open((tiny.write(tmp_path_factory.mktemp("mammography")),), "cpu")


def said(answer: Answer) -> dict[str, float | None]:
    return {one.name: one.value for one in answer.measurements}


def clear() -> np.ndarray:
    """The tiny breast without the lesion in the air."""
    plane = tiny.breast()
    plane[2:6, 56:60] = 0
    return plane


def test_density_leaves_pectoral_muscle_and_air_out(engine: Engine) -> None:
    answer = engine.segment(picture(clear(), modality="MG", spacing=(None, 0.5, 0.25)), Request())
    found = said(answer)
    assert found["percent_density"] == pytest.approx(100 * DENSE_PX / BREAST_PX)
    assert (found["dense_area_px"], found["breast_area_px"]) == (DENSE_PX, BREAST_PX)
    assert found["dense_area_mm2"] == pytest.approx(DENSE_PX / 8)
    assert found["breast_area_mm2"] == pytest.approx(BREAST_PX / 8)
    assert "no BI-RADS category" in answer.measurements[0].text
    assert answer.result.mask.names == {4: "lesion"}


def test_without_a_spacing_no_millimetres(engine: Engine) -> None:
    answer = engine.segment(picture(clear(), modality="MG"), Request())
    by_name = {one.name: one for one in answer.measurements}
    assert by_name["dense_area_mm2"].value is None
    assert by_name["dense_area_mm2"].text.startswith("Not known in millimetres")
    assert by_name["percent_density"].value is not None


def test_no_breast_has_no_density(engine: Engine) -> None:
    plane = np.zeros((64, 64), np.uint8)
    plane[0, 0] = 9
    first, *_ = engine.segment(picture(plane, modality="MG"), Request()).measurements
    assert (first.name, first.value) == ("percent_density", None)
    assert first.text.startswith("No breast tissue was outlined")


def test_volumes_are_measured_slice_by_slice_only(engine: Engine) -> None:
    slices = np.stack([clear()] * 2)
    (one,) = engine.segment(volume(slices, modality="MG"), Request()).measurements
    assert one.value is None
    assert "parameter slice" in one.text
    focused = volume(slices, modality="MG", focus=Region(0, 0, 64, 64, 1, 2))
    assert said(engine.segment(focused, Request()))["dense_area_px"] == DENSE_PX


@pytest.mark.parametrize(
    ("plane", "request_"),
    [(clear(), Request(boxes=(Region(0, 0, 32, 32),))), (np.full((64, 64), 7, np.uint8), Request())],
)
def test_where_its_stage_did_not_run_a_flag_says_so(engine: Engine, plane: np.ndarray, request_: Request) -> None:
    answer = engine.segment(picture(plane, modality="MG"), request_)
    assert answer.measurements == ()
    (flag,) = (flag for flag in answer.flags if flag.code == "not_measured")
    assert flag.text == "No density: stage tissue, on whose mask it is measured, did not run."


@given(st.integers(0, 2**32 - 1))
def test_share_is_of_areas_and_between_0_and_100(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (1, 9, 7)).astype(np.uint8)
    image = Image(np.zeros((1, 9, 7, 1), np.uint8), spacing=(None, 0.1, 0.3))
    found = {one.name: one.value for one in density(Mask(labels, NAMES), image)}
    dense, breast = found["dense_area_px"], found["breast_area_px"]
    assert dense is not None
    assert breast is not None
    assert dense == (labels == 2).sum()
    assert dense <= breast == np.isin(labels, (1, 2)).sum()
    assert found["percent_density"] == (100 * dense / breast if breast else None)
    assert found["dense_area_mm2"] == pytest.approx(0.03 * dense)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["weight"], r"field measurements = weight; wanted some of: .*density"),
        (["density"], r"field measurements = density; wanted a stage that outlines all of: adipose, fibroglandular"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_served(
    tmp_path: Path, names: list[str], found: str
) -> None:
    root = tiny.write(tmp_path, measurements=names)
    path = root / tiny.NAME / tiny.VERSION / "manifest.yaml"
    if names == ["density"]:
        path.write_text(path.read_text().replace("adipose", "fat"))
    with pytest.raises(ManifestError, match=found):
        Engine.open((root,), "cpu")


def test_jobs_tell_measurements_in_rows_of_their_own() -> None:
    figures: list[dict[str, Any]] = [
        {"name": "percent_density", "value": 12.5, "unit": "percent", "text": "A share."},
        {"name": "dense_area_mm2", "value": None, "unit": "mm2", "text": "No spacing."},
    ]
    item = row(0, "a.png", summary={"status": "none_found", "measurements": json.loads(json.dumps(figures))})
    content = b"".join(findings_csv(JOB, [item, row(1, "b.png")]))
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    columns = ("item", "status", "finding", "measurement", "measurement_value", "measurement_unit")
    assert [tuple(one[name] for name in columns) for one in rows] == [
        ("0", "none_found", "", "percent_density", "12.5", "percent"),
        ("0", "none_found", "", "dense_area_mm2", "", "mm2"),
        ("1", "", "", "", "", ""),
    ]
