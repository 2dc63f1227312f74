"""Our files through SimpleITK, which shares no code with what wrote them: the same place, size and pixels.

Segmentations are left to other readers: its DICOM reader knows no labelmap and unpacks no single bits.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - how everyone knows it
from numpy.typing import NDArray

from service.formats.archive import bundled
from service.formats.dicom_sc import encode_sc
from service.formats.nifti_out import encode_nifti
from service.formats.read import read_image
from service.image import Image
from service.source import LPS_TO_RAS
from tests.service.formats.answers import answer_to
from tests.service.formats.dicom_files import instance, mr_slices, placed, saved
from tests.service.formats.dicom_sources import ultrasound
from tests.service.formats.test_nifti_out import rotation

SHAPE = (5, 13, 9)
TURNS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "negated cosines": (-1, 0, 0, 0, -1, 0),
    "mirrored": (1, 0, 0, 0, -1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": tuple(rotation((0.3, -0.7, 2.1))[:, :2].T.ravel()),
}


def marked() -> NDArray[np.uint16]:
    """A volume in which no place looks like its mirror image, 0 background."""
    volume = np.zeros(SHAPE, np.uint16)
    volume[1:4, 2:6, 1:3] = 1
    volume[1, 2:4, 3] = 1
    volume[4, 0:2, 4:7] = 3
    return volume


def through_simpleitk(files: list[bytes], folder: Path) -> sitk.Image:
    """The series, sorted and placed by SimpleITK."""
    for number, content in enumerate(files):
        (folder / f"{number}.dcm").write_bytes(content)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def labels_of(image: Image) -> NDArray[np.uint8]:
    """The labels that `marked` drew, wherever our reader put them."""
    values = image.slab(0, image.depth)[..., 0]
    _, ranks = np.unique(values, return_inverse=True)
    return np.array([0, 1, 3], np.uint8)[ranks.reshape(values.shape)]


def written(content: bytes, path: Path) -> sitk.Image:
    path.write_bytes(content)
    return sitk.ReadImage(str(path))


@pytest.fixture(params=TURNS)
def series(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[sitk.Image, Image]:
    """One series as SimpleITK and as we read it."""
    (tmp_path / "series").mkdir()
    files = mr_slices(marked(), step=2.2, axes=TURNS[request.param], FrameOfReferenceUID="1.2.9")
    return through_simpleitk(files, tmp_path / "series"), read_image(bundled(files[::-1]))


def test_a_mask_lies_where_the_series_has_the_lesion(series: tuple[sitk.Image, Image], tmp_path: Path) -> None:
    source, image = series
    mask = written(encode_nifti(labels_of(image), image), tmp_path / "mask.nii.gz")
    assert sorted(mask.GetSpacing()) == pytest.approx(sorted(source.GetSpacing()), rel=1e-5)
    # By the place in the patient alone: each voxel of the series meets its own label.
    there = sitk.Resample(mask, source, sitk.Transform(), sitk.sitkNearestNeighbor, 99)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(there), sitk.GetArrayFromImage(source))


@pytest.mark.parametrize(("shear", "read"), [(0.0, True), (0.004, True), (0.02, True), (0.2, False)])
def test_slices_a_little_aside_of_each_other(shear: float, read: bool, tmp_path: Path) -> None:
    """SimpleITK refuses what is not at right angles; a qform half a voxel off at most lets it read."""
    files = [
        saved(instance(plane, Modality="MR", **placed((1, 2 + shear * z, 2 * z), TURNS["axial"])))
        for z, plane in enumerate(np.concatenate([marked()] * 3))
    ]
    image = read_image(bundled(files))
    content = encode_nifti(labels_of(image), image)
    kept = nib.Nifti1Image.from_bytes(gzip.decompress(content))
    # Single precision is the format's.
    np.testing.assert_allclose(kept.affine, LPS_TO_RAS @ image.source.affine, atol=1e-6)
    assert ("oblique_grid" in {flag.code for flag in image.flags}) == (not read)
    assert int(kept.header["qform_code"]) == (1 if read else 0)
    if read:
        there = written(content, tmp_path / "mask.nii.gz").TransformIndexToPhysicalPoint((8, 12, 14))
        off = np.array(there) - (1 + 8 * 0.5, 2 + 12 * 0.7 + shear * 14, 2 * 14)
        assert (np.abs(off) < np.array([0.5, 0.7, 2]) / 2).all()


def test_findings_have_simpleitk_s_millimetres(series: tuple[sitk.Image, Image], tmp_path: Path) -> None:
    source, image = series
    answer = answer_to(image, labels_of(image))
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(sitk.Cast(source, sitk.sitkUInt8))
    by_label = {"lesion": 1, "fibroglandular": 3}
    assert {one.label for one in answer.findings} == set(by_label)
    for one in answer.findings:
        label = by_label[one.label]
        assert one.volume_ml == pytest.approx(shapes.GetPhysicalSize(label) / 1000, rel=1e-5)
        assert one.centroid_mm == pytest.approx(shapes.GetCentroid(label), abs=1e-3)


def test_the_secondary_capture_has_the_same_pixels(tmp_path: Path) -> None:
    image = ultrasound(61, 47)
    labels: Any = np.zeros((1, 61, 47), np.uint8)
    labels[0, 20:30, 10:25] = 1
    content = encode_sc(answer_to(image, labels))
    shown = sitk.GetArrayFromImage(written(content, tmp_path / "shown.dcm"))
    assert shown.shape[-3:] == (61, 47, 3)
    assert (shown.reshape(61, 47, 3)[5, 40] == 90).all()
    assert (shown.reshape(61, 47, 3)[20:30, 10:25] != 90).any()
