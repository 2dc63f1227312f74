"""Jobs of small pictures, put straight into rows and store, for tests of what works on them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np

from service.jobs.machine import open_rows
from service.jobs.model import JobRow, NewItem, NewJob
from service.jobs.pinned import weights_digest
from service.jobs.rows import Rows
from service.jobs.store import Store, open_store
from service.manifest import read_manifest
from service.settings import Settings
from tests.tiny_pipeline import NAME, VERSION, square


def picture(left: int = 20, side: int = 16) -> bytes:
    """A PNG of 64 x 64 pixels with one bright square."""
    return png(square(left, 20, side))


def png(pixels: np.ndarray) -> bytes:
    """As a PNG file."""
    return bytes(cv2.imencode(".png", pixels)[1])


def opened(settings: Settings) -> tuple[Any, Rows, Store]:
    """(database to close, rows, store) of such settings."""
    database, rows = open_rows(settings)
    return database, rows, open_store(settings.jobs_store)


def order(rows: Rows, store: Store, pipelines: Path, *contents: bytes, **changes: Any) -> JobRow:
    """A job over these files, accepted."""
    job_id = uuid.uuid4().hex
    items = [_item(store, job_id, n, content) for n, content in enumerate(contents)]
    return rows.accept(new_job(pipelines, id=job_id, **changes), items)


def new_job(pipelines: Path, **changes: Any) -> NewJob:
    """A job of the tiny pipeline, answers as JSON and mask."""
    values: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "owner": "",
        "pipeline": NAME,
        "version": VERSION,
        "weights": weights_digest(read_manifest(pipelines / NAME / VERSION)),
        "outputs": ("json", "mask"),
        "parameters": {},
        "fingerprint": "f",
    }
    return NewJob(**{**values, **changes})


def _item(store: Store, job_id: str, n: int, content: bytes) -> NewItem:
    key = f"jobs/{job_id}/{n}/input"
    stored = store.put(key, content)
    return NewItem(f"picture {n}.png", "image", key, stored.sha256, stored.bytes)


def volume(slices: int) -> bytes:
    """A NIfTI volume of 32 x 32 pixels, a bright square in every second slice."""
    stacked = np.zeros((slices, 32, 32), np.uint8)
    stacked[::2] = square(8, 8, 12, 32)
    return bytes(nibabel.Nifti1Image(stacked.transpose(2, 1, 0), np.diag([1.0, 1.0, 2.0, 1.0])).to_bytes())
