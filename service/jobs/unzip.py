"""What was sent, file by file: zips opened under caps, nothing inflated before its directory has been judged.

Names are labels: nothing is ever opened or written by them, so that one which leads out of a folder does no harm.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from service.errors import InputError, TooLarge, UnusableImage
from service.formats.archive import CLUTTER, ENCRYPTED, RATIO, RATIO_FROM, is_zip
from service.formats.dicom_parse import is_dicom
from service.formats.guard import decoding, malformed
from service.formats.limits import EMPTY_UP_TO
from service.formats.sniff import HEAD_BYTES
from service.jobs.store_base import Readable

LONGEST_LABEL = 200
NAMELESS = "file"
DRIVE = re.compile(r"^[A-Za-z]:")
# Bytes of a directory for each file that a job may have: names of UIDs within UIDs are long.
DIRECTORY_BYTES = 400
LINK, KIND_OF_FILE = 0o120000, 0o170000


@dataclass(frozen=True)
class Upload:
    """One file as sent. ``stream`` can be rewound, and stays open as long as the job is being taken in."""

    name: str
    stream: BinaryIO


@dataclass(frozen=True)
class IntakeLimits:
    """What one job may be.

    Attributes:
        files: of all uploads together, those in zips counted.
        bytes: of all files together, as their zips declare them.
        item_bytes: of one picture or volume.
    """

    files: int = 20_000
    bytes: int = 16 << 30
    item_bytes: int = 1 << 30

    def check(self, files: int, size: int) -> None:
        """Raises TooLarge for more files, or bytes, than one job may have."""
        if files > self.files:
            raise TooLarge(f"{files} files", f"at most {self.files} in one job", "Send them as several jobs.")
        if size > self.bytes:
            raise TooLarge(
                f"files of {size} bytes",
                f"at most {self.bytes} in one job",
                "Send them as several jobs; BREAST_CASCADE_MAX_JOB_BYTES sets this limit.",
            )


@dataclass(frozen=True)
class Source:
    """One file: what people call it, its size as declared, and how to read it from its start.

    ``error`` says why it must not be read.
    """

    name: str
    size: int
    opened: Callable[[], Readable]
    error: InputError | None = None

    def head(self, count: int) -> bytes:
        """Its first bytes. Raises UnusableImage for a broken zip."""
        stream, kept = self.opened(), b""
        while len(kept) < count and (piece := stream.read(count - len(kept))):
            kept += piece
        return kept


def label(name: str) -> str:
    """A name for people: no way out of a folder, no drive, nothing that does not show; at most 200 characters."""
    parts = [DRIVE.sub("", part) for part in re.split(r"[/\\]", name)]
    text = "/".join(part for part in parts if part not in ("", ".", ".."))
    shown = "".join("_" if unicodedata.category(one)[0] == "C" else one for one in text)
    return shown[-LONGEST_LABEL:] or NAMELESS


def sources_of(upload: Upload, limits: IntakeLimits, zips: ExitStack) -> Iterator[Source]:
    """The file itself, or those of a zip, which ``zips`` will close. Raises TooLarge for a zip of too many files."""
    try:
        head = _rewound(upload.stream).read(HEAD_BYTES)
    except UnusableImage as error:
        yield _refused(label(upload.name), _size(upload.stream), error)
        return
    # What begins like DICOM is DICOM: the bytes before its mark are free.
    if not is_zip(head) or is_dicom(head):
        yield Source(label(upload.name), _size(upload.stream), lambda: _rewound(upload.stream))
        return
    try:
        archive = _opened(upload.stream, limits, zips)
        _check_ratio(archive, _size(upload.stream))
    except UnusableImage as error:
        yield _refused(label(upload.name), _size(upload.stream), error)
        return
    yield from (_entry(archive, one) for one in archive.infolist() if not one.is_dir() and not _clutter(one))


class _Narrow:
    """A file that refuses to give more at once than a directory may be long: zipfile reads it in one go."""

    def __init__(self, stream: BinaryIO, most: int, error: InputError) -> None:
        self._stream, self._most, self._error = stream, most, error
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1, /) -> bytes:
        whole = self._stream.read(size if 0 <= size <= self._most else self._most + 1)
        if len(whole) > self._most:
            raise self._error
        return whole


class _Checked:
    """An entry of a zip that is exactly as long as its directory says, its errors ours."""

    def __init__(self, archive: ZipFile, entry: ZipInfo) -> None:
        with decoding("zip"):
            self._file = archive.open(entry)
        self._left = entry.file_size

    def read(self, size: int = -1, /) -> bytes:
        with decoding("zip"):
            piece = self._file.read(size)
        self._left -= len(piece)
        if not piece and size and self._left:
            raise malformed("zip", "with an entry of another size than its directory says")
        return piece


def _opened(stream: BinaryIO, limits: IntakeLimits, zips: ExitStack) -> ZipFile:
    many = TooLarge(f"a zip of more than {limits.files} files", f"at most {limits.files}", "Send them as several jobs.")
    most = max(DIRECTORY_BYTES * limits.files, RATIO_FROM)
    with decoding("zip"):
        archive = zips.enter_context(ZipFile(cast(BinaryIO, _Narrow(stream, most, many))))
    if len(archive.infolist()) > limits.files:
        raise many
    return archive


def _check_ratio(archive: ZipFile, size: int) -> None:
    """Entries that share their bytes multiply them, each within bounds."""
    if sum(one.file_size for one in archive.infolist() if _error(one) is None) > RATIO * max(size, RATIO_FROM):
        raise malformed("zip", "that grows far beyond its size")


def _entry(archive: ZipFile, entry: ZipInfo) -> Source:
    name = label(entry.filename)
    error = _error(entry)
    if error is not None:
        return _refused(name, entry.file_size, error)
    return Source(name, entry.file_size, lambda: _Checked(archive, entry))


def _error(entry: ZipInfo) -> InputError | None:
    """Why an entry must not be read."""
    if entry.flag_bits & ENCRYPTED:
        return UnusableImage("a file with a password", "one without", "Zip the files anew.", "zip_encrypted")
    if (entry.external_attr >> 16) & KIND_OF_FILE == LINK:
        return UnusableImage("a link to another file", "the file itself", "Zip the files themselves.", "zip_unsafe")
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return malformed("zip", "in an unusual compression")
    if entry.file_size > max(EMPTY_UP_TO, RATIO * entry.compress_size):
        return TooLarge(
            f"a file in a zip that grows from {entry.compress_size} to {entry.file_size} bytes",
            f"at most {EMPTY_UP_TO} bytes, or {RATIO} for one in the zip",
            "Send the file itself.",
        )
    return None


def _refused(name: str, size: int, error: InputError) -> Source:
    def never() -> Readable:
        raise error

    return Source(name, size, never, error)


def _clutter(entry: ZipInfo) -> bool:
    return CLUTTER.search(entry.filename) is not None


def _rewound(stream: BinaryIO) -> BinaryIO:
    stream.seek(0)
    return stream


def _size(stream: BinaryIO) -> int:
    return stream.seek(0, 2)
