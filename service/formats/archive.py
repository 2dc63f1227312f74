"""A zip that holds one series: judged by its directory before anything is inflated, never written to disk.

Names of entries are looked at only to refuse those that lead out of a folder; nothing is opened or told by them.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from service.errors import TooLarge, UnusableImage, counted
from service.formats.guard import decoding, malformed
from service.formats.limits import EMPTY_UP_TO, Limits

MAGIC, EMPTY = b"PK\x03\x04", b"PK\x05\x06"
MAX_ENTRIES = 10_000
# A zip that is smaller counts as one of this size when it is asked how far it grows.
RATIO, RATIO_FROM = 100, 1 << 20
OUTWARD = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\0")
# What archives bring along that nobody put there.
CLUTTER = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|DICOMDIR$)", re.IGNORECASE)
ENCRYPTED, SYMLINK = 0x1, 0o120000
HEAD = 8192


@dataclass(frozen=True, eq=False, repr=False)
class Archive:
    """The files of a zip, by number."""

    zip: ZipFile
    entries: tuple[ZipInfo, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def head(self, number: int) -> bytes:
        """The first bytes of a file, enough to tell its format."""
        return self._read(number, HEAD)

    def file(self, number: int) -> bytes:
        """A whole file, never more than the directory says. Raises UnusableImage where it is not what that says."""
        whole = self._read(number, self.entries[number].file_size + 1)
        if len(whole) != self.entries[number].file_size:
            raise malformed("zip", "with an entry of another size than its directory says")
        return whole

    def _read(self, number: int, count: int) -> bytes:
        with decoding("zip"), self.zip.open(self.entries[number]) as file:
            return file.read(count)


def is_zip(head: bytes) -> bool:
    """Whether a file begins like a zip."""
    return head.startswith((MAGIC, EMPTY))


def opened(content: bytes, limits: Limits) -> Archive:
    """The files of a zip, folders and clutter left out.

    Raises TooLarge for too many files or bytes, UnusableImage with code ``zip_encrypted``, ``zip_unsafe``,
    ``zip_empty`` or ``malformed``.
    """
    with decoding("zip"):
        archive = _directory(content)
        entries = archive.infolist()
        for entry in entries:
            _check_entry(entry)
        _check_places(entries, len(content))
        files = [one for one in entries if not one.is_dir() and not CLUTTER.search(one.filename)]
        _check_sizes(files, limits)
    if not files:
        raise UnusableImage("a zip without files", "the slices of one series", "Zip the files themselves.", "zip_empty")
    return Archive(archive, tuple(files))


def bundled(files: Sequence[bytes]) -> bytes:
    """Several files as one zip, not compressed: the one way in which many travel together."""
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_STORED) as archive:
        for number, file in enumerate(files):
            archive.writestr(str(number), file)
    return stream.getvalue()


def _directory(content: bytes) -> ZipFile:
    """The zip, opened once for all of its files: each opening reads the whole directory."""
    try:
        archive = ZipFile(io.BytesIO(content))
    except (BadZipFile, zlib.error, EOFError):
        raise malformed("zip") from None
    count = len(archive.infolist())
    if count > MAX_ENTRIES:
        raise TooLarge(f"a zip of {count} entries", f"at most {MAX_ENTRIES}", "Send one series a zip.")
    return archive


def _check_entry(entry: ZipInfo) -> None:
    if entry.flag_bits & ENCRYPTED:
        raise UnusableImage("a zip with a password", "a zip without one", "Zip the files anew.", "zip_encrypted")
    if OUTWARD.search(entry.orig_filename) or _is_link(entry):
        raise UnusableImage(
            "a zip with entries that lead out of its folder", "plain files", "Zip the files themselves.", "zip_unsafe"
        )
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise malformed("zip", "in an unusual compression")


def _is_link(entry: ZipInfo) -> bool:
    return (entry.external_attr >> 16) & 0o170000 == SYMLINK


def _check_places(entries: Sequence[ZipInfo], size: int) -> None:
    """Entries that share their bytes multiply them."""
    places = sorted((entry.header_offset, entry.header_offset + entry.compress_size) for entry in entries)
    overlap = any(end > start for (_, end), (start, _) in pairwise(places))
    if overlap or any(start < 0 or end > size for start, end in places):
        raise malformed("zip", "whose entries lie over each other or beyond its end")


def _check_sizes(files: Sequence[ZipInfo], limits: Limits) -> None:
    total, most = sum(entry.file_size for entry in files), limits.max_unzipped
    if total > most:
        raise TooLarge(
            f"{counted(len(files), 'file')} of {total} bytes together", f"at most {most} bytes", "Send fewer slices."
        )
    for entry in files:
        if entry.file_size > max(EMPTY_UP_TO, RATIO * entry.compress_size):
            raise TooLarge(
                f"a file in a zip that grows from {entry.compress_size} to {entry.file_size} bytes",
                f"at most {EMPTY_UP_TO} bytes, or {RATIO} for one in the zip",
                "Send the file itself.",
            )
