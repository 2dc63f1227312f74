"""From uploads to items: zips, series, volumes, and everything that is none of them."""

from __future__ import annotations

import hashlib
import io
import re
import tracemalloc
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import BadParameter, DiskFull, TooLarge
from service.formats.options import Options
from service.formats.read import read_image
from service.jobs.intake import IntakeLimits, Taken, Upload, take
from service.jobs.model import NewItem
from service.jobs.store import Store, open_store
from service.jobs.unzip import LONGEST_LABEL, label
from tests.service.formats.dicom_files import enhanced_mr, instance, mr_slices, ramp, saved
from tests.service.formats.pictures import gradient
from tests.service.formats.pictures import saved as picture_saved
from tests.service.formats.test_archive import encrypted, entry, lying, overlapping, renamed, zipped
from tests.service.formats.test_nifti import WHOLE as NIFTI
from tests.service.jobs.limits import files_limited_to

PICTURE = picture_saved(gradient(), "PNG")
SLICES = mr_slices(np.stack([ramp(12, 10) + 100 * z for z in range(4)]))
MEGABYTE = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def upload(content: bytes, name: str = "a.png") -> Upload:
    return Upload(name, io.BytesIO(content))


def stored(store: Store, item: NewItem) -> bytes:
    with store.open(item.key) as file:
        content = file.read()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (item.sha256, item.bytes)
    return content


def keys(store: Store) -> list[str]:
    return [one.key for one in store.keys("")]


def problems(taken: Taken) -> list[str | None]:
    return [item.problem.code if item.problem else None for item in taken.items]


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


def test_one_broken_file_among_fifty(store: Store) -> None:
    files = [(f"{n}.png", b"not a picture" if n == 20 else PICTURE) for n in range(51)]
    taken = take([upload(zipped(*files))], store, "j1")
    assert problems(taken) == [None] * 20 + ["unknown_format"] + [None] * 30
    broken = taken.items[20]
    assert (broken.key, broken.bytes, broken.sha256) == ("", 13, hashlib.sha256(b"not a picture").hexdigest())
    assert len(keys(store)) == 50


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_body"),
        (b"hello", "unknown_format"),
        (b"GIF89a....", "unknown_format"),
        (zipped(("inner.zip", zipped(("a.png", PICTURE)))), "zip_nested"),
        (zipped(("a.png", PICTURE))[:-30], "malformed"),
        (b"PK\3\4" + b"x" * 100, "malformed"),
        (encrypted(), "zip_encrypted"),
        (lying(300), "malformed"),
        (lying(len(SLICES[0]) + 10_000), "malformed"),
        (zipped((entry("link.png", 0o120777), b"/etc/passwd")), "zip_unsafe"),
        (zipped(("a.png", PICTURE), compression=zipfile.ZIP_LZMA), "malformed"),
        (zipped(("zeros.png", bytes(1 << 28))), "too_large"),
    ],
)
def test_what_cannot_be_read_fails_its_item_alone(store: Store, content: bytes, code: str) -> None:
    taken = take([upload(PICTURE), upload(content, "bad"), upload(PICTURE)], store, "j1")
    assert problems(taken) == [None, code, None]
    assert taken.items[1].key == ""
    assert keys(store) == ["jobs/j1/0/input", "jobs/j1/2/input"]
    problem = taken.items[1].problem
    assert problem is not None
    assert all((problem.found, problem.wanted, problem.remedy))
    assert "passwd" not in repr(problem)


def test_a_broken_small_slice_fails_alone(store: Store) -> None:
    archive = zipped(*((f"{n}.dcm", one) for n, one in enumerate(SLICES)), ("a.png", PICTURE), compression=0)
    broken = archive.replace(SLICES[2][-20:], bytes(20))
    assert broken != archive
    taken = take([upload(broken)], store, "j1")
    # Its neighbours make a volume with a gap, which its answer flags.
    assert problems(taken) == [None, "malformed", None]
    image = read_image(stored(store, taken.items[0]), Options())
    assert (image.depth, [flag.code for flag in image.flags]) == (3, ["uneven_slices", "no_window"])


