"""Files that are there whole or not at all, and disks that are full: what every preparation needs."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MEGABYTE = 10**6
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half; folders are made. Raises OSError that names the file."""
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial, content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a file. Raises OSError that says which, and on a full disk what to do."""
    try:
        path.write_bytes(content)
    except OSError as error:
        full = error.errno in FULL
        remedy = "Free some space and run again: what is finished is kept." if full else "Choose another folder."
        wanted = f"room for {len(content)} bytes" if full else "a place to write"
        raise OSError(error.errno, f"Found {error.strerror} at {path}; wanted {wanted}. {remedy}") from error


@contextmanager
def room_on(folder: Path) -> Iterator[None]:
    """Whatever finds the disk of ``folder`` full inside is told as one OSError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or str(error.strerror).startswith("Found"):
            raise
        raise OSError(
            error.errno,
            f"Found {error.strerror} in {folder}; wanted room on its disk. What was saved before is whole: free some "
            "space and go on with --resume.",
        ) from error


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises OSError when the disk of ``folder``, which exists, has fewer than ``needed`` bytes free for ``what``."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"Found {free / MEGABYTE:.0f} MB free in {folder}; wanted {needed / MEGABYTE:.0f} MB for {what}. "
            "Free some space and run again: what is finished is kept.",
        )


def png(plane: NDArray[Any]) -> bytes:
    """A grey picture uint8 or uint16 (height, width) as PNG."""
    return cv2.imencode(".png", np.ascontiguousarray(plane))[1].tobytes()
