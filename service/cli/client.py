"""A client of a running service: what ``breast-cascade jobs`` speaks."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.errors import CapacityError, InputError, SetupError
from service.jobs.model import FINAL_JOB_STATES

PATIENCE_S = 60.0
PIECE = 1 << 20
# A connection may break at any moment; with its Idempotency-Key a job can be sent again without making two.
PAUSES_S = (1.0, 2.0, 4.0)
# Between two tries to follow a job; how long a service may be away meanwhile: it restarts, or its host does.
RECONNECT_S = (1.0, 2.0, 4.0, 8.0, 10.0)
PATIENT_S = 600.0
Job = dict[str, Any]
Sent = Callable[[int], None]


@dataclass(frozen=True)
class Server:
    """A service and the key for it. Each method raises InputError, CapacityError or SetupError in its words."""

    url: str
    key: str | None = None

    def get(self, path: str, **query: object) -> Any:
        """The JSON at an address."""
        with self._answer("GET", path, params=query) as answer:
            return _json(answer)

    def post(self, path: str) -> Any:
        """The JSON that a post without a body gives."""
        with self._answer("POST", path) as answer:
            return _json(answer)

    def delete(self, path: str) -> None:
        """Remove what is at an address."""
        with self._answer("DELETE", path):
            return

    def submit(self, files: Sequence[tuple[str, Path]], fields: Sequence[tuple[str, str]], sent: Sent) -> Job:
        """The job made of (name, file) pairs; ``sent`` is told how many bytes have gone out since the last call."""
        form, key = Form.of(files, fields), secrets.token_hex(16)
        for pause in PAUSES_S:
            try:
                return self._post_form(form, key, sent)
            except Unreachable:
                time.sleep(pause)
            except InputError as error:
                # The first try is still arriving there, its connection broken.
                if error.code != "idempotency_receiving":
                    raise
                time.sleep(pause)
        return self._post_form(form, key, sent)

    def download(self, path: str, target: Path) -> None:
        """Write what is at an address to a file, whole or not at all."""
        part = target.with_name(f".{target.name}.part")
        try:
            with self._answer("GET", path) as answer, part.open("wb") as sink:
                for piece in answer.iter_raw(PIECE):
                    sink.write(piece)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def events(self, job_id: str) -> Iterator[Job]:
        """A job each time it changes, to its end; connects again where the connection breaks or the service restarts.

        Raises CapacityError once there has been no answer for `PATIENT_S`: the job goes on all the same.
        """
        seen, heard, pauses = "", time.monotonic(), iter(RECONNECT_S)
        while True:
            error = None
            try:
                for job in self._news(job_id, seen):
                    seen, pauses = str(job["seq"]), iter(RECONNECT_S)
                    yield job
                    if job["state"] in FINAL_JOB_STATES:
                        return
                # One that is stopping ends its streams.
                heard = time.monotonic()
            except (Unreachable, CapacityError) as caught:
                error = caught
            if error is not None and time.monotonic() - heard > PATIENT_S:
                raise _gone(self.url, job_id) from error
            time.sleep(next(pauses, RECONNECT_S[-1]))

    def _news(self, job_id: str, seen: str) -> Iterator[Job]:
        headers = {"Last-Event-ID": seen} if seen else {}
        with self._answer("GET", f"/jobs/{job_id}/events", headers=headers) as answer:
            yield from _data(answer.iter_lines())

    def _post_form(self, form: Form, key: str, sent: Sent) -> Job:
        headers = {"Idempotency-Key": key, **form.headers}
        with self._answer("POST", "/jobs", headers=headers, content=form.pieces(sent)) as answer:
            job: Job = _json(answer)
            return job

    @contextmanager
    def _answer(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        try:
            with (
                httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=_is_elsewhere(self.url)) as client,
                client.stream(method, path, headers=headers, **options) as answer,
            ):
                if answer.is_error:
                    answer.read()
                    raise _refused(answer)
                yield answer
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"no answer from {self.url} ({type(error).__name__})",
                "a running service",
                "Check --url, and that `breast-cascade serve` runs there.",
                "unreachable",
            ) from error


def _gone(url: str, job_id: str) -> CapacityError:
    return CapacityError(
        f"no answer from {url} any more",
        "the service that has the job",
        f"The job goes on when it is back; `breast-cascade jobs watch {job_id}` then shows it.",
        "unreachable",
        retry_after=int(RECONNECT_S[-1]),
    )


class Unreachable(SetupError):
    """The service does not answer."""


@dataclass(frozen=True)
class Form:
    """A multipart form that is read from its files while it is sent: none is in memory, none is open for long."""

    parts: tuple[tuple[bytes, Path | None], ...]
    boundary: str

    @staticmethod
    def of(files: Sequence[tuple[str, Path]], fields: Sequence[tuple[str, str]]) -> Form:
        """The form of (name, text) fields and (name, file) pairs, the latter in fields named ``files``."""
        boundary = secrets.token_hex(16)
        said = [(_head(boundary, f'name="{name}"') + text.encode() + b"\r\n", None) for name, text in fields]
        sent = [(_head(boundary, f'name="files"; filename="{_quoted(name)}"'), path) for name, path in files]
        return Form((*said, *sent, (f"--{boundary}--\r\n".encode(), None)), boundary)

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return sum(len(head) + (path.stat().st_size + 2 if path else 0) for head, path in self.parts)

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP says of it."""
        kind = f"multipart/form-data; boundary={self.boundary}"
        return {"Content-Type": kind, "Content-Length": str(self.size)}

    def pieces(self, sent: Sent) -> Iterator[bytes]:
        """The bytes."""
        for head, path in self.parts:
            yield head
            if path is None:
                continue
            with path.open("rb") as stream:
                while piece := stream.read(PIECE):
                    yield piece
                    sent(len(piece))
            yield b"\r\n"


