"""What a file was refused for, in words: what the reader said, or what became of the process that read it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from service.decoding.bounds import MEBIBYTE, Bounds
from service.decoding.channel import Broken, Json
from service.errors import InputError, TooLarge, UnusableImage

LOGGER = logging.getLogger("breast_cascade")
# After these nobody knows what state a process is in.
WEARING = ("memory", "unexpected")
EXPORT_ANEW = "Open it in the program it came from, export it anew and send that."


def crashed() -> UnusableImage:
    """The decoding process died."""
    return UnusableImage("a file on which its decoder crashed", "a well-formed file", EXPORT_ANEW, "decoder_crash")


def too_slow(bounds: Bounds) -> UnusableImage:
    """The decoding process was stopped."""
    return UnusableImage(
        f"a file whose decoding was stopped after {bounds.seconds:g} s",
        "one that is decoded within that time",
        "Send it in a lower resolution, in parts, or with a simpler compression.",
        "decoder_timeout",
    )


def too_hungry(bounds: Bounds) -> TooLarge:
    """The decoding process reached its limit of memory."""
    return TooLarge(
        f"a file whose decoding takes more than {bounds.memory // MEBIBYTE} MiB of memory",
        "one that is decoded with less",
        "Send it in a lower resolution or in parts.",
        "decoder_memory",
    )


def told(head: Json, bounds: Bounds) -> InputError:
    """The error that a reply tells of. Raises Broken where it tells none."""
    failed = head["failed"]
    if failed == "memory":
        return too_hungry(bounds)
    if failed == "unexpected":
        LOGGER.error("decoder_error", extra={"fields": {name: str(head.get(name))[:100] for name in ("kind", "place")}})
        return UnusableImage("a file that cannot be decoded", "a well-formed file", EXPORT_ANEW, "malformed")
    return _of_reader(head)


def _of_reader(head: Json) -> InputError:
    kinds = {kind.__name__: kind for kind in _descent(InputError)}
    texts = [head.get(name) for name in ("found", "wanted", "remedy", "code")]
    if head.get("kind") not in kinds or not all(isinstance(text, str) for text in texts):
        raise Broken
    return kinds[head["kind"]](*map(str, texts))


def _descent(kind: type[InputError]) -> Iterator[type[InputError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _descent(child)
