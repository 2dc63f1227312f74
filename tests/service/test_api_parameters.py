"""What a caller may ask for: format, box, threshold, spacing, and what cannot be served."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.asking import EXPECTED, SQUARE, pixels, png, post
from tests.tiny_pipeline import square


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/png", "image/png"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("text/html, image/png;q=0.5, application/json;q=0.9", "application/json"),
        ("application/json;q=0, image/png;q=0.1", "image/png"),
        ("application/json;q=x, image/png;q=0.1", "image/png"),
    ],
)
def test_accept_decides_where_no_format_is_given(tiny_client: httpx.Client, accept: str, kind: str) -> None:
    files = {"file": ("scan.png", png(SQUARE))}
    assert tiny_client.post("/segment", files=files, headers={"accept": accept}).headers["content-type"] == kind


def test_format_goes_before_accept(tiny_client: httpx.Client) -> None:
    files = {"file": ("scan.png", png(SQUARE))}
    answer = tiny_client.post("/segment?format=coco", files=files, headers={"accept": "image/png"})
    assert answer.headers["content-type"] == "application/json"


def test_accept_of_nothing_offered_is_406(tiny_client: httpx.Client) -> None:
    files = {"file": ("scan.png", png(SQUARE))}
    answer = tiny_client.post("/segment", files=files, headers={"accept": "text/html"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


def test_box_takes_the_place_of_the_localiser(tiny_client: httpx.Client) -> None:
    two = np.maximum(square(8, 8, 16), square(40, 40, 16))
    answer = post(tiny_client, png(two), box="8,8,24,24", format="json").json()
    assert answer["stages"][0]["localisation"] == "given"
    assert [finding["box"] for finding in answer["findings"]] == [[8, 8, 24, 24]]


def test_box_over_the_edge_is_flagged(tiny_client: httpx.Client) -> None:
    answer = post(tiny_client, box="-10,-10,60,60").json()
    assert answer["stages"][0]["regions"][0]["box"] == [0, 0, 60, 60]
    assert [flag["code"] for flag in answer["flags"]] == ["box_clipped"]


def test_several_boxes_find_several_lesions(tiny_client: httpx.Client) -> None:
    two = np.maximum(square(8, 8, 16), square(40, 40, 16))
    answer = post(tiny_client, png(two), box=["8,8,24,24", "40,40,56,56"]).json()
    assert sorted(finding["box"] for finding in answer["findings"]) == [[8, 8, 24, 24], [40, 40, 56, 56]]


def test_threshold_moves_the_mask(tiny_client: httpx.Client) -> None:
    grey = np.where(EXPECTED, 140, 0).astype(np.uint8)  # probability 0.72
    low = post(tiny_client, png(grey), box="20,24,36,40", threshold="0.5", format="mask")
    high = post(tiny_client, png(grey), box="20,24,36,40", threshold="0.9", format="mask")
    assert pixels(low.content).sum() == 256
    assert pixels(high.content).sum() == 0


@pytest.mark.parametrize(
    ("text", "spacing", "area"), [("0.5", [None, 0.5, 0.5], 64.0), ("0.5,0.25", [None, 0.5, 0.25], 32.0)]
)
def test_spacing_of_the_caller_gives_millimetres(
    tiny_client: httpx.Client, text: str, spacing: list[float | None], area: float
) -> None:
    answer = post(tiny_client, spacing=text).json()
    assert (answer["image"]["spacing_mm"], answer["image"]["spacing_source"]) == (spacing, "user")
    assert answer["findings"][0]["area_mm2"] == pytest.approx(area)


def test_everything_may_be_named(tiny_client: httpx.Client) -> None:
    named = {"pipeline": "tiny", "version": "1.0.0", "stage": "lesion", "slice": "0", "format": "mask"}
    np.testing.assert_array_equal(pixels(post(tiny_client, **named).content), EXPECTED)


def test_query_and_form_may_be_mixed_and_empty_means_left_out(tiny_client: httpx.Client) -> None:
    answer = post(tiny_client, path="/segment?format=mask", pipeline="tiny", threshold="", box="")
    np.testing.assert_array_equal(pixels(answer.content), EXPECTED)


@pytest.mark.parametrize(
    ("fields", "status", "code", "said"),
    [
        ({"threshold": "2"}, 422, "bad_parameter", "threshold=2"),
        ({"threshold": "-0.1"}, 422, "bad_parameter", "threshold=-0.1"),
        ({"threshold": "nan"}, 422, "bad_parameter", "threshold=nan"),
        ({"threshold": "high"}, 422, "bad_parameter", "threshold=high"),
        ({"threshold": "2"}, 422, "bad_parameter", "wanted a number from 0 to 1"),
        ({"threshold": "nan"}, 422, "bad_parameter", "wanted a number from 0 to 1"),
        ({"threshold": "high"}, 422, "bad_parameter", "wanted a number from 0 to 1"),
        ({"box": "100,100,120,120"}, 422, "bad_parameter", "meets the picture (0, 0, 64, 64). "),
        ({"box": "30,30,10,10"}, 422, "bad_parameter", "left < right"),
        ({"box": "1,2,3"}, 422, "bad_parameter", "box=1,2,3"),
        ({"box": "a,b,c,d"}, 422, "bad_parameter", "left,top,right,bottom"),
        ({"slice": "1"}, 422, "bad_parameter", "slice=1"),
        ({"slice": "-1"}, 422, "bad_parameter", "slice=-1"),
        ({"spacing": "0"}, 422, "bad_parameter", "spacing=0"),
        ({"spacing": "1,1,1,1"}, 422, "bad_parameter", "spacing=1,1,1,1"),
        ({"spacing": "one"}, 422, "bad_parameter", "spacing=one"),
        ({"spacing": "nan"}, 422, "bad_parameter", "spacing=nan"),
        ({"treshold": "0.5"}, 422, "bad_parameter", "Did you mean threshold"),
        ({"zzz": "0.5"}, 422, "bad_parameter", "pipeline, version, threshold"),
        ({"pipeline": ["tiny", "tiny"]}, 422, "bad_parameter", "pipeline given 2 times"),
        ({"points": "1,2,1"}, 422, "bad_parameter", "1 point in parameter points; wanted at most 0 points"),
        ({"points": ["1,2,1", "1,2"]}, 422, "bad_parameter", "Found points=1,2; wanted three whole numbers x,y,label"),
        ({"points": "1,2,2"}, 422, "bad_parameter", "points=1,2,2"),
        ({"points": "a,b,1"}, 422, "bad_parameter", "points=a,b,1"),
        ({"phase": "1"}, 422, "bad_parameter", "phase=1"),
        ({"roi": "full"}, 422, "bad_parameter", "Found roi=full; wanted no roi: it leaves no such choice"),
        ({"roi": "Full!"}, 422, "bad_parameter", "roi=Full!"),
        ({"roi": "full", "box": "1,1,9,9"}, 422, "bad_parameter", "roi=full beside a box or points"),
        ({"enhance": "clahe"}, 422, "bad_parameter", "Found enhance=clahe; wanted no enhance"),
        ({"enhance": "clahe", "pipeline": "tiny"}, 422, "bad_parameter", "for pipeline tiny 1.0.0"),
        ({"seg_type": "binary"}, 422, "bad_parameter", "seg_type=binary for format=json"),
        ({"seg_type": "labelmap", "format": "mask"}, 422, "bad_parameter", "dicom-seg, dicom-sr only"),
        ({"seg_type": "surface", "format": "dicom-seg"}, 422, "bad_parameter", "'binary' or 'labelmap'"),
        ({"format": "panels"}, 422, "unsupported_format", "json, mask, overlay"),
        ({"format": "gif"}, 422, "unsupported_format", "format=gif"),
        ({"format": "dicom-seg"}, 422, "needs_dicom", "DICOM"),
        ({"format": "dicom-sr"}, 422, "needs_dicom", "DICOM"),
        ({"format": "dicom-sc"}, 422, "needs_dicom", "DICOM"),
        ({"pipeline": "mri"}, 404, "unknown_pipeline", "tiny 1.0.0"),
        ({"pipeline": "tiny", "version": "9.9.9"}, 404, "unknown_pipeline", "9.9.9"),
        ({"stage": "nose"}, 422, "bad_parameter", "nose"),
    ],
)
def test_parameter_that_cannot_be_served(
    tiny_client: httpx.Client, fields: dict[str, Any], status: int, code: str, said: str
) -> None:
    answer = post(tiny_client, **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert said in answer.json()["detail"]
    assert answer.json()["remedy"]


def test_bad_query_is_told_before_the_upload_is_read(tiny_client: httpx.Client) -> None:
    answer = tiny_client.post("/segment?nonsense=1", content=b"")
    assert answer.json()["code"] == "bad_parameter"
