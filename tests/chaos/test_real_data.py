"""Real volumes through ``POST /jobs``, on the embedded broker and on Redis: the same bytes from both."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid

from tests import tiny_pipeline
from tests.chaos.house import House, house
from tests.chaos.orders import File, Told, ended, told
from tests.service.formats.dicom_files import instance, placed, saved
from tests.service.jobs.brokers import Broker

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SLICES, EXAM = DATA / "mri_volume_ispy1_1001", DATA / "mri_exam_duke153"
OUTPUTS = {"nifti": "json,mask", "series": "json,mask,dicom-seg", "exam": "json,mask,dicom-seg"}
MR = "tiny_mr"
# Of the slices nothing is said; these make them no less a volume.
SPACING = (1.0, 0.7, 0.7)

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(
        not (SLICES.is_dir() and EXAM.is_dir()),
        reason="NOT TESTED: needs ../shared/data/mri_volume_ispy1_1001 and mri_exam_duke153",
    ),
]


@cache
def voxels() -> NDArray[np.uint8]:
    """The sixty slices, (60, 512, 512)."""
    planes = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(SLICES.glob("*.png"))]
    return np.stack([np.asarray(plane, np.uint8) for plane in planes])


def nifti() -> list[File]:
    """The slices as one NIfTI file."""
    z, y, x = SPACING
    made = nibabel.Nifti1Image(voxels().transpose(2, 1, 0), np.diag([-x, -y, z, 1.0]))
    return [("volume.nii", bytes(made.to_bytes()))]


def series() -> list[File]:
    """The slices as a DICOM series, in an order of their own."""
    order = np.random.default_rng(3).permutation(len(voxels()))
    return [(f"{number}.dcm", _slice(int(z))) for number, z in enumerate(order)]


def exam() -> list[File]:
    """Two series of one exam, before the contrast agent and after it."""
    return [
        (f"{phase}/{path.name}", path.read_bytes())
        for phase in ("pre", "post1")
        for path in sorted((EXAM / phase).glob("*.dcm"))
    ]


def _slice(z: int) -> bytes:
    depth, height, width = SPACING
    where = placed((0.0, 0.0, depth * z), (1, 0, 0, 0, 1, 0), (height, width))
    about = {"SOPClassUID": uid.MRImageStorage, "Modality": "MR", "SOPInstanceUID": f"1.2.3.4.{z + 1}"}
    dated = {"StudyDate": "20240102", "StudyTime": "101112", "ContentDate": "20240102", "ContentTime": "101213"}
    return saved(instance(voxels()[z], **where, **about, **dated))


JOBS = {"nifti": nifti, "series": series, "exam": exam}


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Sequence[House]]:
    """One with the embedded worker, one with Redis and a worker beside it."""
    root = tiny_pipeline.write(tmp_path_factory.mktemp("pipelines"), name=MR, modality="MR")
    folder = tmp_path_factory.mktemp("real")
    with (
        house(folder / "embedded", root) as embedded,
        house(folder / "redis", root, 1, broker_url=broker.url) as on_redis,
    ):
        yield embedded, on_redis


@pytest.mark.parametrize("kind", JOBS)
def test_both_brokers_give_the_same_bytes(houses: Sequence[House], kind: str) -> None:
    files = JOBS[kind]()
    embedded, on_redis = (_results(one, files, OUTPUTS[kind]) for one in houses)
    assert embedded == on_redis
    volumes = 2 if kind == "exam" else 1
    seen = [name for name, _, _ in embedded]
    assert len({name.split("/")[0] for name in seen if "/" in name}) == volumes
    assert sum(name.endswith(".nii.gz") for name in seen) == volumes


def test_nifti_and_series_have_the_same_mask(houses: Sequence[House]) -> None:
    masks = [_mask(_results(houses[0], JOBS[kind](), "mask")) for kind in ("nifti", "series")]
    assert masks[0].shape == (60, 512, 512)
    assert masks[0].any()
    np.testing.assert_array_equal(*masks)


def _results(one: House, files: Sequence[File], outputs: str) -> Told:
    fields = {"pipeline": MR, "outputs": outputs}
    answer = one.client.post("/jobs", files=[("files", file) for file in files], data=fields)
    assert answer.status_code == 202, answer.text
    job_id = str(answer.json()["id"])
    ended(one, job_id)
    assert one.rows.job(job_id, "").state == "succeeded", one.client.get(f"/jobs/{job_id}").text
    return told(one, job_id)


def _mask(results: Told) -> NDArray[np.uint8]:
    (content,) = (content for name, _, content in results if name.endswith(".nii.gz"))
    read = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
    return np.asarray(read.dataobj, np.uint8).transpose(2, 1, 0)
