"""Every format of POST /segment over real HTTP, read back by the readers that users have."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import highdicom as hd
import httpx
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pycocotools import mask as coco_mask

from service.answers.outputs import OFFERED
from tests.service.asking import EXPECTED, SQUARE, png
from tests.service.formats.dicom_sources import PATIENT, ultrasound_file, ultrasound_series
from tests.service.formats.test_annotation_tools import decode_brush, decode_cvat
from tests.service.formats.test_nifti_out import rotation
from tests.tiny_pipeline import square

# pycocotools 2.0.11 answers numpy 2's conversion the old way; that is its matter.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DARK = np.zeros((64, 64), np.uint8)
DARK[0, 0] = 9
SPACING = (2.0, 0.7, 0.5)
TURN = rotation((0.3, 0.2, -2.6))
VOLUME = np.stack([DARK, SQUARE, SQUARE, DARK])
LABELS = (VOLUME == 255).astype(np.uint8)


def post(client: httpx.Client, *files: bytes, accept: str | None = None, **fields: Any) -> httpx.Response:
    headers = {"accept": accept} if accept else {}
    parts = [("file", (f"{PATIENT}.dcm", content)) for content in files]
    return client.post("/segment", files=parts, data=fields, headers=headers)


def series() -> list[bytes]:
    return ultrasound_series(VOLUME, SPACING, TURN)


@pytest.mark.parametrize("name", OFFERED)
def test_every_format_of_a_dicom_picture(tiny_client: httpx.Client, name: str) -> None:
    answer = post(tiny_client, ultrasound_file(SQUARE), format=name)
    assert (answer.status_code, answer.headers["content-type"]) == (200, OFFERED[name].media_type), answer.text
    if name != "json":
        assert f'filename="tiny-1.0.0{OFFERED[name].suffix}"' in answer.headers["content-disposition"]
    assert answer.headers["breast-cascade-status"] == "found"
    assert (PATIENT.encode() in answer.content) == name.startswith("dicom-")


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_segmentation_has_the_mask_and_is_the_same_again(tiny_client: httpx.Client, kind: str) -> None:
    answers = [post(tiny_client, ultrasound_file(SQUARE), format="dicom-seg", seg_type=kind) for _ in range(2)]
    assert answers[0].content == answers[1].content
    seg = hd.seg.segread(io.BytesIO(answers[0].content))
    assert seg.SegmentationType == kind.upper()
    np.testing.assert_array_equal(seg.pixel_array.reshape(64, 64), EXPECTED)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(part) for part in measures.PixelSpacing] == [0.2, 0.1]


def test_report_measures_what_the_json_says_and_names_the_segmentation(tiny_client: httpx.Client) -> None:
    file = ultrasound_file(SQUARE)
    (finding,) = post(tiny_client, file).json()["findings"]
    seg = pydicom.dcmread(io.BytesIO(post(tiny_client, file, format="dicom-seg").content))
    report = hd.sr.srread(io.BytesIO(post(tiny_client, file, format="dicom-sr").content))
    (group,) = report.content.get_planar_roi_measurement_groups()
    said = {one.name.meaning: one.value for one in group.get_measurements()}
    assert said == pytest.approx(
        {
            "Area": finding["area_mm2"],
            "Long axis": finding["long_axis_mm"],
            "Short axis": finding["short_axis_mm"],
        }
    )
    assert finding["area_mm2"] == pytest.approx(256 * 0.02)
    assert seg.SOPInstanceUID in str(report)


def test_capture_is_the_overlay(tiny_client: httpx.Client) -> None:
    shown = pydicom.dcmread(io.BytesIO(post(tiny_client, ultrasound_file(SQUARE), format="dicom-sc").content))
    assert (shown.Rows, shown.Columns, shown.PhotometricInterpretation) == (64, 64, "RGB")
    assert shown.pixel_array[30, 30].tolist() == [255, 194, 194]


def test_nothing_found_is_no_content_and_said_in_report_and_json(tiny_client: httpx.Client) -> None:
    file = ultrasound_file(DARK)
    seg = post(tiny_client, file, format="dicom-seg")
    assert (seg.status_code, seg.content, seg.headers["breast-cascade-status"]) == (204, b"", "none_found")
    assert "content-disposition" not in seg.headers
    report = hd.sr.srread(io.BytesIO(post(tiny_client, file, format="dicom-sr").content))
    (group,) = report.content.get_image_measurement_groups()
    said = {one.name.meaning: one.value.meaning for one in group.get_qualitative_evaluations()}
    assert said["Presence of property"] == "Absent"
    assert post(tiny_client, file).json()["status"] == "none_found"


def test_series_lands_in_the_patient(tiny_client: httpx.Client) -> None:
    seg = hd.seg.segread(io.BytesIO(post(tiny_client, *series(), format="dicom-seg").content))
    volume = seg.get_volume(combine_segments=True)
    out = nib.Nifti1Image.from_bytes(gzip.decompress(post(tiny_client, *series(), format="nifti").content))
    seen = np.asanyarray(out.dataobj)
    assert seen.shape == (64, 64, 4)
    to_nifti = np.linalg.inv(out.affine) @ np.diag([-1, -1, 1, 1]) @ volume.affine
    for at in ((0, 24, 20), (1, 39, 35)):
        voxel = (to_nifti @ (*at, 1))[:3]
        np.testing.assert_allclose(voxel, np.round(voxel), atol=1e-2)
        assert volume.array[at] == seen[tuple(np.round(voxel).astype(int))] == 1
    assert seen.sum() == (volume.array > 0).sum() == LABELS.sum()


def test_json_of_a_series(tiny_client: httpx.Client) -> None:
    answer = post(tiny_client, *series()).json()
    (finding,) = answer["findings"]
    assert answer["image"]["spacing_mm"] == pytest.approx(SPACING)
    assert finding["volume_ml"] == pytest.approx(512 * 0.7 / 1000)
    x, y, z = finding["centroid"]
    place = np.array([12.5, -40.25, 7.0]) + TURN @ np.array([x * 0.5, y * 0.7, z * 2.0])
    assert finding["centroid_mm"] == pytest.approx(place, abs=1e-3)
    assert (finding["quadrant"], finding["clock_face"]) == (None, None)
    assert finding["location_reason"] == "The position of the nipple is not known."
    planes = [{"size": [64, 64], "counts": text.encode()} for text in answer["mask"]["labels"]["lesion"]]
    np.testing.assert_array_equal([coco_mask.decode(plane) for plane in planes], (VOLUME == 255).astype(np.uint8))


@pytest.mark.parametrize("name", ["mask", "probability"])
def test_pictures_of_a_volume_are_nifti(tiny_client: httpx.Client, name: str) -> None:
    answer = post(tiny_client, *series(), format=name)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/gzip")
    assert f"tiny-1.0.0.{name}.nii.gz" in answer.headers["content-disposition"]
    out = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    found = np.asanyarray(out.dataobj).transpose(2, 1, 0)
    np.testing.assert_array_equal(found > 0.5, VOLUME == 255)


def test_overlay_of_a_volume_wants_one_slice(tiny_client: httpx.Client) -> None:
    assert post(tiny_client, *series(), format="overlay").json()["code"] == "needs_one_slice"
    assert post(tiny_client, *series(), format="overlay", slice="1").headers["content-type"] == "image/png"


def test_annotation_tools_get_every_slice(tiny_client: httpx.Client) -> None:
    (document,) = post(tiny_client, *series(), format="cvat").json()
    shapes = {shape["frame"]: decode_cvat(shape["points"], 64, 64) for shape in document["shapes"]}
    tasks = post(tiny_client, *series(), format="label-studio").json()
    brushes = {
        task["data"]["slice"]: decode_brush(result["value"]["rle"], 64, 64) // 255
        for task in tasks
        for result in task["predictions"][0]["result"]
    }
    assert set(shapes) == set(brushes) == {1, 2}
    for z in (1, 2):
        np.testing.assert_array_equal(shapes[z], EXPECTED)
        np.testing.assert_array_equal(brushes[z], EXPECTED)


def test_picture_without_a_size_says_so_in_its_nifti(tiny_client: httpx.Client) -> None:
    out = nib.Nifti1Image.from_bytes(gzip.decompress(post(tiny_client, png(SQUARE), format="nifti").content))
    np.testing.assert_array_equal(np.asanyarray(out.dataobj)[..., 0].T, EXPECTED)
    assert b"unit spacing" in bytes(out.header["descrip"])


@pytest.mark.parametrize(
    ("accept", "name"), [("application/dicom", "dicom-seg"), ("application/gzip", "nifti"), ("*/*", "json")]
)
def test_accept_asks_for_dicom_and_nifti(tiny_client: httpx.Client, accept: str, name: str) -> None:
    file = ultrasound_file(SQUARE)
    asked, named = post(tiny_client, file, accept=accept), post(tiny_client, file, format=name)
    assert asked.headers["content-type"] == named.headers["content-type"]


def test_incomplete_source_is_flagged_and_written_empty(tiny_client: httpx.Client) -> None:
    lacking = pydicom.dcmread(io.BytesIO(ultrasound_file(SQUARE)))
    del lacking.PatientSex, lacking.StudyID
    stream = io.BytesIO()
    lacking.save_as(stream)
    flags = {flag["code"]: flag["text"] for flag in post(tiny_client, stream.getvalue()).json()["flags"]}
    assert "The source lacks PatientSex, StudyID," in flags["source_incomplete"]
    seg = pydicom.dcmread(io.BytesIO(post(tiny_client, stream.getvalue(), format="dicom-seg").content))
    assert (seg.PatientSex, seg.StudyID, seg.PatientName) == ("", "", PATIENT)
    whole = post(tiny_client, ultrasound_file(SQUARE)).json()["flags"]
    assert "source_incomplete" not in json.dumps(whole)


def test_preamble_of_a_polyglot_does_not_come_back(tiny_client: httpx.Client) -> None:
    file = b"MZ" + b"\x90" * 126 + ultrasound_file(SQUARE)[128:]
    for name in ("dicom-seg", "dicom-sr", "dicom-sc"):
        assert post(tiny_client, file, format=name).content[:132] == bytes(128) + b"DICM"


def test_the_finding_of_the_answer_is_where_the_square_is(tiny_client: httpx.Client) -> None:
    (finding,) = post(tiny_client, ultrasound_file(square(10, 20, 16))).json()["findings"]
    assert finding["centroid"] == pytest.approx((17.5, 27.5, 0))
    assert finding["location_reason"] == "The image does not say how it lies in the patient."
