"""What tests of the intake share: files that come in, and a look into the store they went to."""

from __future__ import annotations

import hashlib
import io

import numpy as np

from service.jobs.intake import Taken, Upload
from service.jobs.model import NewItem
from service.jobs.store import Store
from tests.service.formats.dicom_files import mr_slices, ramp
from tests.service.formats.pictures import gradient
from tests.service.formats.pictures import saved as picture_saved

PICTURE = picture_saved(gradient(), "PNG")
SLICES = mr_slices(np.stack([ramp(12, 10) + 100 * z for z in range(4)]))
MEGABYTE = 1 << 20


def upload(content: bytes, name: str = "a.png") -> Upload:
    return Upload(name, io.BytesIO(content))


def stored(store: Store, item: NewItem) -> bytes:
    with store.open(item.key) as file:
        content = file.read()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (item.sha256, item.bytes)
    return content


def keys(store: Store) -> list[str]:
    return [one.key for one in store.keys("")]


def problems(taken: Taken) -> list[str | None]:
    return [item.problem.code if item.problem else None for item in taken.items]


def repeated(content: bytes, times: int) -> bytes:
    """A zip whose directory names its one entry so many times."""
    start, end = content.rindex(b"PK\1\2"), content.rindex(b"PK\5\6")
    directory, tail = content[start:end] * times, bytearray(content[end:])
    tail[8:12] = min(times, 0xFFFF).to_bytes(2, "little") * 2
    tail[12:16] = len(directory).to_bytes(4, "little")
    return content[:start] + directory + bytes(tail)
