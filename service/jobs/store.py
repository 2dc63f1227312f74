"""Where jobs keep their files: a folder, or object storage.

A file is visible whole or not at all, whenever its writer is killed. Keys are made by this service alone, never from a
name that somebody sent. What is read back is held against the digest in its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.errors import DamagedFile, SetupError
from service.jobs.model import StoredFile
from service.jobs.store_base import Measured, Store, StoredBytes
from service.jobs.store_local import LocalStore

__all__ = ["Joined", "Store", "StoredContent", "open_store", "read", "verified"]


def open_store(url: str) -> Store:
    """The store at ``file:///folder`` or ``s3://bucket/prefix?endpoint=http://host:port&region=name``.

    The folder is made where it is not there. Keys to object storage come from where boto3 looks for them. Raises
    SetupError for any other address.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        # boto3 takes half a second to import, which nobody waits for who keeps files on a disk.
        from service.jobs.store_s3 import open_s3

        return open_s3(url)
    raise SetupError(
        f"BREAST_CASCADE_STORE_URL with the scheme {parts.scheme[:20]!r}",
        "file:///folder or s3://bucket/prefix?endpoint=http://host:port",
        "Set it to such an address or unset it.",
        "bad_setting",
    )


def read(store: Store, file: StoredFile) -> bytes:
    """A whole file. Raises DamagedFile where it is not what was written, code ``missing_file`` where it is gone."""
    return b"".join(verified(store, file))


def verified(store: Store, file: StoredFile) -> Iterator[bytes]:
    """A file piece by piece; not all of it has come before the last piece has been asked for. Raises as `read`."""
    with store.open(file.key) as stream:
        measured = Measured(stream)
        for piece in measured.pieces():
            if measured.stored.bytes > file.bytes:
                break
            yield piece
    if measured.stored != StoredBytes(file.sha256, file.bytes):
        raise DamagedFile(
            "a stored file that is not what was written", "the same bytes", "Check the disk, then send the job again."
        )


@dataclass(frozen=True)
class StoredContent:
    """A stored file as decoders take it: a piece at a time, so that it is never in memory as a whole."""

    store: Store
    file: StoredFile

    @property
    def size(self) -> int:
        """In bytes."""
        return self.file.bytes

    def pieces(self) -> Iterator[bytes]:
        """All of it. Raises as `read`, before the last piece that would be wrong."""
        return verified(self.store, self.file)


class Joined:
    """Pieces as one stream: what turns a generator into something to `Store.put`."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, all of them when negative; none at the end."""
        if size < 0:
            whole, self._rest = self._rest + b"".join(self._pieces), b""
            return whole
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                return b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece
