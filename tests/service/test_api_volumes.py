"""DICOM, NIfTI, NRRD and series over real HTTP: the image block, what is looked at, and what is refused."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import nibabel
import numpy as np
import pytest
from pydicom import uid as uids

from service.engine import Engine
from service.formats.rle import decode
from service.settings import Settings
from tests.service.asking import SQUARE
from tests.service.formats.dicom_files import CANARY, encapsulated, instance, mr_slices, placed, region, saved
from tests.serving import serving
from tests.tiny_pipeline import square
from tests.tiny_pipeline import write as write_pipeline

DUKE = Path(__file__).parents[2].parent / "shared" / "data" / "mri_exam_duke153" / "pre"
VOLUME = np.stack([square(20, 24, 16), square(0, 0, 16), square(8, 30, 20)])
ULTRASOUND = saved(
    instance(SQUARE, Modality="US", BurnedInAnnotation="NO", SequenceOfUltrasoundRegions=[region((4, 4, 59, 59))])
)


@pytest.fixture(scope="module")
def mr_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with the tiny pipeline for ultrasound and one for MR, of small limits."""
    root = write_pipeline(tmp_path_factory.mktemp("pipelines"))
    copy = root / "tiny_mr" / "1.0.0"
    copy.parent.mkdir()
    (root / "tiny" / "1.0.0").rename(root / "original")
    for target, name, modality in ((root / "tiny" / "1.0.0", "tiny", "US"), (copy, "tiny_mr", "MR")):
        target.mkdir(parents=True)
        for file in (root / "original").iterdir():
            target.joinpath(file.name).write_bytes(file.read_bytes())
        text = (target / "manifest.yaml").read_text().replace("modality: US", f"modality: {modality}")
        (target / "manifest.yaml").write_text(text.replace("name: tiny\n", f"name: {name}\n"))
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), max_volume_bytes=20_000_000, max_slices=50)
    with serving(settings, Engine.open([root], "cpu", 1)) as running:
        yield running.client


def post(client: httpx.Client, *contents: bytes, **fields: Any) -> httpx.Response:
    return client.post("/segment", files=[("file", (f"{CANARY}.dcm", one)) for one in contents], data=fields)


def image(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["image"])


def zipped(*contents: bytes) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{CANARY}/{number}.dcm", content)
    return stream.getvalue()


def test_an_ultrasound_picture_has_spacing_modality_and_region(mr_client: httpx.Client) -> None:
    answer = post(mr_client, ULTRASOUND)
    assert image(answer) == {
        "width": 64, "height": 64, "depth": 1, "depth_axis": "none", "spacing_mm": [None, 0.3, 0.2],
        "spacing_source": "us_region", "modality": "US", "laterality": None, "view": None,
    }  # fmt: skip
    body = answer.json()
    assert body["pipeline"] == "tiny"
    np.testing.assert_array_equal(decode(body["mask"]["labels"]["lesion"], (64, 64)), SQUARE > 0)
    assert body["findings"][0]["area_mm2"] == pytest.approx(256 * 0.06)
    assert "ultrasound region 4,4,60,60" in body["provenance"]["preprocessing"]["decoding"]


