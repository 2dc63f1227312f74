"""Every output of every sample file that can be decoded, read back: as large as the picture, and the same mask."""

from __future__ import annotations

import gzip
import io

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from service.answers.clock import Clock
from service.answers.outputs import OFFERED
from service.engine import Answer
from service.errors import UnusableImage
from service.formats.read import read_image
from tests.service.formats.answers import answer_to
from tests.service.formats.test_dicom_samples import DECODED, SAMPLES, needs_samples

pytestmark = needs_samples
JSON = ("json", "coco", "cvat", "label-studio", "polygons")
# Without the UIDs that a DICOM output has to name, or with hexadecimal digits in their place.
HEXADECIMAL = "bad_sequence"
NAMELESS = ("JLSL_08_07_0_1F", "JLSL_16_15_1_1F", "JLSL_RGB_ILV0", "JLSL_RGB_ILV1", "JLSL_RGB_ILV2", HEXADECIMAL)


def found_in(name: str) -> Answer:
    """A sample in which a lesion was found, in the last of its slices."""
    image = read_image((SAMPLES / f"{name}.dcm").read_bytes())
    labels = np.zeros(image.region.shape, np.uint8)
    labels[-1, image.height // 4 : image.height // 2, image.width // 3 : image.width // 2] = 1
    return answer_to(image, labels)


@pytest.fixture(scope="module", params=sorted(DECODED))
def answer(request: pytest.FixtureRequest) -> Answer:
    """Of any sample."""
    return found_in(request.param)


@pytest.fixture(scope="module", params=sorted({*DECODED} - {*NAMELESS}))
def named(request: pytest.FixtureRequest) -> Answer:
    """Of a sample that DICOM outputs can be made for."""
    return found_in(request.param)


def encoded(answer: Answer, name: str) -> bytes:
    return OFFERED[name].of(answer.image).encode(answer, Clock())


def frames_of(content: bytes) -> NDArray[np.uint8]:
    """The frames of a segmentation, (frames, height, width)."""
    pixels = hd.seg.segread(io.BytesIO(content)).pixel_array
    return np.asarray(pixels if pixels.ndim == 3 else pixels[np.newaxis], np.uint8)


def test_the_mask(answer: Answer) -> None:
    content, labels = encoded(answer, "mask"), answer.result.mask.labels
    if answer.image.depth > 1:
        written = nib.Nifti1Image.from_bytes(gzip.decompress(content))
        assert sorted(side for side in written.shape if side > 1) == sorted(side for side in labels.shape if side > 1)
        assert np.count_nonzero(written.dataobj) == np.count_nonzero(labels)
    else:
        np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(content))), labels[0])


def test_the_nifti_has_as_many_millimetres(answer: Answer) -> None:
    written = nib.Nifti1Image.from_bytes(gzip.decompress(encoded(answer, "nifti")))
    known = [side for side in answer.image.spacing[1:] if side is not None]
    assert np.count_nonzero(written.dataobj) == np.count_nonzero(answer.result.mask.labels)
    if known:
        zooms = [float(side) for side in written.header.get_zooms()]
        assert all(any(side == pytest.approx(zoom, rel=1e-4) for zoom in zooms) for side in known)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the samples, which break the standard on purpose
def test_the_segmentation(named: Answer) -> None:
    labels = named.result.mask.labels
    planes = frames_of(encoded(named, "dicom-seg"))
    assert len(planes) == 1
    np.testing.assert_array_equal(planes[0], labels[-1])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_report(named: Answer) -> None:
    report = pydicom.dcmread(io.BytesIO(encoded(named, "dicom-sr")))
    values = [node.ConceptCodeSequence[0].CodeMeaning for node in _nodes(report) if node.ValueType == "CODE"]
    assert report.Modality == "SR"
    assert "Lesion" in values


def _nodes(node: pydicom.Dataset) -> list[pydicom.Dataset]:
    below = [one for child in node.get("ContentSequence", []) for one in _nodes(child)]
    return [*below, *([node] if "ConceptCodeSequence" in node else [])]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_secondary_capture(named: Answer) -> None:
    shown = pydicom.dcmread(io.BytesIO(encoded(named, "dicom-sc")))
    assert shown.pixel_array.shape == (named.image.height, named.image.width, 3)


@pytest.mark.parametrize("name", NAMELESS)
@pytest.mark.parametrize("output", ["dicom-seg", "dicom-sr", "dicom-sc"])
def test_a_source_without_uids(name: str, output: str) -> None:
    with pytest.raises(UnusableImage, match="without the UIDs|InstanceUID is not one UID") as caught:
        encoded(found_in(name), output)
    assert caught.value.code == "source_incomplete"


@pytest.mark.parametrize("name", JSON)
def test_documents(answer: Answer, name: str) -> None:
    assert encoded(answer, name)[:1] in b"{["
