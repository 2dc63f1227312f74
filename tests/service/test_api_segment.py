"""POST /segment over real HTTP with a real, tiny ONNX pipeline."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from service.formats.rle import decode
from tests.service.asking import EXPECTED, SQUARE, pixels, png, post
from tests.tiny_pipeline import square

SIZE = (64, 64)
FIELDS = {
    "pipeline",
    "version",
    "evidence",
    "research_use_only",
    "status",
    "image",
    "stages",
    "findings",
    "mask",
    "classification",
    "measurements",
    "flags",
    "provenance",
    "timings_ms",
}


@pytest.mark.parametrize("path", ["/segment", "/v1/segment"])
def test_mask_is_the_square(tiny_client: httpx.Client, path: str) -> None:
    answer = post(tiny_client, path=path, format="mask")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(pixels(answer.content), EXPECTED)


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "image/jpeg", None])
def test_raw_body_gives_the_same_whatever_its_type_says(tiny_client: httpx.Client, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = tiny_client.post("/segment", params={"format": "mask"}, content=png(SQUARE), headers=headers)
    np.testing.assert_array_equal(pixels(answer.content), EXPECTED)


def test_json_holds_the_fields_of_the_contract(tiny_client: httpx.Client) -> None:
    answer = post(tiny_client).json()
    assert set(answer) == FIELDS
    assert (answer["pipeline"], answer["version"], answer["evidence"]) == ("tiny", "1.0.0", "demonstration")
    assert answer["research_use_only"] is True
    assert answer["status"] == "found"
    assert answer["image"] == {
        "width": 64,
        "height": 64,
        "depth": 1,
        "depth_axis": "none",
        "spacing_mm": None,
        "spacing_source": "none",
        "modality": None,
        "laterality": None,
        "view": None,
    }
    assert set(answer["provenance"]) == {"weights", "software", "provider", "preprocessing"}
    assert set(answer["timings_ms"]) == {"decode", "stages", "encode", "total"}


def test_json_mask_and_finding_are_the_square(tiny_client: httpx.Client) -> None:
    answer = post(tiny_client).json()
    assert (answer["mask"]["encoding"], answer["mask"]["size"]) == ("coco-rle", [64, 64])
    np.testing.assert_array_equal(decode(answer["mask"]["labels"]["lesion"], SIZE), EXPECTED)
    (finding,) = answer["findings"]
    assert set(finding) == {
        "id",
        "label",
        "score",
        "box",
        "slices",
        "area_px",
        "area_mm2",
        "long_axis_mm",
        "short_axis_mm",
        "longest_mm",
        "volume_ml",
        "centroid",
        "centroid_mm",
        "quadrant",
        "clock_face",
        "location_reason",
        "contour",
        "touches_border",
    }
    assert (finding["box"], finding["area_px"], finding["area_mm2"]) == ([20, 24, 36, 40], 256, None)


def test_json_tells_what_each_stage_did(tiny_client: httpx.Client) -> None:
    stages = post(tiny_client).json()["stages"]
    assert [(one["name"], one["kind"], one["localisation"]) for one in stages] == [
        ("localise", "detect", "found"),
        ("lesion", "segment", "found"),
        ("classify", "classify", "found"),
    ]
    (region,) = stages[0]["regions"]
    assert set(region) == {"box", "slice", "label", "score", "widened", "touches_border"}
    assert (region["box"], region["slice"], region["label"]) == ([20, 24, 36, 40], 0, "lesion")


def test_classification_has_scores_that_sum_to_one(tiny_client: httpx.Client) -> None:
    classification = post(tiny_client).json()["classification"]
    assert set(classification["scores"]) == {"benign", "malignant", "normal"}
    assert sum(classification["scores"].values()) == pytest.approx(1)
    assert classification["reason"] is None


def test_dark_picture_is_none_found_with_a_reason(tiny_client: httpx.Client) -> None:
    response = post(tiny_client, png(square(0, 0, 32) // 4))
    answer = response.json()
    assert (response.status_code, answer["status"], answer["findings"]) == (200, "none_found", [])
    assert response.headers["breast-cascade-status"] == "none_found"
    assert answer["classification"]["scores"] is None
    assert answer["classification"]["reason"]
    assert not decode(answer["mask"]["labels"]["lesion"], SIZE).any()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("json", "application/json"),
        ("coco", "application/json"),
        ("polygons", "application/json"),
        ("mask", "image/png"),
        ("overlay", "image/png"),
        ("probability", "image/png"),
    ],
)
def test_every_format_has_its_type_and_headers(tiny_client: httpx.Client, name: str, kind: str) -> None:
    answer = post(tiny_client, format=name)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["breast-cascade-status"] == "found"
    assert answer.headers["breast-cascade-pipeline"] == "tiny/1.0.0"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert ("content-disposition" in answer.headers) == (name != "json")
    assert "scan" not in answer.headers.get("content-disposition", "")


def test_server_timing_counts_network_runs(tiny_client: httpx.Client) -> None:
    header = post(tiny_client, format="mask").headers["server-timing"]
    parts = {entry.split(";")[0].strip(): entry for entry in header.split(",")}
    assert {"queue", "decode", "stages", "networks", "encode", "total"} <= set(parts)
    assert parts["networks"].endswith('desc="3"')
    assert parts["network-lesion"].endswith('desc="1"')


def test_probability_is_sixteen_bit_and_high_inside(tiny_client: httpx.Client) -> None:
    plane = pixels(post(tiny_client, format="probability").content)
    assert plane.shape == SIZE
    assert plane[EXPECTED == 1].min() > 60_000
    assert plane[0, 0] == 0


def test_coco_document_names_the_lesion(tiny_client: httpx.Client) -> None:
    document = post(tiny_client, format="coco").json()
    assert document["annotations"][0]["bbox"] == [20, 24, 16, 16]
