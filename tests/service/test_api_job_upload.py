"""The form of a job: files of any size on their way to the disk, whatever pieces they come in."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.job_upload import MAX_FIELD_BYTES, MAX_FIELDS, Form, read_form
from service.api.spool import PIECE, Spool
from service.errors import BadParameter, DiskFull, TooLarge, UnknownFormat

KIND = "multipart/form-data; boundary=xyz"


def part(disposition: str, content: bytes) -> bytes:
    head = f"--xyz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def file(name: str, content: bytes, field: str = "files") -> bytes:
    return part(f'name="{field}"; filename="{name}"', content)


END = b"--xyz--\r\n"


def read(body: bytes, spool: Spool, size: int = 1 << 16, kind: str = KIND) -> Form:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return asyncio.run(read_form(kind, pieces(), spool, lambda: None))


def contents(form: Form, spool: Spool) -> list[tuple[str, bytes]]:
    return [(one.name, spool.part(one.start, one.size).read()) for one in form.files]


@given(
    st.lists(st.binary(max_size=300) | st.just(b"\r\n--xy") | st.just(b"\r\n"), max_size=4),
    st.integers(min_value=1, max_value=400),
)
def test_files_come_back_as_they_were_sent(files: list[bytes], size: int) -> None:
    spool = Spool(Path("/tmp"))
    body = b"".join(file(f"{n}.png", content) for n, content in enumerate(files))
    form = read(body + part('name="pipeline"', b"tiny") + END, spool, size)
    assert contents(form, spool) == [(f"{n}.png", content) for n, content in enumerate(files)]
    assert form.fields == [("pipeline", "tiny")]
    spool.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "incoming")
    yield spool
    spool.close()


def test_nothing_has_a_name_on_disk_and_little_is_in_memory(spool: Spool, tmp_path: Path) -> None:
    body = file("big.bin", os.urandom(3 * PIECE)) + file("b", b"x") + END
    form = read(body, spool)
    assert [one.size for one in form.files] == [3 * PIECE, 1]
    assert not spool.is_due
    assert list((tmp_path / "incoming").iterdir()) == []
    assert spool.free() > 0


def test_parts_can_be_sought_in_like_files(spool: Spool) -> None:
    stored = io.BytesIO()
    with ZipFile(stored, "w") as archive:
        archive.writestr("a", b"one")
    form = read(file("before", b"123") + file("a.zip", stored.getvalue()) + file("after", b"456") + END, spool)
    stream = spool.part(form.files[1].start, form.files[1].size)
    with ZipFile(stream) as archive:
        assert archive.read("a") == b"one"
    assert stream.seek(0, os.SEEK_END) == len(stored.getvalue())
    assert stream.read() == b""
    assert stream.seek(-4, os.SEEK_CUR) == len(stored.getvalue()) - 4
    with pytest.raises(OSError, match="before the beginning"):
        stream.seek(-1)


def test_names_keep_what_can_be_read_of_them(spool: Spool) -> None:
    body = file("Aufnahme ä.png", b"1") + file("../x%22.png", b"2") + END
    latin = b'--xyz\r\ncontent-disposition: form-data; name=files; filename="\xe4.png"\r\n\r\n1\r\n'
    assert [one.name for one in read(latin + body, spool).files] == ["�.png", "Aufnahme ä.png", "../x%22.png"]


@pytest.mark.parametrize("kind", ["", "application/json", "image/png", "application/zip"])
def test_other_content_types_are_415(spool: Spool, kind: str) -> None:
    with pytest.raises(UnknownFormat, match="multipart/form-data with fields named files"):
        read(b"", spool, kind=kind)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no end"),
        (b"nonsense", "multipart body that cannot be read"),
        (file("a.png", b"1"), "no end"),
        (file("a.png", b"1")[:-20], "no end"),
        (file("a.png", b"1", "file") + END, "a file in field 'file'"),
        (part('filename="a.png"', b"1") + END, "a file in field ''"),
        (part("", b"1") + END, "a part in field ''"),
        (part('name="a"', b"1" * (MAX_FIELD_BYTES + 1)) + END, "bytes in a field"),
        (part('name="a"', b"1") * (MAX_FIELDS + 1) + END, f"more than {MAX_FIELDS} fields"),
        (b"--xyz\r\n" + b"X: y\r\n" * 100 + b"\r\n" + END, "multipart body that cannot be read"),
    ],
)
def test_bad_forms_say_what_is_wrong(spool: Spool, body: bytes, said: str) -> None:
    with pytest.raises(BadParameter, match=said):
        read(body, spool)


@pytest.mark.parametrize("kind", ["multipart/form-data", f"multipart/form-data; boundary={'x' * 300}"])
def test_a_form_wants_a_boundary(spool: Spool, kind: str) -> None:
    with pytest.raises(BadParameter, match="multipart body that cannot be read"):
        read(b"", spool, kind=kind)


def test_too_many_files_are_refused_while_they_come(spool: Spool) -> None:
    with pytest.raises(TooLarge, match="20001 files; wanted at most 20000"):
        read(file("a", b"") * 20_002, spool, 1 << 20)


def test_what_is_checked_ends_the_upload(spool: Spool) -> None:
    def check() -> None:
        raise DiskFull("a", "b", "Do c.")

    async def pieces() -> AsyncIterator[bytes]:
        yield file("a", b"x" * PIECE)
        raise AssertionError

    with pytest.raises(DiskFull):
        asyncio.run(read_form(KIND, pieces(), spool, check))
