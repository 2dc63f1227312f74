"""Access keys: a file of ``owner:sha256-of-key`` lines, so that whoever reads it still holds no key.

A key is 256 random bits, which no dictionary holds: a plain digest of it needs neither salt nor a slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.errors import BadParameter, BreastCascadeError, SetupError
from service.log import event

OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
PREFIX = "bck_"
KEY_BYTES = 32
HEADER = "# Access keys of Breast Cascade, one a line: owner:sha256-of-key. See breast-cascade keys --help.\n"


@dataclass(frozen=True)
class Entry:
    """One key: whose it is, and its SHA-256 in hexadecimal digits."""

    owner: str
    digest: str


class Keys:
    """The keys of one file, read again whenever the file changes.

    Raises SetupError when it cannot be used at the start. One that cannot be used later lets nobody in until it is
    mended: an old copy would keep a key alive that was just taken away.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _state(path)
        self._entries = read_keys(path)
        if _readable_by_others(path):
            event("warning", "access_keys_readable", meaning="others on this computer can read the digests of the keys")

    def owner(self, key: str) -> str | None:
        """Whose key this is, None for nobody's. Takes the same time wherever in the file it stands."""
        digest = digest_of(key)
        owner = None
        for entry in self._current():
            if hmac.compare_digest(entry.digest, digest):
                owner = entry.owner
        return owner

    def _current(self) -> Sequence[Entry]:
        seen = _state(self._path)
        if seen != self._seen:
            self._seen, self._entries = seen, _read_or_none(self._path)
        return self._entries


def digest_of(key: str) -> str:
    """What the file holds of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(path: Path) -> tuple[Entry, ...]:
    """All entries of a file. Raises SetupError for a file that is missing, malformed, empty or writable by others."""
    _check_mode(path)
    entries = tuple(_entry(path, line, number) for number, line in _entry_lines(_text(path)))
    if not entries:
        raise _unusable(path, "no key", "at least one line owner:sha256-of-key")
    return entries


def add_key(path: Path, owner: str) -> str:
    """A new key for ``owner``, its digest added to the file; the key itself is kept nowhere.

    Raises BadParameter for a name that cannot be one, SetupError when the file cannot be used.
    """
    if not OWNER.fullmatch(owner):
        raise BadParameter(
            f"the name {owner[:80]!r}",
            "1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first",
            "Choose another name.",
        )
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    if path.exists():
        _check_mode(path)
    before = _text(path) if path.exists() else HEADER
    ended = before if before.endswith("\n") or not before else f"{before}\n"
    _replace(path, f"{ended}{owner}:{digest_of(key)}\n")
    return key


def remove_keys(path: Path, owner: str) -> int:
    """Take all keys of ``owner`` out of the file; how many. Raises SetupError when the file cannot be used."""
    _check_mode(path)
    text = _text(path)
    gone = {number for number, line in _entry_lines(text) if _entry(path, line, number).owner == owner}
    kept = [line for number, line in enumerate(text.splitlines(keepends=True), 1) if number not in gone]
    if gone:
        _replace(path, "".join(kept))
    return len(gone)


def _entry_lines(text: str) -> list[tuple[int, str]]:
    lines = ((number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line]


def _entry(path: Path, line: str, number: int) -> Entry:
    owner, _, digest = (part.strip() for part in line.partition(":"))
    # The line itself is not repeated: somebody may have written a key into it.
    if not OWNER.fullmatch(owner) or not DIGEST.fullmatch(digest.lower()):
        raise _unusable(path, f"another shape in line {number}", "owner:sha256-of-key, 64 hexadecimal digits")
    return Entry(owner, digest.lower())


def _read_or_none(path: Path) -> tuple[Entry, ...]:
    try:
        return read_keys(path)
    except BreastCascadeError as error:
        event("error", "access_keys_unusable", code=error.code, meaning="nobody is let in until the file is mended")
        return ()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise _unusable(path, f"a file that cannot be read ({reason})", "a readable file") from error


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def _check_mode(path: Path) -> None:
    """Who may write the file may give himself a key."""
    state = _state(path)
    if state is not None and state[-1] & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(path, "a file that others may write", "one that its owner alone may", "Run chmod go-w on it.")


def _readable_by_others(path: Path) -> bool:
    state = _state(path)
    return state is not None and bool(state[-1] & (stat.S_IRGRP | stat.S_IROTH))


def _replace(path: Path, text: str) -> None:
    """The whole new text or the old one, whatever happens, and readable by its owner alone."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise _unusable(path, f"a file that cannot be written ({error.strerror})", "a writable folder") from error


def _unusable(path: Path, found: str, wanted: str, remedy: str = "") -> SetupError:
    advice = remedy or "Mend the file, or make a key with: breast-cascade keys add NAME --file FILE."
    return SetupError(f"{path}: {found}", wanted, advice, "bad_access_keys")
