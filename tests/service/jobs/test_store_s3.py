"""Object storage that is away, refuses, or holds what an interrupted upload left."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from service.errors import SetupError, StoreAway
from service.jobs.store import Joined, open_store
from service.jobs.store_s3 import PART
from tests.service.jobs.stores import BUCKET, KEYS, PAGE, client, keys_of, s3_server


@pytest.fixture
def outside(endpoint: str) -> Any:
    return client(endpoint)


def test_an_unfinished_upload_is_invisible_until_swept(endpoint: str, outside: Any) -> None:
    store = open_store(f"s3://{BUCKET}/here?endpoint={endpoint}")
    for key in ("here/jobs/a/0/input", "elsewhere/x"):
        upload = outside.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        outside.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=bytes(PART))
    assert list(store.keys()) == []
    # The server dates every upload to 2010.
    assert store.sweep(1e9) == 0
    assert store.sweep(3e8) == 1
    (left,) = outside.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert left["Key"] == "elsewhere/x"


def test_more_keys_than_one_answer_lists(endpoint: str) -> None:
    store = open_store(f"s3://{BUCKET}/many?endpoint={endpoint}")
    for number in range(2 * PAGE + 1):
        store.put(f"jobs/a/{number}/input", b"")
    assert len(set(keys_of(store))) == 2 * PAGE + 1


def test_a_store_keeps_to_its_prefix(endpoint: str, outside: Any) -> None:
    open_store(f"s3://{BUCKET}/one?endpoint={endpoint}&region=eu-west-1").put("jobs/a/0/input", b"x")
    assert outside.get_object(Bucket=BUCKET, Key="one/jobs/a/0/input")["Body"].read() == b"x"
    assert list(open_store(f"s3://{BUCKET}/on?endpoint={endpoint}").keys()) == []
    whole = open_store(f"s3://{BUCKET}?endpoint={endpoint}")
    assert "one/jobs/a/0/input" in keys_of(whole)
    assert whole.free() is None


def test_no_such_bucket_is_a_matter_of_the_setup(endpoint: str) -> None:
    store = open_store(f"s3://no-such-bucket?endpoint={endpoint}")
    for use in (lambda: store.put("a", b"x"), lambda: store.open("a"), lambda: list(store.keys())):
        with pytest.raises(SetupError, match=r"object storage that lets nobody in \(NoSuchBucket\); wanted a bucket"):
            use()


def test_storage_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        store = open_store(f"s3://{BUCKET}?endpoint=http://127.0.0.1:{port}")
        with pytest.raises(StoreAway, match="object storage that does not answer; wanted an answer") as caught:
            store.put("a", b"x")
    assert caught.value.retry_after >= 1
    assert "127.0.0.1" not in str(caught.value)


def test_storage_that_goes_away_in_an_upload(endpoint: str) -> None:
    with s3_server() as short_lived:
        store = open_store(f"s3://{BUCKET}?endpoint={short_lived}")
        store.put("a", b"x")
    with pytest.raises(StoreAway, match="object storage that does not answer"):
        store.put("a", Joined([bytes(PART)] * 2))


def test_without_keys(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SetupError, match=r"lets nobody in \(no keys\)"):
        open_store(f"s3://{BUCKET}?endpoint={endpoint}").put("a", b"x")


@pytest.mark.parametrize("query", ["region=a&secret=b", "acl=public"])
def test_unknown_options(query: str) -> None:
    with pytest.raises(SetupError, match=r"BREAST_CASCADE_STORE_URL with the option .*; wanted none but endpoint, reg"):
        open_store(f"s3://{BUCKET}?{query}")
