"""Which files are one task, and what its answer is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service import batch
from service.answers.outputs import wanted_format
from service.answers.parameters import read_parameters
from service.engine import Engine
from service.formats.limits import DEFAULT_LIMITS
from tests.service.asking import SQUARE, png
from tests.service.formats.dicom_files import instance, mr_slices, saved
from tests.tiny_pipeline import square

SUFFIX = ".x"
VOLUME = np.stack([square(20, 24, 16)] * 3)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two series in folders of their own, and single pictures."""
    for name, uid in (("pre", "1.1"), ("post", "1.2")):
        write(tmp_path / "study" / name, mr_slices(VOLUME, SeriesInstanceUID=uid))
    write(tmp_path / "study" / "mammograms", [saved(instance(SQUARE)), saved(instance(SQUARE))])
    (tmp_path / "study" / "scan.png").write_bytes(png(SQUARE))
    return tmp_path / "study"


def write(folder: Path, files: list[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(files):
        (folder / f"{len([*folder.iterdir()])}-{number}").write_bytes(content)


def planned(paths: list[Path], out: Path) -> dict[str, int]:
    """Names of the answers below ``out`` with the number of files behind each."""
    return {
        str(task.target.relative_to(out)): len(task.files) for task in batch.plan(paths, out, SUFFIX) if task.target
    }


def test_series_are_one_task_each_called_like_their_folder(study: Path, tmp_path: Path) -> None:
    assert planned([study], tmp_path / "out") == {
        "pre.x": 3,
        "post.x": 3,
        "scan.x": 1,
        "mammograms/0-0.x": 1,
        "mammograms/1-1.x": 1,
    }
    assert planned([study / "pre"], tmp_path / "out") == {"pre.x": 3}


def test_slices_named_outright_are_one_task(study: Path, tmp_path: Path) -> None:
    assert planned(sorted((study / "pre").iterdir()), tmp_path / "out") == {"pre.x": 3}
    assert planned([study / "pre" / "0-0"], tmp_path / "out") == {"0-0.x": 1}


def test_two_series_in_one_folder_are_called_by_their_first_files(tmp_path: Path) -> None:
    write(tmp_path / "mixed", mr_slices(VOLUME, SeriesInstanceUID="1.1"))
    write(tmp_path / "mixed", mr_slices(VOLUME, SeriesInstanceUID="1.2"))
    assert planned([tmp_path / "mixed"], tmp_path / "out") == {"0-0.x": 3, "3-0.x": 3}


def test_both_endings_of_a_gzipped_volume_go(tmp_path: Path) -> None:
    (tmp_path / "brain.nii.gz").write_bytes(b"")
    assert planned([tmp_path / "brain.nii.gz"], tmp_path / "out") == {"brain.x": 1}


def test_a_folder_with_dots_keeps_its_name(tmp_path: Path) -> None:
    write(tmp_path / "1.2.840.7", mr_slices(VOLUME))
    assert planned([tmp_path / "1.2.840.7"], tmp_path / "out") == {"1.2.840.7.x": 3}


def test_a_series_goes_through_the_pipeline_as_one_volume(study: Path, tiny_engine: Engine) -> None:
    wish = batch.Wish(read_parameters([]), wanted_format("json", None), DEFAULT_LIMITS)
    (outcome,) = batch.run(tiny_engine, wish, batch.plan([study / "pre"], None, SUFFIX))
    # The tiny pipeline is for ultrasound.
    assert outcome.error is not None
    assert outcome.error.code == "wrong_modality"
    write(study / "us", mr_slices(VOLUME, Modality="US", SeriesInstanceUID="1.7"))
    (outcome,) = batch.run(tiny_engine, wish, batch.plan([study / "us"], None, SUFFIX))
    assert outcome.product is not None
    assert outcome.product.answer.image.depth == 3