def _head(boundary: str, disposition: str) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()


def _quoted(name: str) -> str:
    # As browsers write it (WHATWG); a name that the file system gave in no known encoding keeps what can be read of it.
    readable = os.fsencode(name).decode("utf-8", "replace")
    return readable.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _data(lines: Iterator[str]) -> Iterator[Job]:
    for line in lines:
        name, _, value = line.partition(":")
        if name == "data":
            yield json.loads(value)


def _json(answer: httpx.Response) -> Any:
    try:
        return json.loads(answer.read())
    except ValueError as error:
        raise _foreign(answer) from error


def _foreign(answer: httpx.Response) -> SetupError:
    return SetupError(
        f"status {answer.status_code} and an answer that Breast Cascade does not give",
        "a running service of Breast Cascade",
        "Check --url.",
        "unreachable",
    )


def _refused(answer: httpx.Response) -> Exception:
    try:
        body = answer.json()
        words = tuple(str(body[name]) for name in ("found", "wanted", "remedy", "code"))
    except (ValueError, KeyError, TypeError):
        return _foreign(answer)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return SetupError(words[0], words[1], "Name the file that holds your key: --key-file FILE.", words[3])
    if answer.is_client_error and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
        return InputError(*words)
    wait = answer.headers.get("Retry-After", "")
    return CapacityError(*words, retry_after=int(wait) if wait.isdecimal() else None)


def _is_elsewhere(url: str) -> bool:
    # A proxy from the environment has no business between two processes of one computer.
    return httpx.URL(url).host not in ("127.0.0.1", "localhost", "::1")


def read_key(file: Path | None) -> str | None:
    """The key in a file. Raises SetupError."""
    if file is None:
        return None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{file}: no readable file", "a file that holds the key", "Mend --key-file.") from error
    if not key or not key.isascii() or not key.isprintable():
        raise SetupError(f"{file}: no key in it", "one line with the key", "Mend --key-file.")
    return key
