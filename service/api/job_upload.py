"""The body of ``POST /jobs``: a multipart form of any size, its files put on disk while they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.api.spool import Spool
from service.errors import BadParameter, InputError, UnknownFormat
from service.jobs.intake import IntakeLimits

FILES = "files"
MAX_FIELDS = 256
MAX_FIELD_BYTES = 4 * 1024


@dataclass(frozen=True)
class Part:
    """One file of the form: what its sender calls it, and where in the spool it lies."""

    name: str
    start: int
    size: int


@dataclass
class Form:
    """What a form has brought so far."""

    files: list[Part] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)


async def read_form(content_type: str, pieces: AsyncIterator[bytes], spool: Spool, check: Callable[[], None]) -> Form:
    """The form that ``pieces`` make up, its files in ``spool``.

    ``check`` is called in a thread of its own each time something was put on disk. Raises UnknownFormat for another
    content type, BadParameter for a form that is none, and what ``check`` raises.
    """
    parser = _Parser(_boundary(content_type), spool)
    async for piece in pieces:
        parser.feed(piece)
        if spool.is_due:
            await asyncio.to_thread(_flush, spool, check)
    form = parser.end()
    await asyncio.to_thread(_flush, spool, check)
    return form


def _flush(spool: Spool, check: Callable[[], None]) -> None:
    spool.flush()
    check()


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnknownFormat(
            f"content type {kind[:60].decode('latin-1')!r}",
            f"multipart/form-data with fields named {FILES}",
            f"With curl write -F {FILES}=@a.png -F {FILES}=@b.png, or send a zip the same way.",
        )
    if not options.get(b"boundary"):
        raise _unreadable("no boundary")
    return options[b"boundary"]


class _Parser:
    """Listens to python-multipart and sorts what it hears into files and fields."""

    def __init__(self, boundary: bytes, spool: Spool) -> None:
        self._form, self._spool = Form(), spool
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = bytearray(), bytearray()
        # Where the file at hand begins, None in a field; what the field at hand holds.
        self._start: int | None = None
        self._text = bytearray()
        self._about: dict[bytes, bytes] = {}
        self._ended = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise _unreadable(str(error)) from error

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body. Raises BadParameter."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _unreadable(str(error)) from error

    def end(self) -> Form:
        """The whole form. Raises BadParameter where its end is missing."""
        if not self._ended:
            raise _unreadable("no end")
        return self._form

    def _callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._close,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers = {}
        # Zips among them count for more than one; that is seen later.
        IntakeLimits().check(len(self._form.files), 0)

    def _header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _open(self) -> None:
        _, self._about = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._text = bytearray()
        self._start = self._spool.size if b"filename" in self._about else None
        field_name = self._field_name()
        if not field_name or (self._start is not None and field_name != FILES):
            raise BadParameter(
                f"a {'file' if self._start is not None else 'part'} in field {field_name[:40]!r}",
                f"files in fields named {FILES}",
                f"With curl write -F {FILES}=@a.png -F {FILES}=@b.png.",
                "bad_file_field",
            )

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._start is not None:
            self._spool.append(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MAX_FIELD_BYTES or len(self._form.fields) >= MAX_FIELDS:
            raise BadParameter(
                f"more than {MAX_FIELD_BYTES} bytes in a field, or more than {MAX_FIELDS} fields",
                "short parameters",
                f"Send files with a file name, in fields named {FILES}.",
                "bad_multipart",
            )

    def _close(self) -> None:
        if self._start is None:
            self._form.fields.append((self._field_name(), _text(bytes(self._text))))
            return
        name = _text(self._about[b"filename"])
        self._form.files.append(Part(name, self._start, self._spool.size - self._start))

    def _field_name(self) -> str:
        return _text(self._about.get(b"name", b""))

    def _finish(self) -> None:
        self._ended = True


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _unreadable(why: str) -> InputError:
    return BadParameter(
        f"a multipart body that cannot be read: {why}",
        "parts as RFC 7578 describes them",
        "Let the client library write the body, as curl -F does.",
        "bad_multipart",
    )
