"""Real images through POST /segment to DICOM and NIfTI, opened with two readers that know nothing of each other."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import highdicom as hd
import httpx
import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from service.engine import Engine
from service.formats.read import read_image
from service.settings import Settings
from service.source import LPS_TO_RAS
from tests.service.formats.dicom_sources import file_of as saved
from tests.service.formats.dicom_sources import header
from tests.service.formats.test_dicom_seg import landed
from tests.serving import serving
from tests.tiny_pipeline import write

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PIPELINES = (("tiny_us", "US"), ("tiny_mg", "MG"), ("tiny_mr", "MR"))
# The exam's slices, nine of them: enough to be a volume.
MR = DATA / "mri_exam_duke153" / "post1"

pytestmark = pytest.mark.skipif(not MR.is_dir(), reason="needs ../shared/data/mri_exam_duke153 and its neighbours")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with a pipeline for each modality: what is bright is the lesion."""
    root = tmp_path_factory.mktemp("pipelines")
    for name, modality in PIPELINES:
        write(root, name=name, modality=modality)
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    with serving(settings, Engine.open([root], "cpu", 1)) as running:
        yield running.client


def picture(folder: str) -> NDArray[np.uint8]:
    """The first picture of a data set, grey, of an odd size."""
    path = sorted((DATA / folder / "images").iterdir())[0]
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    return np.asarray(grey[: grey.shape[0] // 2 * 2 - 1, : grey.shape[1] // 2 * 2 - 1], np.uint8)


def ultrasound() -> list[bytes]:
    pixels = picture("ultrasound_busi")
    region = pydicom.Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = pixels.shape[1] - 1, pixels.shape[0] - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.008, 0.01
    made = header(pydicom.uid.UltrasoundImageStorage, 1, *pixels.shape, SequenceOfUltrasoundRegions=[region])
    return [saved(made, pixels)]


def mammogram() -> list[bytes]:
    pixels = picture("mammography_masses_cbis")
    about = {"Modality": "MG", "ImagerPixelSpacing": [0.2, 0.2], "ImageLaterality": "L", "ViewPosition": "CC"}
    storage = pydicom.uid.DigitalMammographyXRayImageStorageForPresentation
    return [saved(header(storage, 1, *pixels.shape, **about), pixels)]


def mr() -> list[bytes]:
    return [path.read_bytes() for path in sorted(MR.glob("*.dcm"))[16:25]]


SOURCES: dict[str, Callable[[], list[bytes]]] = {"ultrasound": ultrasound, "mammogram": mammogram, "mr": mr}


def post(client: httpx.Client, files: list[bytes], **fields: Any) -> bytes:
    answer = client.post("/segment", files=[("file", ("a.dcm", one)) for one in files], data=fields)
    assert answer.status_code == 200, answer.text
    return answer.content


def mask(client: httpx.Client, files: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(depth, height, width) of the answer as NIfTI, and its affine."""
    out = nib.Nifti1Image.from_bytes(gzip.decompress(post(client, files, format="nifti")))
    return np.asanyarray(out.dataobj).transpose(2, 1, 0), out.affine


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_segmentation_holds_the_mask(client: httpx.Client, name: str, kind: str) -> None:
    files = SOURCES[name]()
    expected, affine = mask(client, files)
    content = post(client, files, format="dicom-seg", seg_type=kind)
    seg = hd.seg.segread(io.BytesIO(content))
    assert expected.any()
    if name != "mr":
        shown = pydicom.dcmread(io.BytesIO(content)).pixel_array.reshape(-1, *expected.shape[1:])
        np.testing.assert_array_equal((shown > 0).any(axis=0), expected[0] > 0)
        spacing = [0.1, 0.08] if name == "ultrasound" else [0.2, 0.2]
        measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert [float(part) for part in measures.PixelSpacing] == pytest.approx(spacing)
        return
    image = read_image(files)
    np.testing.assert_array_equal(landed(content, image), expected)
    assert image.source is not None
    assert image.source.affine is not None
    np.testing.assert_allclose(affine, LPS_TO_RAS @ image.source.affine, atol=1e-3)
    volume = seg.get_volume(combine_segments=True)
    to_image = np.linalg.inv(image.source.affine) @ volume.affine
    at = np.argwhere(volume.array)
    seen = np.rint((to_image @ np.c_[at, np.ones(len(at))].T)[:3]).astype(int)
    assert len(at) == np.count_nonzero(expected)
    assert (expected[seen[2], seen[1], seen[0]] == 1).all()


@pytest.mark.parametrize("name", SOURCES)
def test_report_points_to_it(client: httpx.Client, name: str) -> None:
    files = SOURCES[name]()
    seg = pydicom.dcmread(io.BytesIO(post(client, files, format="dicom-seg")))
    content = post(client, files, format="dicom-sr")
    report, plain = hd.sr.srread(io.BytesIO(content)), pydicom.dcmread(io.BytesIO(content))
    groups = report.content.get_planar_roi_measurement_groups()
    groups += report.content.get_volumetric_roi_measurement_groups()
    assert [str(group.tracking_uid) for group in groups] == [str(one.TrackingUID) for one in seg.SegmentSequence]
    assert seg.SOPInstanceUID in str(plain)
    sizes = {one.name.meaning: one.value for one in groups[0].get_measurements()}
    assert all(value > 0 for value in sizes.values())
    assert ("Volume" in sizes) == (name == "mr")


@pytest.mark.parametrize("name", SOURCES)
def test_capture_shows_a_picture_of_the_source_s_size(client: httpx.Client, name: str) -> None:
    files = SOURCES[name]()
    shown = pydicom.dcmread(io.BytesIO(post(client, files, format="dicom-sc")))
    source = pydicom.dcmread(io.BytesIO(files[0]), stop_before_pixels=True)
    assert shown.pixel_array.shape == (source.Rows, source.Columns, 3)
    assert shown.StudyInstanceUID == source.StudyInstanceUID
