"""Reading a request's body within bounds: bytes counted while they come, silence limited, nothing put on disk."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from service.errors import BadParameter, InputError, TooLarge, UnknownFormat, UnusableImage, counted
from service.formats.archive import bundled
from service.formats.dicom_parse import is_dicom

# Boundaries, part headers and parameters around a multipart file.
MULTIPART_OVERHEAD = 512 * 1024
MAX_FIELDS = 64
# The slices of a series may come one by one; each brings a part header.
MAX_FILES = 1024
MAX_FIELD_BYTES = 4 * 1024
SMALLER = "Send a smaller or better compressed picture, or a volume to POST /jobs."
RAW_TYPES = (
    "image/",
    "application/octet-stream",
    "application/dicom",
    "application/gzip",
    "application/nifti",
    "application/nrrd",
    "application/x-gzip",
    "application/x-nifti",
    "application/x-nrrd",
    "application/x-zip-compressed",
    "application/zip",
)


@dataclass(frozen=True)
class Upload:
    """One received picture, undecoded, and the form fields that came with it. A series of files travels as one zip."""

    content: bytes
    fields: tuple[tuple[str, str], ...] = ()


class _InMemory(MultiPartParser):
    """Starlette's own parser, kept from spooling to a temporary file: a picture of a patient stays off the disk."""

    spool_max_size = sys.maxsize


async def receive(request: Request, max_bytes: int, patience: float) -> Upload:
    """The one picture of a request, multipart or raw. Raises the InputError that says what is wrong with it.

    Args:
        request: whose body was not read yet.
        max_bytes: largest picture.
        patience: longest silence between two pieces, in seconds.
    """
    kind = _content_type(request.headers)
    if kind == "multipart/form-data":
        upload = await _multipart(request, received(request, max_bytes + MULTIPART_OVERHEAD, patience))
    elif not kind or kind.startswith(RAW_TYPES):
        upload = Upload(b"".join([piece async for piece in received(request, max_bytes, patience)]))
    else:
        raise UnknownFormat(
            f"content type {kind[:60]!r}",
            "multipart/form-data with a field named file, image/*, application/dicom, zip, gzip or octet-stream",
            "With curl write -F file=@picture.png, or --data-binary @picture.png -H 'Content-Type: image/png'.",
        )
    if not upload.content:
        raise UnusableImage("an empty file", "a picture", "Send the picture's bytes.", "empty_body")
    if len(upload.content) > max_bytes:
        raise _too_large(len(upload.content), max_bytes, SMALLER)
    return upload


async def received(
    request: Request, max_bytes: int, patience: float, advice: str = SMALLER
) -> AsyncGenerator[bytes, None]:
    """The body piece by piece. Raises TooLarge, UnknownFormat for a compressed one, InputError after a long silence.

    ``advice``: what to do with a body that is too large.
    """
    _check_headers(request.headers, max_bytes, advice)
    pieces, count = request.stream(), 0
    while True:
        try:
            async with asyncio.timeout(patience):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise InputError(
                f"silence of {patience:g} seconds in the middle of the upload",
                "the rest of it",
                "Send it again over a steadier connection.",
                "upload_timeout",
            ) from error
        if piece is None:
            return
        count += len(piece)
        if count > max_bytes:
            raise _too_large(count, max_bytes, advice)
        yield piece


def _check_headers(headers: Headers, max_bytes: int, advice: str) -> None:
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnknownFormat(
            f"content encoding {encoding[:40]!r}",
            "a body that is not compressed once more",
            "Send the file as it is; picture formats are compressed already.",
            "unsupported_encoding",
        )
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(int(length), max_bytes, advice)


def _content_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(count: int, max_bytes: int, advice: str) -> TooLarge:
    return TooLarge(f"at least {count} bytes", f"at most {max_bytes} bytes", advice)


async def _multipart(request: Request, pieces: AsyncGenerator[bytes, None]) -> Upload:
    parser = _InMemory(
        request.headers, pieces, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadParameter(
            f"a multipart body that cannot be read: {error.message}",
            "parts as RFC 7578 describes them",
            "Let the client library write the body, as curl -F does.",
            "bad_multipart",
        ) from error
    try:
        return _upload(form)
    finally:
        await form.close()


def _upload(form: FormData) -> Upload:
    files = [(name, part) for name, part in form.multi_items() if isinstance(part, UploadFile)]
    fields = tuple((name, part) for name, part in form.multi_items() if isinstance(part, str))
    contents = [part.file.read() for _, part in files]
    several = len(files) > 1 and all(is_dicom(content) for content in contents)
    if {name for name, _ in files} != {"file"} or not (len(files) == 1 or several):
        raise BadParameter(
            _counted_files([name[:40] for name, _ in files]),
            "one file in a field named file, or the DICOM slices of one series in as many of them",
            "Send one picture per request, with a file name, as curl -F file=@picture.png does.",
            "bad_file_field",
        )
    return Upload(bundled(contents) if several else contents[0], fields)


def _counted_files(fields: list[str]) -> str:
    named = sorted(set(fields))
    where = f" in field{'s' if len(named) > 1 else ''} {', '.join(named)}" if named else ""
    return counted(len(fields), "file") + where
