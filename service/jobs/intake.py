"""From what was sent to the items of a job: zips opened, slices of a series brought together, all of it stored.

Files are told by their first bytes, DICOM by its header; no pixel is decoded in this process, and no file is in memory
as a whole. A file that cannot be recognised is an item that has failed already, and touches none of its neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath

import orjson

from service.errors import BadParameter, InputError, TooLarge, UnknownFormat, UnusableImage
from service.formats.dicom_parse import Parsed, parse
from service.formats.dicom_series import series_in
from service.formats.guard import decoding
from service.formats.sniff import HEAD_BYTES, known_but_not_read, sniff
from service.jobs.model import Kind, NewItem, Problem
from service.jobs.store import Joined, Store
from service.jobs.store_base import PIECE, Measured, Readable, StoredBytes
from service.jobs.unzip import IntakeLimits, Source, Upload, sources_of
from service.jobs.zip_out import Entry, zipped

__all__ = ["IntakeLimits", "Taken", "Upload", "take"]

ACCEPTED = "PNG, JPEG, TIFF, BMP, WebP, DICOM, NIfTI or NRRD"
# What stands before the pixels: of most slices, of others, of many frames with a geometry each.
HEADERS = (1 << 16, 1 << 20, 1 << 24)
NO_LIMITS = IntakeLimits()


@dataclass(frozen=True)
class Taken:
    """The items of a job, in order, and a digest over their names and contents."""

    items: tuple[NewItem, ...]
    fingerprint: str


@dataclass(frozen=True)
class _Group:
    """The files of one item: one, or the slices of a series."""

    sources: tuple[Source, ...]
    kind: Kind
    error: InputError | None = None

    @property
    def bytes(self) -> int:
        return sum(one.size for one in self.sources)

    @property
    def name(self) -> str:
        """Of the file; of the folder that a series lies in, where it lies in one."""
        first = PurePosixPath(self.sources[0].name)
        folder = str(first.parent)
        return str(first) if len(self.sources) == 1 or folder == "." else folder


def take(
    uploads: Iterable[Upload],
    store: Store,
    job_id: str,
    limits: IntakeLimits = NO_LIMITS,
    known: Collection[str] = (),
) -> Taken:
    """Store what was sent as ``jobs/<job_id>/<n>/input``, n counting from 0.

    A picture is one item, a volume is one, the slices of one DICOM series are one (as a zip of their own). Content of
    which the sha256 is ``known`` is not stored; the key of such an item is empty. Raises TooLarge for too many files
    or bytes, BadParameter with code ``empty_job`` for none, DiskFull and whatever the store raises; nothing of the job
    is stored then.
    """
    with ExitStack() as zips:
        sources = _sources(uploads, limits, zips)
        items: list[NewItem] = []
        try:
            for n, group in enumerate(_grouped(sources)):
                items.append(_item(group, store, f"jobs/{job_id}/{n}/input", limits, known))
        except BaseException:
            for item in items:
                _forget(store, item)
            raise
    return Taken(tuple(items), _fingerprint(items))


def _forget(store: Store, item: NewItem) -> None:
    if item.key:
        store.delete(item.key)


def _sources(uploads: Iterable[Upload], limits: IntakeLimits, zips: ExitStack) -> list[Source]:
    found: list[Source] = []
    size = 0
    for upload in uploads:
        new = list(sources_of(upload, limits, zips))
        found += new
        size += sum(one.size for one in new if one.error is None)
        limits.check(len(found), size)
    if not found:
        raise BadParameter("no file", "at least one picture or volume", "Send files in the field `files`.", "empty_job")
    return found


def _grouped(sources: Sequence[Source]) -> list[_Group]:
    """One group per item, in the order of their first files."""
    groups: dict[object, list[_Group]] = {}
    for number, source in enumerate(sources):
        group, series = _looked_at(source)
        groups.setdefault(number if series is None else series, []).append(group)
    return [_together(parts) for parts in groups.values()]


def _together(parts: Sequence[_Group]) -> _Group:
    if len(parts) == 1:
        return parts[0]
    return _Group(tuple(source for part in parts for source in part.sources), "volume")


def _looked_at(source: Source) -> tuple[_Group, str | None]:
    """A file alone, and the series that it is a slice of, if any."""
    try:
        kind, series = _recognised(source)
    except InputError as error:
        return _Group((source,), "image", error), None
    return _Group((source,), kind), series


def _recognised(source: Source) -> tuple[Kind, str | None]:
    """Raises InputError for what is no picture."""
    if source.error is not None:
        raise source.error
    head = source.head(HEAD_BYTES)
    kind = sniff(head)
    if kind is None:
        raise _unknown(head)
    if kind == "zip":
        raise UnusableImage("a zip within a zip", "pictures in it", "Zip the files themselves.", "zip_nested")
    if kind == "dicom":
        return _dicom(source)
    return "volume" if kind in ("nifti", "nrrd") else "image", None


def _unknown(head: bytes) -> InputError:
    if not head:
        return UnusableImage("an empty file", f"a {ACCEPTED} file", "Send the file's content.", "empty_body")
    known = known_but_not_read(head)
    found = f"a {known} picture, a format known but not read here" if known else "content of no known format"
    return UnknownFormat(found, ACCEPTED, f"Save it as {ACCEPTED}.")


def _dicom(source: Source) -> tuple[Kind, str | None]:
    """A header that cannot be read is for the worker to tell, which sees the whole file."""
    try:
        parsed = _header(source)
        with decoding("DICOM"):
            frames = int(parsed.dataset.get("NumberOfFrames") or 1)
        return "volume" if frames > 1 else "image", series_in(parsed)
    except InputError:
        return "image", None


def _header(source: Source, counts: Sequence[int] = HEADERS) -> Parsed:
    count, *longer = counts
    try:
        return parse(source.head(count))
    except InputError:
        if source.size <= count or not longer:
            raise
    return _header(source, longer)


def _item(group: _Group, store: Store, key: str, limits: IntakeLimits, known: Collection[str]) -> NewItem:
    try:
        _check(group, limits)
        if known and (same := _measured(_content(group))).sha256 in known:
            return NewItem(group.name, group.kind, "", same.sha256, same.bytes)
        stored = store.put(key, _content(group))
    except InputError as error:
        problem = Problem(error.code, error.found, error.wanted, error.remedy)
        seen = _seen(group, limits)
        return NewItem(group.name, group.kind, "", seen.sha256, seen.bytes, problem)
    return NewItem(group.name, group.kind, key, stored.sha256, stored.bytes)


def _check(group: _Group, limits: IntakeLimits) -> None:
    if group.error is not None:
        raise group.error
    if group.bytes > limits.item_bytes:
        raise TooLarge(
            f"a file or series of {group.bytes} bytes",
            f"at most {limits.item_bytes} bytes",
            "Send a smaller or compressed one; BREAST_CASCADE_MAX_JOB_ITEM_BYTES sets this limit.",
        )


def _content(group: _Group) -> Readable:
    return group.sources[0].opened() if len(group.sources) == 1 else _bundle(group.sources)


def _bundle(sources: Sequence[Source]) -> Readable:
    """The slices as one zip, not compressed: the one way in which many files travel together."""
    entries = (Entry(str(number), _pieces(source), source.size) for number, source in enumerate(sources))
    return Joined(zipped(entries, compress=False))


def _pieces(source: Source) -> Iterator[bytes]:
    stream = source.opened()
    while piece := stream.read(PIECE):
        yield piece


def _seen(group: _Group, limits: IntakeLimits) -> StoredBytes:
    """Digest and size of what is not stored, for the fingerprint; no digest where it must not be read."""
    if group.bytes <= limits.item_bytes:
        try:
            return _measured(Joined(piece for source in group.sources for piece in _pieces(source)))
        except InputError:
            pass
    return StoredBytes("", group.bytes)


def _measured(content: Readable) -> StoredBytes:
    measured = Measured(content)
    for _ in measured.pieces():
        pass
    return measured.stored


def _fingerprint(items: Sequence[NewItem]) -> str:
    said = [(item.name, item.sha256, item.bytes, item.problem.code if item.problem else None) for item in items]
    return hashlib.sha256(orjson.dumps(said)).hexdigest()
