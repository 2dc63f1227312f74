"""Around other people's decoders: whatever they throw, warn or say becomes one clean error, and nothing is printed.

Decoders meet hostile bytes with more kinds of exception than they document, and their texts may quote the file; so all
are caught here and only here.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import InputError, TooLarge, UnusableImage

_LOCK = threading.Lock()
_inside = 0
_before: warnings.catch_warnings[None] | None = None

# Their messages quote values of the file. Nibabel's logger writes to stderr by itself.
logging.getLogger("pydicom").propagate = False
logging.getLogger("nibabel.global").disabled = True


@contextmanager
def decoding(kind: str) -> Iterator[None]:
    """Whatever is thrown inside becomes UnusableImage with code ``malformed``; our own errors pass as they are."""
    try:
        with quiet():
            yield
    except InputError:
        raise
    except MemoryError:
        raise TooLarge(
            f"a {kind} file that needs more memory than there is", "a smaller one", "Send it in parts."
        ) from None
    except Exception:
        raise malformed(kind) from None


def malformed(kind: str, found: str = "that cannot be decoded") -> UnusableImage:
    """The error for a broken file of that kind."""
    return UnusableImage(
        f"a {kind} file {found}", "a well-formed file", "Export it anew and send that.", code="malformed"
    )


def truncated(kind: str) -> UnusableImage:
    """The error for a file of that kind whose end is missing."""
    return UnusableImage(f"a {kind} file that ends early", "a whole file", "Send the file again.", "truncated")


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings while any thread is inside. Filters belong to the whole process: the last one out restores them."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _before
    with _LOCK:
        if _inside == 0:
            _before = warnings.catch_warnings()
            _before.__enter__()
            warnings.simplefilter("ignore")
        _inside += 1


def _leave() -> None:
    global _inside, _before
    with _LOCK:
        _inside -= 1
        if _inside == 0 and _before is not None:
            _before.__exit__(None, None, None)
            _before = None
