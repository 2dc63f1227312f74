"""Files of jobs in S3-compatible object storage, so that workers on several hosts need no disk in common.

One PUT for what fits into a part, a multipart upload for what is larger: either is visible when complete and not
before. At most one part is in memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.exceptions import HTTPError

from service.errors import SetupError, StoreAway
from service.jobs.store_base import (
    Measured,
    Readable,
    StoredBytes,
    StoredKey,
    check_key,
    check_prefix,
    disk_full,
    missing,
)

# At most 10 000 parts make an object, so that one may have 80 GB.
PART = 8 << 20
ABSENT = ("NoSuchKey", "404")
# What storage of several makers says when it is full.
FULL_CODES = ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull")
FULL_STATUS = 507
NOT_OURS = ("NoSuchBucket", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403")
KNOWN_OPTIONS = ("endpoint", "region")
# Seconds.
CONNECT_WITHIN, ANSWER_WITHIN, TRIES = 5, 60, 3


def open_s3(url: str) -> S3Store:
    """The store at ``s3://bucket/prefix?endpoint=...&region=...``. Raises SetupError for an unknown option."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = sorted(options.keys() - set(KNOWN_OPTIONS))
    if unknown:
        raise SetupError(
            f"BREAST_CASCADE_STORE_URL with the option {unknown[0][:20]!r}",
            f"none but {', '.join(KNOWN_OPTIONS)}",
            "Leave it out; keys belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            "bad_setting",
        )
    prefix = parts.path.strip("/")
    return S3Store(_client(options), parts.netloc, f"{check_key(prefix)}/" if prefix else "")


def _client(options: dict[str, str]) -> Any:
    endpoint = options.get("endpoint")
    config = Config(
        connect_timeout=CONNECT_WITHIN,
        read_timeout=ANSWER_WITHIN,
        retries={"mode": "standard", "max_attempts": TRIES},
        # Checksums that other makers' storage does not know are left out: digests of our own are held against all.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    region = options.get("region") or ("us-east-1" if endpoint else None)
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)


class S3Store:
    """A prefix of one bucket. Safe to share between threads."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put(self, key: str, content: Readable | bytes) -> StoredBytes:
        """As `Store.put`."""
        place = self._place(key)
        measured = Measured(content)
        parts = _parts(measured.pieces())
        first = next(parts)
        if len(first) < PART:
            with _asking():
                self._client.put_object(**place, Body=first)
        else:
            self._multipart(place, first, parts)
        return measured.stored

    def open(self, key: str) -> BinaryIO:
        """As `Store.open`; the bytes come while they are read."""
        with _asking():
            body = self._client.get_object(**self._place(key))["Body"]
        return cast(BinaryIO, io.BufferedReader(_Body(body)))

    def delete(self, key: str) -> None:
        """As `Store.delete`."""
        with _asking():
            self._client.delete_object(**self._place(key))

    def keys(self, prefix: str = "") -> Iterator[StoredKey]:
        """As `Store.keys`; the age by the storage's own clock."""
        where = {"Bucket": self._bucket, "Prefix": self._prefix + check_prefix(prefix)}
        for page in self._pages("list_objects_v2", where):
            now = _its_time(page)
            for one in page.get("Contents", ()):
                age = max(0.0, (now - one["LastModified"]).total_seconds())
                yield StoredKey(one["Key"].removeprefix(self._prefix), age, one["Size"])

    def free(self) -> None:
        """As `Store.free`: not known."""
        return

    def sweep(self, age_s: float) -> int:
        """As `Store.sweep`: aborts multipart uploads."""
        swept = 0
        for page in self._pages("list_multipart_uploads", {"Bucket": self._bucket, "Prefix": self._prefix}):
            now = _its_time(page)
            stale = [one for one in page.get("Uploads", ()) if (now - one["Initiated"]).total_seconds() >= age_s]
            for one in stale:
                self._abort({"Bucket": self._bucket, "Key": one["Key"], "UploadId": one["UploadId"]})
            swept += len(stale)
        return swept

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def _pages(self, method: str, where: dict[str, str]) -> Iterator[dict[str, Any]]:
        with _asking():
            yield from self._client.get_paginator(method).paginate(**where)

    def _multipart(self, place: dict[str, str], first: bytes, others: Iterator[bytes]) -> None:
        with _asking():
            upload = {**place, "UploadId": self._client.create_multipart_upload(**place)["UploadId"]}
        try:
            tags = [self._part(upload, 1, first)]
            tags += [self._part(upload, number, part) for number, part in enumerate(others, start=2) if part]
            with _asking():
                self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": tags})
        except BaseException:
            with suppress(StoreAway, SetupError):
                self._abort(upload)
            raise

    def _part(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        with _asking():
            answer = self._client.upload_part(**upload, PartNumber=number, Body=part)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _abort(self, upload: dict[str, str]) -> None:
        with _asking(), suppress(self._client.exceptions.NoSuchUpload):
            self._client.abort_multipart_upload(**upload)


class _Body(io.RawIOBase):
    """An answer's body as a stream whose errors are ours."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _asking():
            piece: bytes = self._body.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._body.close()
        super().close()


def _parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces as parts of exactly PART bytes, and one shorter at the end, which may be empty."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= PART:
            yield bytes(waiting[:PART])
            del waiting[:PART]
    yield bytes(waiting)


def _its_time(page: dict[str, Any]) -> datetime:
    said = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(said) if said else datetime.now(UTC)


@contextmanager
def _asking() -> Iterator[None]:
    """Whatever the client throws becomes an error of ours; its texts name hosts and keys and go no further."""
    try:
        yield
    except ClientError as error:
        raise _meant(error) from None
    except NoCredentialsError:
        raise _refused("no keys") from None
    except (BotoCoreError, HTTPError):
        raise StoreAway("object storage that does not answer", "an answer", "Try again in a moment.") from None


def _meant(error: ClientError) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in ABSENT:
        return missing()
    if code in FULL_CODES or status == FULL_STATUS:
        return disk_full()
    if code in NOT_OURS:
        return _refused(code)
    return StoreAway(f"object storage that answers {status}", "an answer", "Try again in a moment.")


def _refused(reason: str) -> SetupError:
    return SetupError(
        f"object storage that lets nobody in ({reason})",
        "a bucket of BREAST_CASCADE_STORE_URL that these keys may write to",
        "Make the bucket, or mend AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        "bad_setting",
    )
