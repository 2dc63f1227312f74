"""Zip: names that lead out, entries that grow, lie over each other or are something else."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

from tests.hostile.corpus import dicoms, pngs, volumes
from tests.hostile.corpus.common import CANARY, MEBIBYTE, Files, changed, truncations, zeros

CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
SYMLINK = 0o120777 << 16


def zipped(files: Mapping[str, bytes], kind: int = ZIP_DEFLATED) -> bytes:
    """A zip of files by name."""
    stream = io.BytesIO()
    with ZipFile(stream, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def series(count: int = 3) -> bytes:
    """A zip of one series as it should be, under the patient's name."""
    return zipped({f"{CANARY}/{number}.dcm": _slice(number) for number in range(count)})


def _slice(number: int) -> bytes:
    made = dicoms.dataset(
        Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4", SOPInstanceUID=f"1.2.3.4.{number}",
        ImagePositionPatient=[0, 0, number], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[0.5, 0.5],
    )  # fmt: skip
    return dicoms.written(made)


def _named(name: str) -> Callable[[], bytes]:
    return lambda: zipped({name: dicoms.picture()})


def _link() -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        entry = ZipInfo("link.dcm")
        entry.external_attr = SYMLINK
        archive.writestr(entry, "/etc/passwd")
    return stream.getvalue()


def _grown(size: int, said: int | None = None) -> bytes:
    """One entry that inflates to ``size`` bytes and says it does to ``said``."""
    data = zeros(size, -15)
    fields = (20, 0, 8, 0, 0x21, zlib.crc32(b"\0" * size), len(data), size if said is None else said, 7, 0)
    local = LOCAL + struct.pack("<HHHHHIIIHH", *fields) + b"one.dcm"
    central = CENTRAL + struct.pack("<HHHHHHIIIHHHHHII", 20, *fields, 0, 0, 0, 0, 0) + b"one.dcm"
    return local + data + central + _end(1, len(central), len(local) + len(data))


def _end(count: int, size: int, at: int) -> bytes:
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, size, at, 0)


def _overlapping(count: int) -> bytes:
    """Many entries in the directory for the same bytes."""
    whole = zipped({"a.dcm": dicoms.picture()})
    at = whole.find(CENTRAL)
    entry = whole[at : whole.find(b"PK\x05\x06")]
    return whole[:at] + entry * count + _end(count, len(entry) * count, at)


def _flagged(flag: int) -> bytes:
    content = zipped({"a.dcm": dicoms.picture()})
    bits = struct.pack("<H", flag)
    return changed(changed(content, 6, bits), content.find(CENTRAL) + 8, bits)


def _dense() -> bytes:
    return zipped({f"{number}.dcm": dicoms.picture() for number in range(3)})


REFUSED: Files = {
    **truncations("zip", _dense),
    "zip that leads out": _named("../../evil.dcm"),
    "zip that leads out by a way round": _named("a/../../b.dcm"),
    "zip that leads out as on windows": _named("..\\..\\evil.dcm"),
    "zip of a path from the root": _named("/etc/cron.d/evil.dcm"),
    "zip of a path from a drive": _named("C:\\evil.dcm"),
    "zip of a name with NUL": lambda: zipped({"nulXx.dcm": dicoms.picture()}).replace(b"nulXx", b"nul\0x"),
    "zip of a link": _link,
    "zip that inflates to 256 MiB": lambda: _grown(256 * MEBIBYTE),
    "zip that inflates to more than it says": lambda: _grown(64 * MEBIBYTE, 1000),
    "zip that inflates to less than it says": lambda: _grown(1000, 64 * MEBIBYTE),
    "zip of entries over each other": lambda: _overlapping(1000),
    "zip of 20000 entries": lambda: zipped({f"{number}": b"" for number in range(20_000)}, ZIP_STORED),
    "zip with a password": lambda: _flagged(1),
    "zip with strong encryption": lambda: _flagged(0x41),
    "zip in bzip2": lambda: zipped({"a.dcm": dicoms.picture()}, ZIP_BZIP2),
    "zip in lzma": lambda: zipped({"a.dcm": dicoms.picture()}, ZIP_LZMA),
    "zip in a zip": lambda: zipped({"a.zip": series()}),
    "zip in a zip in a zip": lambda: zipped({"a.zip": zipped({"b.zip": zipped({"c.zip": b"PK"})})}),
    "zip of nothing": lambda: zipped({}),
    "zip of a folder": lambda: zipped({"folder/": b""}),
    "zip of texts": lambda: zipped({f"{CANARY}.txt": CANARY.encode() * 10}),
    "zip of 9999 texts": lambda: zipped({f"{number}.txt": b"x" for number in range(9999)}),
    "zip of a picture and a series": lambda: zipped({"a.png": pngs.picture(), "b.dcm": dicoms.picture()}),
    "zip of two series": lambda: zipped(
        {"a.dcm": _slice(0), "b.dcm": dicoms.written(dicoms.dataset(SeriesInstanceUID="9.9", Modality="MR"))}
    ),
    "zip of a dicom that deflates to 256 MiB": lambda: zipped(
        {"a.dcm": dicoms.REFUSED["dicom that deflates to 256 MiB"]()}
    ),
    "zip of a dicom nested 1000 deep": lambda: zipped({"a.dcm": dicoms.nested(1000)}),
    "zip of a nifti with NaN": lambda: zipped({"a.nii": volumes.REFUSED["nifti with NaN"]()}),
    "zip of a png that is huge": lambda: zipped({"a.png": pngs.REFUSED["png of 20000 x 20000"]()}),
    "zip whose directory is noise": lambda: changed(_dense(), _dense().find(CENTRAL), b"PK\1\3"),
    "zip whose directory lies beyond its end": lambda: zipped({"a": b"b"})[:-6] + b"\xff\xff\xff\x7f\0\0",
    "zip of 65535 entries that are not there": lambda: _end(65_535, 0, 0),
    "zip of pixels that fail their checksum": lambda: changed(
        zipped({"a.dcm": dicoms.picture()}, ZIP_STORED), 700, CANARY.encode()
    ),
}
ODD: Files = {
    "zip with a patient's name on it": series,
    "zip with what a mac brings along": lambda: zipped(
        {"__MACOSX/._a.dcm": b"\0" * 100, ".DS_Store": b"\0", "a.dcm": dicoms.picture(), "DICOMDIR": b"\0" * 200}
    ),
    "zip with a program before it": lambda: b"\x7fELF" + b"\0" * 200 + series(),
    "zip with a comment": lambda: series()[:-2] + b"\x0c\0" + CANARY.encode(),
}
