"""A zip that comes into being while it is read: equal files give equal bytes, and none is held as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

# Beyond this an entry needs the fields of a large file, which must be set before it begins.
LARGE = 1 << 30
# Most of what is zipped is compressed already.
LEVEL = 1


@dataclass(frozen=True)
class Entry:
    """One file of a zip. ``bytes``: its size, as far as it is known; what is above LARGE must be known."""

    name: str
    pieces: Iterable[bytes]
    bytes: int = 0


class _Sink:
    """Takes what is written and hands it on. It cannot be rewound, so that zipfile never goes back."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._waiting.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def taken(self) -> bytes:
        """All that was written since it was last asked."""
        whole = b"".join(self._waiting)
        self._waiting.clear()
        return whole


def zipped(entries: Iterable[Entry], *, compress: bool) -> Iterator[bytes]:
    """The zip, piece by piece. Every entry is dated 1 January 1980, the first day that a zip knows."""
    sink = _Sink()
    method = ZIP_DEFLATED if compress else ZIP_STORED
    with ZipFile(cast(BinaryIO, sink), "w", method, compresslevel=LEVEL) as archive:
        for entry in entries:
            with archive.open(entry.name, "w", force_zip64=entry.bytes > LARGE) as file:
                for piece in entry.pieces:
                    file.write(piece)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()
