"""From uploads to items: zips, series, volumes, and the names they go by."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats.options import Options
from service.formats.read import read_image
from service.jobs.intake import take
from service.jobs.store import Store
from service.jobs.unzip import LONGEST_LABEL, label
from tests.service.formats.dicom_files import enhanced_mr, instance, mr_slices, ramp, saved
from tests.service.formats.pictures import gradient
from tests.service.formats.pictures import saved as picture_saved
from tests.service.formats.test_archive import renamed, zipped
from tests.service.formats.test_nifti import WHOLE as NIFTI
from tests.service.jobs.intake import PICTURE, SLICES, keys, stored, upload


def test_one_picture(store: Store) -> None:
    taken = take([upload(PICTURE)], store, "j1")
    (item,) = taken.items
    assert (item.name, item.kind, item.key, item.problem) == ("a.png", "image", "jobs/j1/0/input", None)
    assert stored(store, item) == PICTURE
    assert keys(store) == ["jobs/j1/0/input"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (NIFTI, "volume"),
        (b"NRRD0004\ntype: uchar\n", "volume"),
        (saved(instance(ramp())), "image"),
        (saved(instance(np.stack([ramp(), ramp()]), Modality="US")), "volume"),
        (saved(enhanced_mr(np.stack([ramp(12, 10)] * 2), [(0, 0, 0), (0, 0, 2)])), "volume"),
        (saved(instance(np.stack([ramp(), ramp()]), Modality="US", EncapsulatedDocument=bytes(100_000))), "volume"),
        (saved(instance(np.stack([ramp(), ramp()]), Modality="US", EncapsulatedDocument=bytes(2_000_000))), "volume"),
        (SLICES[0], "image"),
        (SLICES[0][:200], "image"),
        (picture_saved(gradient(), "TIFF"), "image"),
    ],
)
def test_kinds_by_header(store: Store, content: bytes, kind: str) -> None:
    (item,) = take([upload(content)], store, "j1").items
    assert (item.kind, item.problem) == (kind, None)
    assert stored(store, item) == content


def test_many_files_and_a_zip_keep_their_order(store: Store) -> None:
    archive = zipped(("b/one.png", PICTURE), ("b/two.png", PICTURE), ("b/", b""), ("__MACOSX/._one.png", b"clutter"))
    taken = take([upload(PICTURE, "first.png"), upload(archive, "many.zip"), upload(NIFTI, "v.nii.gz")], store, "j1")
    assert [item.name for item in taken.items] == ["first.png", "b/one.png", "b/two.png", "v.nii.gz"]
    assert keys(store) == [f"jobs/j1/{n}/input" for n in range(4)]


@pytest.mark.parametrize("zip_it", [True, False])
def test_a_series_is_one_volume(store: Store, zip_it: bool) -> None:
    files = [(f"exam/{n}.dcm", content) for n, content in enumerate(SLICES)]
    loose = [("scout.png", PICTURE), *files[:2], ("other.png", PICTURE), *files[2:]]
    sent = [upload(zipped(*loose))] if zip_it else [upload(content, name) for name, content in loose]
    taken = take(sent, store, "j1")
    assert [(item.name, item.kind) for item in taken.items] == [
        ("scout.png", "image"),
        ("exam", "volume"),
        ("other.png", "image"),
    ]
    image = read_image(stored(store, taken.items[1]), Options())
    np.testing.assert_array_equal(np.asarray(image.voxels[0:4]), np.asarray(read_image(SLICES, Options()).voxels[0:4]))
    assert (image.depth, image.depth_axis) == (4, "space")


def test_two_series_are_two_volumes(store: Store) -> None:
    others = mr_slices(np.stack([ramp(12, 10)] * 3), SeriesInstanceUID="1.2.3.5")
    mixed = [part for pair in zip(SLICES, others, strict=False) for part in pair]
    taken = take([upload(content, f"{n}.dcm") for n, content in enumerate(mixed)], store, "j1")
    assert [(item.name, item.kind) for item in taken.items] == [("0.dcm", "volume"), ("1.dcm", "volume")]
    assert [read_image(stored(store, item), Options()).depth for item in taken.items] == [3, 3]


def test_equal_uploads_are_equal_items_whenever_they_come(store: Store) -> None:
    sent = [(f"{n}.dcm", content) for n, content in enumerate(SLICES)]
    first, again = (take([upload(content, name) for name, content in sent], store, job) for job in ("j1", "j2"))
    assert first.items[0].sha256 == again.items[0].sha256
    assert first.fingerprint == again.fingerprint
    changed = [
        [*sent[:3]],
        [*sent, ("x.txt", b"hello")],
        [(f"{name}x", content) for name, content in sent],
        [*sent[:3], ("3.dcm", mr_slices(np.stack([ramp(12, 10) + 1] * 4))[3])],
    ]
    prints = {take([upload(content, name) for name, content in files], store, "j3").fingerprint for files in changed}
    assert len(prints | {first.fingerprint}) == 5


@pytest.mark.parametrize(
    "content",
    [zipped(("../../evil.png", PICTURE)), renamed(b"..\\..\\e.dcm"), renamed(b"/abs.dcm"), renamed(b"C:evil.dcm")],
)
def test_names_that_lead_out_are_labels(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (item,) = take([upload(content)], store, "j1").items
    assert re.fullmatch(r"(evil|e|abs)\.(png|dcm)", item.name)
    assert keys(store) == ["jobs/j1/0/input"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert [*tmp_path.parent.glob("evil*")] == []


@given(st.text(max_size=300))
def test_labels_are_harmless(name: str) -> None:
    text = label(name)
    assert 0 < len(text) <= LONGEST_LABEL
    assert not any(unicodedata.category(one).startswith("C") for one in text)
    assert not text.startswith("/")
    assert not {"..", "."} & set(text.split("/"))
    assert "\\" not in text


def test_a_label_keeps_what_is_plain() -> None:
    assert label("exam 1/Brüste (2).png") == "exam 1/Brüste (2).png"
    assert label("C:\\scans\\a.png") == "scans/a.png"
    assert label("") == label("../..") == "file"