@pytest.mark.parametrize("kind", ["application/dicom", "application/octet-stream", None])
def test_a_raw_body_is_read_alike(mr_client: httpx.Client, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    assert image(mr_client.post("/segment", content=ULTRASOUND, headers=headers))["modality"] == "US"


def test_nothing_outside_of_the_region_is_found(mr_client: httpx.Client) -> None:
    outside = np.maximum(SQUARE, square(0, 0, 3))
    made = {"Modality": "US", "SequenceOfUltrasoundRegions": [region((4, 4, 59, 59))]}
    answer = post(mr_client, saved(instance(outside, **made))).json()
    np.testing.assert_array_equal(decode(answer["mask"]["labels"]["lesion"], (64, 64)), SQUARE > 0)
    whole = post(mr_client, saved(instance(outside, Modality="US")), pipeline="tiny").json()
    assert len(whole["stages"][0]["regions"]) == 2


@pytest.mark.parametrize("send", ["files", "zip"])
def test_a_series_is_one_volume(mr_client: httpx.Client, send: str) -> None:
    files = mr_slices(VOLUME, ImageLaterality="L")[::-1]
    answer = post(mr_client, *files) if send == "files" else post(mr_client, zipped(*files))
    assert image(answer) == {
        "width": 64, "height": 64, "depth": 3, "depth_axis": "space", "spacing_mm": [2.0, 0.7, 0.5],
        "spacing_source": "pixel_spacing", "modality": "MR", "laterality": "L", "view": None,
    }  # fmt: skip
    body = answer.json()
    assert body["pipeline"] == "tiny_mr"
    for z, counts in enumerate(body["mask"]["labels"]["lesion"]):
        np.testing.assert_array_equal(decode(counts, (64, 64)), VOLUME[z] > 0)
    assert body["findings"][0]["volume_ml"] is not None


def test_one_slice_of_a_volume(mr_client: httpx.Client) -> None:
    files = mr_slices(VOLUME)
    body = post(mr_client, *files, slice="2").json()
    masks = [decode(counts, (64, 64)) for counts in body["mask"]["labels"]["lesion"]]
    assert [bool(mask.any()) for mask in masks] == [False, False, True]
    assert {one["slice"] for stage in body["stages"] for one in stage["regions"]} == {2}


def test_a_box_in_a_volume_needs_its_slice(mr_client: httpx.Client) -> None:
    files = mr_slices(VOLUME)
    refused = post(mr_client, *files, box="16,20,40,44")
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_parameter")
    assert "volume of 3 slices" in refused.json()["found"]
    body = post(mr_client, *files, box="16,20,40,44", slice="0").json()
    assert body["stages"][0]["localisation"] == "given"
    masks = [decode(counts, (64, 64)) for counts in body["mask"]["labels"]["lesion"]]
    assert 245 < int((masks[0] & (VOLUME[0] > 0)).sum()) == int(sum(mask.sum() for mask in masks))


def nifti(volume: np.ndarray[Any, Any]) -> bytes:
    made = nibabel.Nifti1Image(volume, np.diag([0.5, 0.5, 2.0, 1.0]))
    made.header.set_xyzt_units("mm")
    return bytes(made.to_bytes())


def test_nifti_with_a_phase(mr_client: httpx.Client) -> None:
    phases = np.stack([np.zeros_like(VOLUME), VOLUME], axis=-1).transpose(2, 1, 0, 3)
    refused = post(mr_client, nifti(phases), pipeline="tiny_mr")
    assert (refused.status_code, refused.json()["code"]) == (422, "needs_phase")
    answer = post(mr_client, nifti(phases), pipeline="tiny_mr", phase="1")
    assert (image(answer)["spacing_mm"], image(answer)["spacing_source"]) == ([2.0, 0.5, 0.5], "nifti")
    turned = VOLUME[:, ::-1, ::-1]
    for z, counts in enumerate(answer.json()["mask"]["labels"]["lesion"]):
        np.testing.assert_array_equal(decode(counts, (64, 64)), turned[z] > 0)


def test_the_modality_decides_or_refuses(mr_client: httpx.Client) -> None:
    mammogram = saved(instance(SQUARE, Modality="MG"))
    for fields in ({}, {"pipeline": "tiny"}):
        answer = post(mr_client, mammogram, **fields)
        assert (answer.status_code, answer.json()["code"]) == (422, "wrong_modality")
    unnamed = post(mr_client, saved(instance(SQUARE, Modality="OT")))
    assert (unnamed.status_code, unnamed.json()["code"]) == (422, "bad_parameter")


def test_volumes_over_the_limits_are_413(mr_client: httpx.Client) -> None:
    long = [saved(instance(SQUARE, Modality="MR", **placed((0, 0, z), (1, 0, 0, 0, 1, 0)))) for z in range(51)]
    answer = post(mr_client, *long)
    assert (answer.status_code, answer.json()["code"]) == (413, "volume_too_large")
    assert "/jobs" in answer.json()["remedy"]
    assert post(mr_client, *long, slice="50").status_code == 200
    huge = post(mr_client, saved(instance(SQUARE, NumberOfFrames=9000)))
    assert (huge.status_code, huge.json()["code"]) == (413, "too_large")


BAD = {
    "transfer syntax": (lambda: _mpeg(), 415, "transfer_syntax"),
    "no pixels": (lambda: saved(instance(SQUARE, PixelData=None)), 422, "no_pixels"),
    "segmentation": (lambda: saved(instance(SQUARE, SOPClassUID=uids.SegmentationStorage)), 422, "not_an_image"),
    "truncated": (lambda: saved(instance(SQUARE))[:-600], 422, "truncated"),
    "two series": (
        lambda: zipped(*mr_slices(VOLUME), *mr_slices(VOLUME, SeriesInstanceUID="1.9")),
        422,
        "mixed_series",
    ),
    "zip of text": (lambda: zipped(b"Patient: Jane Doe"), 415, "unknown_format"),
    "nothing to hide": (lambda: saved(instance(SQUARE)), 422, "no_region"),
}


def _mpeg() -> bytes:
    return encapsulated(instance(SQUARE), uids.MPEG2MPML, [bytes(64)])


@pytest.mark.parametrize("name", BAD)
def test_bad_input(mr_client: httpx.Client, name: str, caplog: pytest.LogCaptureFixture) -> None:
    make, status, code = BAD[name]
    with caplog.at_level(logging.DEBUG):
        answer = post(mr_client, make(), **({"mask_outside_region": "true"} if code == "no_region" else {}))
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    for text in (answer.text, caplog.text):
        assert CANARY not in text
        assert "Jane" not in text
    assert post(mr_client, ULTRASOUND).status_code == 200


def test_no_name_of_the_file_is_in_an_answer(mr_client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [post(mr_client, ULTRASOUND), post(mr_client, zipped(*mr_slices(VOLUME)))]
    assert all(CANARY[:5] not in answer.text for answer in answers)
    assert CANARY[:5] not in caplog.text


@pytest.mark.skipif(not DUKE.is_dir(), reason="the real MR series is not beside this checkout")
def test_a_real_mr_series(mr_client: httpx.Client) -> None:
    files = [path.read_bytes() for path in sorted(DUKE.glob("*.dcm"))]
    answer = post(mr_client, *files)
    assert image(answer) == {
        "width": 448, "height": 448, "depth": 41, "depth_axis": "space", "modality": "MR", "laterality": None,
        "view": None, "spacing_source": "pixel_spacing",
        "spacing_mm": pytest.approx([1.1, 0.75892859697342, 0.75892859697342]),
    }  # fmt: skip
    assert len(answer.json()["mask"]["labels"]["lesion"]) == 41
