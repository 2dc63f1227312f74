"""What every store of jobs' files has in common: the three verbs, keys, measuring, and its errors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from service.errors import DamagedFile, DiskFull

PIECE = 1 << 20
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
LONGEST_KEY = 512


class Readable(Protocol):
    """Bytes that come piece by piece."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, all of them when negative; none at the end."""
        ...


@dataclass(frozen=True)
class StoredBytes:
    """What was written: its sha256 in hexadecimal and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class StoredKey:
    """A file found in the store: seconds since it was written, and its size in bytes."""

    key: str
    age_s: float
    bytes: int


class Store(Protocol):
    """A place for files. Every method raises StoreAway when it does not answer, ValueError for a key that cannot be."""

    def put(self, key: str, content: Readable | bytes) -> StoredBytes:
        """Write a file, whole or not at all, in the place of one with that key. Raises DiskFull."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A file to be read once. Raises DamagedFile with code ``missing_file``."""
        ...

    def delete(self, key: str) -> None:
        """Remove a file; none is no error."""
        ...

    def keys(self, prefix: str = "") -> Iterator[StoredKey]:
        """Files whose key begins so: ``""`` for all, else what ends with a slash. Those of one folder come together."""
        ...

    def free(self) -> int | None:
        """Bytes there is room for; None where that cannot be known."""
        ...

    def sweep(self, age_s: float) -> int:
        """Remove what interrupted writers left behind more than so many seconds ago; how many there were."""
        ...


class Measured:
    """Passes content on in pieces while it measures it."""

    def __init__(self, content: Readable | bytes) -> None:
        self._content = content
        self._digest = hashlib.sha256()
        self._bytes = 0

    def pieces(self) -> Iterator[bytes]:
        """All of the content, at most PIECE bytes at a time."""
        for piece in self._pieces():
            self._digest.update(piece)
            self._bytes += len(piece)
            yield piece

    @property
    def stored(self) -> StoredBytes:
        """What has passed so far."""
        return StoredBytes(self._digest.hexdigest(), self._bytes)

    def _pieces(self) -> Iterator[bytes]:
        if isinstance(self._content, bytes):
            yield self._content
            return
        while piece := self._content.read(PIECE):
            yield piece


def check_key(key: str) -> str:
    """The key. Raises ValueError for one that could lead out of the store."""
    if len(key) > LONGEST_KEY or not KEY.fullmatch(key):
        raise ValueError(
            f"Found the key {key[:80]!r}; wanted words of letters, digits, dots, dashes and underscores between "
            f"slashes, {LONGEST_KEY} characters at most. Make keys from numbers and ids alone."
        )
    return key


def check_prefix(prefix: str) -> str:
    """The prefix. Raises ValueError for one that is neither empty nor a key with a slash behind it."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    if prefix and not prefix.endswith("/"):
        raise ValueError(f"Found the prefix {prefix[:80]!r}; wanted one that ends with a slash. Write it so.")
    return prefix


def missing() -> DamagedFile:
    """The error for a file that is gone."""
    return DamagedFile(
        "no file where one was stored", "the file", "Send the job again; it may have expired.", "missing_file"
    )


def disk_full() -> DiskFull:
    """The error for a store without room."""
    return DiskFull("a store without room", "room for one more file", "Make room, or come back later.")
