"""Both stores keep the same promises: whole or not at all, found again, held against their digests."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import DamagedFile, SetupError
from service.jobs.model import StoredFile
from service.jobs.store import Joined, Store, open_store, read, verified
from service.jobs.store_base import PIECE, StoredBytes
from service.jobs.store_s3 import PART
from tests.service.jobs.stores import BUCKET, child, client, keys_of, listed, until

LARGE = 2 * PART + 1234
# Tells through its output how far it is, and reads without end.
ENDLESS = """
import sys
from service.jobs.store import open_store

class Endless:
    def __init__(self):
        self.given = 0

    def read(self, size=-1):
        self.given += size
        print(self.given, flush=True)
        return b"x" * size

open_store(sys.argv[1]).put(sys.argv[2], Endless())
"""


@pytest.fixture(params=["local", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return f"file://{tmp_path}/a%20store"
    return f"s3://{BUCKET}/{tmp_path.name}?endpoint={request.getfixturevalue('endpoint')}"


@pytest.fixture
def store(url: str) -> Store:
    return open_store(url)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def stored(key: str, content: bytes) -> StoredFile:
    return StoredFile("name", key, digest(content), len(content), "image/png")


def uploads(endpoint: str) -> list[Any]:
    listed: Any = client(endpoint).list_multipart_uploads(Bucket=BUCKET)  # type: ignore[attr-defined]
    return list(listed.get("Uploads", ()))


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_was_put_is_there(store: Store, size: int, streamed: bool) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    there = store.put("jobs/a/0/input", io.BytesIO(content) if streamed else content)
    assert there == StoredBytes(digest(content), size)
    with store.open("jobs/a/0/input") as file:
        assert file.read() == content
    assert read(store, stored("jobs/a/0/input", content)) == content


def test_a_large_file_comes_in_parts(store: Store) -> None:
    content = hashlib.shake_128(b"large").digest(LARGE)
    assert store.put("jobs/a/0/input", io.BytesIO(content)) == StoredBytes(digest(content), LARGE)
    pieces = list(verified(store, stored("jobs/a/0/input", content)))
    assert max(map(len, pieces)) <= PIECE
    assert b"".join(pieces) == content


def test_exactly_one_part(store: Store) -> None:
    content = bytes(PART)
    assert store.put("jobs/a/0/input", Joined([content])).bytes == PART
    assert read(store, stored("jobs/a/0/input", content)) == content


def test_a_later_file_takes_the_place_of_the_earlier(store: Store) -> None:
    store.put("jobs/a/0/input", b"first")
    store.put("jobs/a/0/input", b"second")
    assert read(store, stored("jobs/a/0/input", b"second")) == b"second"


def test_deleted_is_gone_and_deleting_nothing_is_no_error(store: Store) -> None:
    store.put("jobs/a/0/input", b"x")
    for _ in range(2):
        store.delete("jobs/a/0/input")
    with pytest.raises(DamagedFile, match=r"^Found no file where one was stored; wanted the file\. Send") as caught:
        store.open("jobs/a/0/input")
    assert caught.value.code == "missing_file"
    assert list(store.keys()) == []


def test_a_key_may_begin_with_another(store: Store) -> None:
    store.put("jobs/a/0", b"x")
    store.delete("jobs/a/0/input")
    with pytest.raises(DamagedFile, match="no file"):
        store.open("jobs/a/0/input")
    with pytest.raises(DamagedFile, match="no file"):
        store.open("jobs/a")
    store.delete("jobs/a")
    assert keys_of(store) == ["jobs/a/0"]


def test_listed_by_prefix_with_age_and_size(store: Store) -> None:
    for key in ("jobs/ab/0/input", "jobs/a/0/input", "jobs/a/0/1/answer.json"):
        store.put(key, b"four")
    assert sorted(one.key for one in store.keys("jobs/a/")) == ["jobs/a/0/1/answer.json", "jobs/a/0/input"]
    assert {one.bytes for one in listed(store)} == {4}
    assert all(0 <= one.age_s < 60 for one in listed(store))
    until(lambda: all(one.age_s > 0 for one in listed(store)))
    assert list(store.keys("jobs/b/")) == []
    with pytest.raises(ValueError, match="Found the prefix 'jobs/a'; wanted one that ends with a slash"):
        list(store.keys("jobs/a"))


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", "/etc/passwd", "../x", "jobs/../../x", "jobs/..", "jobs//x", "jobs/x/", "./x", ".unfinished/x"),
        *("jobs/a\0", "jobs\\..\\x", "jobs/é", "jobs/a b", "jobs/a\n", "C:x", "jobs/" + "a" * 600),
    ],
)
def test_keys_that_lead_elsewhere_are_refused(store: Store, key: str) -> None:
    for use in (lambda: store.put(key, b"x"), lambda: store.open(key), lambda: store.delete(key)):
        with pytest.raises(ValueError, match=r"Found the key .*; wanted words of letters.*\. Make keys from numbers"):
            use()
    assert list(store.keys()) == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(max_size=40))
def test_no_key_whatever_leaves_the_folder(tmp_path: Path, key: str) -> None:
    store = open_store(f"file://{tmp_path}/inner/store")
    try:
        store.put(key, b"x")
    except ValueError:
        return
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["store"]
    assert keys_of(store) == [key]
    store.delete(key)


def test_damage_is_found_when_read(store: Store) -> None:
    file = stored("jobs/a/0/input", b"what was written")
    for content in (b"what was writteN", b"what was", b"what was written and more"):
        store.put(file.key, content)
        with pytest.raises(DamagedFile, match=r"Found a stored file that is not what was written; wanted the same"):
            read(store, file)


def test_a_stream_that_fails_leaves_nothing(store: Store, request: pytest.FixtureRequest) -> None:
    def failing() -> Iterator[bytes]:
        yield bytes(PART)
        yield bytes(PART)
        raise RuntimeError("the client went away")

    with pytest.raises(RuntimeError, match="went away"):
        store.put("jobs/a/0/input", Joined(failing()))
    assert (list(store.keys()), store.sweep(0)) == ([], 0)
    if "s3" in request.node.name:
        assert uploads(request.getfixturevalue("endpoint")) == []


def test_a_killed_writer_leaves_nothing_visible(store: Store, url: str) -> None:
    store.put("jobs/a/0/input", b"before")
    with child(ENDLESS, url, "jobs/a/1/input") as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 2 * PART:
            pass
    assert keys_of(store) == ["jobs/a/0/input"]
    # As old as the S3 server makes every upload.
    assert store.sweep(1e9) == 0
    until(lambda: store.sweep(0) == 1)
    assert (store.sweep(0), keys_of(store)) == (0, ["jobs/a/0/input"])


def test_joined_pieces_are_one_stream() -> None:
    pieces = [b"ab", b"", b"cdef", b"g"]
    stream = Joined(pieces)
    assert [stream.read(1), stream.read(5), stream.read(5), stream.read(5), stream.read(5)] == [
        *(b"a", b"b", b"cdef", b"g", b""),
    ]
    stream = Joined(pieces)
    assert (stream.read(1), stream.read(), stream.read()) == (b"a", b"bcdefg", b"")


@pytest.mark.parametrize("url", ["", "jobs", "file://host/x", "file:x", "s3://", "s3:///prefix", "ftp://x/y"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(SetupError, match=r"Found BREAST_CASCADE_STORE_URL with the scheme .*; wanted file:///folder"):
        open_store(url)


def test_age_counts_from_the_end_of_writing(store: Store) -> None:
    store.put("jobs/a/0/input", b"x")
    time.sleep(1.1)
    (one,) = store.keys("jobs/")
    assert 1 <= one.age_s < 60
