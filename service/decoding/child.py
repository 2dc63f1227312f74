"""The life of one decoding process: a file in, an image or an error out, until the service goes away."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from service.decoding.channel import BEGUN, Json, receive_request, send_reply, shared
from service.decoding.parcel import packed
from service.errors import InputError
from service.image import Image

Reader = Callable[[bytes, Any], Image]

# How OpenCV numbers its want of memory.
CV_NO_MEMORY = -4
ERROR_FIELDS = ("found", "wanted", "remedy", "code")


def serve(channel: socket.socket, read: Reader) -> None:
    """Answer every request on the channel; return when the service closes it."""
    with channel.makefile("rb") as requests:
        while _answered(channel, requests, read):
            pass


def _answered(channel: socket.socket, requests: BinaryIO, read: Reader) -> bool:
    """Answer one request, False when there is none any more. Nothing of its file is kept until the next one comes."""
    request = receive_request(requests)
    if request is None:
        return False
    channel.sendall(BEGUN)
    _reply(channel, read, *request)
    return True


def _reply(channel: socket.socket, read: Reader, content: bytes, options: object) -> None:
    head, memory = _decoded(read, content, options)
    try:
        send_reply(channel, head, memory)
    finally:
        if memory is not None:
            os.close(memory)


def _decoded(read: Reader, content: bytes, options: object) -> tuple[Json, int | None]:
    try:
        head, pieces = packed(read(content, options))
        return head, shared(pieces)
    except BaseException as error:  # the last place before the process border: whatever it is, it must be told
        return _told(error), None


def _told(error: BaseException) -> Json:
    if any(_wants_memory(one) for one in _behind(error)):
        return {"failed": "memory"}
    if isinstance(error, InputError):
        return {"failed": "input", "kind": type(error).__name__} | {one: getattr(error, one) for one in ERROR_FIELDS}
    return {"failed": "unexpected", "kind": type(error).__name__, "place": _place(error)}


def _wants_memory(error: BaseException) -> bool:
    codes = getattr(error, "code", None), getattr(error, "errno", None)
    return isinstance(error, MemoryError) or codes[0] == CV_NO_MEMORY or codes[1] in (errno.ENOMEM, errno.EFBIG)


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those it came from: readers turn whatever a decoder throws into an error of ours."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _place(error: BaseException) -> str:
    """Module and line; never the message, which may quote the file."""
    trace, place = error.__traceback__, "unknown"
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__', 'unknown')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