def test_a_broken_end_of_a_slice_fails_its_volume(store: Store) -> None:
    files = [one + bytes(MEGABYTE // 8) + bytes([n]) for n, one in enumerate(SLICES)]
    archive = bytearray(zipped(*((f"{n}.dcm", one) for n, one in enumerate(files)), ("a.png", PICTURE), compression=0))
    archive[archive.index(SLICES[2]) + len(files[2]) - 1] = 99
    taken = take([upload(bytes(archive))], store, "j1")
    assert problems(taken) == ["malformed", None]
    assert keys(store) == ["jobs/j1/1/input"]


def test_overlapping_entries_give_no_more_than_they_declare(store: Store) -> None:
    taken = take([upload(overlapping())], store, "j1")
    assert all(problem in (None, "malformed") for problem in problems(taken))


def repeated(content: bytes, times: int) -> bytes:
    """A zip whose directory names its one entry so many times."""
    start, end = content.rindex(b"PK\1\2"), content.rindex(b"PK\5\6")
    directory, tail = content[start:end] * times, bytearray(content[end:])
    tail[8:12] = min(times, 0xFFFF).to_bytes(2, "little") * 2
    tail[12:16] = len(directory).to_bytes(4, "little")
    return content[:start] + directory + bytes(tail)


def test_many_entries_over_the_same_bytes_are_refused_as_one(store: Store) -> None:
    """Each within its ratio, all together far beyond."""
    content = zipped(("a.png", np.random.default_rng(1).bytes(1000) * 60))
    taken = take([upload(repeated(content, 2000))], store, "j1")
    assert (problems(taken), keys(store)) == (["malformed"], [])


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


def test_a_hundred_thousand_entries_are_refused(store: Store) -> None:
    many = repeated(zipped(("a.png", PICTURE)), 100_000)
    with pytest.raises(TooLarge, match=r"Found a zip of more than 20000 files; wanted at most 20000\. Send them as"):
        take([upload(PICTURE), upload(many)], store, "j1")
    assert keys(store) == []


def test_a_directory_longer_than_any_job_is_never_read(store: Store) -> None:
    many = repeated(zipped(("a.png", PICTURE)), 100_000)
    tracemalloc.start()
    with pytest.raises(TooLarge, match="a zip of more than 10 files"):
        take([upload(many)], store, "j1", IntakeLimits(files=10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MEGABYTE


def test_a_few_too_many_entries(store: Store) -> None:
    with pytest.raises(TooLarge, match="a zip of more than 10 files; wanted at most 10"):
        take([upload(repeated(zipped(("a.png", PICTURE)), 11))], store, "j1", IntakeLimits(files=10))


def test_limits_count_all_uploads_together(store: Store) -> None:
    archive = zipped(*((f"{n}.png", PICTURE) for n in range(3)))
    with pytest.raises(TooLarge, match="Found 6 files; wanted at most 5 in one job"):
        take([upload(archive)] * 2, store, "j1", IntakeLimits(files=5))
    with pytest.raises(TooLarge, match=rf"Found files of {6 * len(PICTURE)} bytes; wanted at most {5 * len(PICTURE)}"):
        take([upload(archive)] * 2, store, "j1", IntakeLimits(bytes=5 * len(PICTURE)))
    assert keys(store) == []


def test_an_item_over_its_limit_fails_alone(store: Store) -> None:
    limits = IntakeLimits(item_bytes=len(PICTURE))
    taken = take([upload(PICTURE), *(upload(one) for one in SLICES), upload(NIFTI)], store, "j1", limits)
    assert problems(taken) == [None, "too_large", "too_large" if len(NIFTI) > len(PICTURE) else None]
    assert taken.items[1].problem is not None
    assert taken.items[1].problem.found == f"a file or series of {sum(map(len, SLICES))} bytes"


@pytest.mark.parametrize("sent", [[], [zipped()], [zipped(("folder/", b"")), zipped(("__MACOSX/._a", b"x"))]])
def test_an_empty_job(store: Store, sent: list[bytes]) -> None:
    with pytest.raises(BadParameter, match="Found no file; wanted at least one picture or volume") as caught:
        take([upload(content) for content in sent], store, "j1")
    assert caught.value.code == "empty_job"


def test_a_full_disk_in_the_middle_leaves_nothing_of_the_job(store: Store) -> None:
    sent = [upload(b"hello"), upload(PICTURE), upload(PICTURE), upload(PICTURE + bytes(MEGABYTE))]
    with files_limited_to(MEGABYTE), pytest.raises(DiskFull, match="a store without room"):
        take(sent, store, "j1")
    assert (keys(store), store.sweep(0)) == ([], 0)


class Zeros(io.RawIOBase):
    """A large file that takes no memory."""

    def __init__(self, head: bytes, size: int) -> None:
        self._head, self._size, self._at = head, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = {0: 0, 1: self._at, 2: self._size}[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._at)
        piece = self._head[self._at : self._at + count]
        buffer[:count] = piece + bytes(count - len(piece))
        self._at += count
        return count


def test_no_file_is_held_in_memory(store: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "big.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.png", PICTURE + bytes(12 * MEGABYTE))
    large: Any = io.BufferedReader(Zeros(PICTURE, 40 * MEGABYTE))
    with (tmp_path / "big.zip").open("rb") as stream:
        tracemalloc.start()
        taken = take([Upload("big.zip", stream), Upload("large.png", large)], store, "j1")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert [item.bytes for item in taken.items[-2:]] == [12 * MEGABYTE + len(PICTURE), 40 * MEGABYTE]
    assert peak < 10 * MEGABYTE


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=4))
def test_any_bytes_are_an_item_or_none_of_it_is(tmp_path_factory: pytest.TempPathFactory, files: list[bytes]) -> None:
    store = open_store(f"file://{tmp_path_factory.mktemp('any')}")
    taken = take([upload(content) for content in files], store, "j1")
    assert len(taken.items) == len(files)
    assert all((item.key == "") == (item.problem is not None) for item in taken.items)


FLIPPED = zipped(*((f"{n}.dcm", one) for n, one in enumerate(SLICES)), ("a.png", PICTURE))


@settings(max_examples=25)
@given(at=st.integers(0, len(FLIPPED) - 1), noise=st.binary(min_size=1, max_size=6))
def test_flipped_bytes_of_a_zip(tmp_path_factory: pytest.TempPathFactory, at: int, noise: bytes) -> None:
    content = FLIPPED[:at] + noise + FLIPPED[at + len(noise) :]
    store = open_store(f"file://{tmp_path_factory.mktemp('flipped')}")
    try:
        taken = take([upload(content)], store, "j1")
    except (BadParameter, TooLarge):
        assert keys(store) == []
        return
    assert sorted(keys(store)) == sorted(item.key for item in taken.items if item.key)
