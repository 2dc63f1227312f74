"""What cannot be read fails its item alone, and no bytes whatever end in anything but an item or an answer."""

from __future__ import annotations

import hashlib
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import BadParameter, TooLarge
from service.formats.options import Options
from service.formats.read import read_image
from service.jobs.intake import take
from service.jobs.store import Store, open_store
from tests.service.formats.test_archive import encrypted, entry, lying, overlapping, zipped
from tests.service.jobs.intake import MEGABYTE, PICTURE, SLICES, keys, problems, repeated, stored, upload


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


def test_many_entries_over_the_same_bytes_are_refused_as_one(store: Store) -> None:
    """Each within its ratio, all together far beyond."""
    content = zipped(("a.png", np.random.default_rng(1).bytes(1000) * 60))
    taken = take([upload(repeated(content, 2000))], store, "j1")
    assert (problems(taken), keys(store)) == (["malformed"], [])


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
