"""What every part of the corpus uses. Files are drawn by code when they are asked for: none lies in the tree."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping

Files = Mapping[str, Callable[[], bytes]]

# Stands in every text of every file; nobody may ever read it again.
CANARY = "ZZPHI^CANARY"
MEBIBYTE = 1 << 20


def truncations(name: str, whole: Callable[[], bytes]) -> dict[str, Callable[[], bytes]]:
    """The file cut off at every tenth of its length."""
    return {f"{name} cut at {tenth}0 %": functools.partial(_cut, whole, tenth) for tenth in range(1, 10)}


def _cut(whole: Callable[[], bytes], tenth: int) -> bytes:
    content = whole()
    return content[: len(content) * tenth // 10]


def changed(content: bytes, at: int, new: bytes) -> bytes:
    """The content with other bytes at one place."""
    return content[:at] + new + content[at + len(new) :]


@functools.cache
def zeros(size: int, window: int = zlib.MAX_WBITS) -> bytes:
    """``size`` zero bytes, compressed to a thousandth. ``window`` as zlib counts it: 15, -15 bare, 31 for gzip."""
    stream = zlib.compressobj(9, zlib.DEFLATED, window)
    pieces = [stream.compress(b"\0" * min(MEBIBYTE, size - at)) for at in range(0, size, MEBIBYTE)]
    return b"".join(pieces) + stream.flush()
