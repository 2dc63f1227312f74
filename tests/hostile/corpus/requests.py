"""Requests that are wrong before any file is: multipart, lengths, encodings. Each is a whole HTTP message."""

from __future__ import annotations

from collections.abc import Iterable

from tests.hostile.corpus import pngs
from tests.hostile.corpus.common import CANARY, MEBIBYTE, Files, zeros

MULTIPART = "multipart/form-data; boundary=b"
DISPOSITION = b'Content-Disposition: form-data; name="%s"'


def message(body: bytes, kind: str = MULTIPART, *more: str, length: int | str | None = None) -> bytes:
    """POST /segment with this body."""
    lines = ["POST /segment?pipeline=tiny HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *more]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def part(name: str = "file", content: bytes = b"", *headers: bytes, file_name: str | None = f"{CANARY}.png") -> bytes:
    """One part with its boundary before it."""
    first = DISPOSITION % name.encode()
    if file_name is not None:
        first += f'; filename="{file_name}"'.encode()
    return b"--b\r\n" + b"\r\n".join([first, *headers]) + b"\r\n\r\n" + content + b"\r\n"


def _chunked(pieces: Iterable[bytes], *more: str) -> bytes:
    head = message(b"", "image/png", "Transfer-Encoding: chunked", *more).replace(b"Content-Length: 0\r\n", b"")
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


END = b"--b--\r\n"
PICTURE = part(content=pngs.picture())

REFUSED: Files = {
    "multipart without boundary": lambda: message(PICTURE + END, "multipart/form-data"),
    "multipart of another boundary": lambda: message(PICTURE + END, "multipart/form-data; boundary=c"),
    "multipart with a boundary of 10000 letters": lambda: message(END, f"multipart/form-data; boundary={'b' * 10_000}"),
    "multipart without end": lambda: message(part(content=pngs.picture()[:50])),
    "multipart of nothing": lambda: message(b""),
    "multipart of an end alone": lambda: message(END),
    "multipart with a megabyte of dashes": lambda: message(b"--b" + b"-" * MEBIBYTE + b"\r\n" + PICTURE + END),
    "multipart with a megabyte before it": lambda: message(b"\r\n" * (MEBIBYTE // 2) + b"--"),
    "multipart of 100000 part headers": lambda: message(part("file", b"", *[b"X-A: b"] * 100_000) + END),
    "multipart with a header of a megabyte": lambda: message(part("file", b"", b"X-A: " + b"b" * MEBIBYTE) + END),
    "multipart with a file name of a megabyte": lambda: message(part(file_name=CANARY * 90_000) + END),
    "multipart of 20000 parts": lambda: message(part("a", b"b", file_name=None) * 20_000 + END),
    "multipart of 2000 files": lambda: message(part("file", b"x") * 2000 + END),
    "multipart with a field of a megabyte": lambda: message(part("pipeline", b"b" * MEBIBYTE, file_name=None) + END),
    "multipart of a text where the file should be": lambda: message(part(content=b"x", file_name=None) + END),
    "multipart with a header without colon": lambda: message(part("file", b"x", b"no colon here") + END),
    "multipart with NUL in a name": lambda: message(part("fi\0le", b"x") + END),
    "multipart in another multipart": lambda: message(
        part("file", b"--c\r\n\r\nx\r\n--c--", b"Content-Type: multipart/mixed; boundary=c") + END
    ),
    "multipart of two pictures": lambda: message(PICTURE * 2 + END),
    "multipart of a traversal name and no picture": lambda: message(part(content=b"x", file_name="../../etc/x") + END),
    "form in the address": lambda: message(b"file=" + b"a=b&" * 50_000, "application/x-www-form-urlencoded"),
    "body in json": lambda: message(b'{"file":' * 20_000, "application/json"),
    "body compressed once more": lambda: message(zeros(16 * MEBIBYTE, 31), "image/png", "Content-Encoding: gzip"),
    "body of no kind": lambda: message(b"x", "\x7f"),
    "length below nothing": lambda: message(b"x", "image/png", length=-1),
    "length in letters": lambda: message(b"x", "image/png", length="many"),
    "length of a thousand digits": lambda: message(b"x", "image/png", length="9" * 1000),
    "length of a terabyte": lambda: message(b"x", "image/png", length=1 << 40),
    "two lengths": lambda: message(b"x" * 5, "image/png", "Content-Length: 3"),
    "length and chunks": lambda: message(b"5\r\nhello\r\n0\r\n\r\n", "image/png", "Transfer-Encoding: chunked"),
    "100000 chunks of a byte": lambda: _chunked(b"x" for _ in range(100_000)),
    "chunk of 2^64 bytes": lambda: _chunked([]).replace(b"0\r\n\r\n", b"ffffffffffffffff\r\nx\r\n"),
    "chunk of a size that is none": lambda: _chunked([]).replace(b"0\r\n\r\n", b"zz\r\nx\r\n"),
    "1000 headers": lambda: message(b"x", "image/png", *[f"X-{number}: {CANARY}" for number in range(1000)]),
    "10000 parameters": lambda: message(b"x", "image/png").replace(b"?", b"?" + b"box=1&" * 2000, 1),
    "threshold that is no number": lambda: message(b"x", "image/png").replace(b"?", b"?threshold=nan&", 1),
    "address without end": lambda: message(b"x", "image/png").replace(b"?", b"?" + b"a" * 200_000, 1),
}
