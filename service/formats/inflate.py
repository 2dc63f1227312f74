"""Compressed streams under a cap: as much is inflated as was asked for, and never more."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from service.errors import TooLarge
from service.formats.guard import truncated

GZIP_MAGIC = b"\x1f\x8b"
# Window sizes as zlib counts them: a bare deflate stream, and one in a gzip wrapper.
BARE, GZIP = -zlib.MAX_WBITS, zlib.MAX_WBITS | 16
PIECE, PORTION = 1 << 20, 1 << 16
# What may stand behind the last byte that a header declares.
BEHIND = 1 << 20

Buffer = bytes | memoryview


def beginning(content: bytes, count: int) -> bytes:
    """At most ``count`` bytes of a gzip stream's start; none where it is broken."""
    try:
        return zlib.decompressobj(GZIP).decompress(content, count)
    except zlib.error:
        return b""


def inflated(content: bytes, cap: int, kind: str, wrapper: int = BARE) -> bytes:
    """The whole stream. Raises TooLarge over ``cap`` bytes, UnusableImage when it ends early, zlib.error."""
    stream = zlib.decompressobj(wrapper)
    # One byte more tells a stream that ends at the cap from one that goes on.
    whole = stream.decompress(content, cap + 1)
    if len(whole) > cap:
        raise TooLarge(
            f"a compressed {kind} file that grows beyond {cap} bytes",
            f"at most {cap} bytes",
            "Send it without this compression.",
        )
    if not stream.eof:
        raise truncated(kind)
    return whole


def inflated_range(content: Buffer, start: int, count: int, total: int, kind: str) -> bytearray:
    """Bytes ``start`` to ``start + count`` of a gzip stream, the rest thrown away piece by piece.

    It is inflated to its end, where its checksum stands. Raises UnusableImage when it ends early, TooLarge when it goes
    on far beyond ``total`` bytes, zlib.error when it is broken.
    """
    kept, passed = bytearray(), 0
    for piece in _pieces(content, kind):
        kept += piece[max(0, start - passed) :][: count - len(kept)]
        passed += len(piece)
        if passed > total + BEHIND:
            raise TooLarge(
                f"a compressed {kind} file that goes on beyond its {total} bytes",
                "one that ends where its header says",
                "Save it anew.",
            )
    if len(kept) < count:
        raise truncated(kind)
    return kept


def _pieces(content: Buffer, kind: str) -> Iterator[bytes]:
    """A gzip stream's content, at most PIECE bytes at a time; streams one after the other count as one."""
    stream, view = zlib.decompressobj(GZIP), memoryview(content)
    for at in range(0, len(view), PORTION):
        waiting: Buffer = view[at : at + PORTION]
        while waiting and not (stream.eof and not any(waiting)):
            if stream.eof:
                stream = zlib.decompressobj(GZIP)
            yield stream.decompress(waiting, PIECE)
            waiting = stream.unused_data if stream.eof else stream.unconsumed_tail
    if not stream.eof:
        raise truncated(kind)
