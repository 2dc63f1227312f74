"""Bad input: each its documented status and a problem that says what to do; the next request works; no trace stays."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from service.engine import Engine
from service.settings import Settings
from tests.service.asking import EXPECTED, SQUARE, pixels, png, post
from tests.serving import Running, serving

FIELDS = {"type", "title", "status", "detail", "code", "found", "wanted", "remedy"}


def saved(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def declared(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its pixels do not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def animated() -> bytes:
    frames = [Pillow.new("RGB", (64, 64), shade) for shade in ("black", "white")]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])


BAD: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 422, "empty_body"),
    "text": (b"Patient: Jane Doe\n" * 20, 415, "unknown_format"),
    "gif": (saved(Pillow.new("L", (64, 64)), "GIF"), 415, "unknown_format"),
    "pdf": (b"%PDF-1.7\n", 415, "unknown_format"),
    "truncated": (png(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))[:900], 422, "truncated"),
    "one pixel": (png(np.zeros((1, 1), np.uint8)), 422, "too_small"),
    "huge declared": (declared(20_000, 20_000), 413, "too_large"),
    "many bytes": (png(SQUARE) + b"\0" * 250_000, 413, "too_large"),
    "animated": (animated(), 422, "animated"),
}


@pytest.fixture(scope="module")
def watched(tiny_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path, Path]]:
    """A server whose data and temporary directories are looked at."""
    data, temporary = tmp_path_factory.mktemp("watched-data"), tmp_path_factory.mktemp("watched-tmp")
    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    with serving(Settings(data_dir=data, max_bytes=200_000), tiny_engine) as running:
        yield running, data, temporary
    tempfile.tempdir = before


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("way", ["multipart", "raw"])
def test_bad_input(watched: tuple[Running, Path, Path], name: str, way: str) -> None:
    running, data, temporary = watched
    # The rows of jobs lie there from the start.
    before = set(data.rglob("*"))
    content, status, code = BAD[name]
    if way == "raw":
        answer = running.client.post("/segment", content=content, headers={"content-type": "image/png"})
    else:
        answer = post(running.client, content)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == FIELDS
    assert all(problem[field] for field in FIELDS)
    assert "Jane" not in answer.text
    assert "scan" not in answer.text
    assert post(running.client).status_code == 200
    assert (set(data.rglob("*")), list(temporary.iterdir())) == (before, [])


GOOD = {
    "wrong extension": (saved(Pillow.fromarray(SQUARE).convert("RGB"), "BMP"), "scan.png"),
    "no extension": (png(SQUARE), "scan"),
    "cmyk": (saved(Pillow.fromarray(SQUARE).convert("CMYK"), "JPEG", quality=100, subsampling=0), "scan.jpg"),
    "palette": (saved(Pillow.fromarray(SQUARE).convert("P"), "PNG"), "scan.png"),
    "alpha": (saved(Pillow.fromarray(SQUARE).convert("RGBA"), "PNG"), "scan.png"),
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_but_good_input(tiny_client: httpx.Client, name: str) -> None:
    content, file_name = GOOD[name]
    answer = tiny_client.post("/segment?format=mask", files={"file": (file_name, content)})
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(pixels(answer.content), EXPECTED)


def test_all_black_picture_is_not_evaluated_and_says_why(tiny_client: httpx.Client) -> None:
    answer = post(tiny_client, png(np.zeros((64, 64), np.uint8))).json()
    assert answer["status"] == "not_evaluated"
    assert answer["flags"]
    assert answer["findings"] == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"picture": ("scan.png", b"x")}, "1 file in field picture"),
        ([("file", ("a.png", b"x")), ("file", ("b.png", b"x"))], "2 files in field file"),
        ([("file", ("a.png", b"x")), ("other", ("b.png", b"x"))], "2 files in fields file, other"),
        ({"other": (None, "no file at all")}, "0 files"),
    ],
)
def test_the_file_must_be_one_and_in_its_field(tiny_client: httpx.Client, files: Any, said: str) -> None:
    answer = tiny_client.post("/segment", files=files)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_file_field")
    assert answer.json()["found"] == said


@pytest.mark.parametrize(
    ("kind", "body"),
    [("multipart/form-data", b"no boundary"), ("multipart/form-data; boundary=x", b"--y\r\nnot a part")],
)
def test_broken_multipart(tiny_client: httpx.Client, kind: str, body: bytes) -> None:
    answer = tiny_client.post("/segment", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_multipart")


def test_long_form_field_is_refused(tiny_client: httpx.Client) -> None:
    assert post(tiny_client, pipeline="x" * 5000).json()["code"] == "bad_multipart"


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/x-www-form-urlencoded"])
def test_content_type_that_is_no_picture(tiny_client: httpx.Client, kind: str) -> None:
    answer = tiny_client.post("/segment", content=png(SQUARE), headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "unknown_format")
    assert "curl" in answer.json()["remedy"]


def test_compressed_body_is_refused(tiny_client: httpx.Client) -> None:
    headers = {"content-type": "image/png", "content-encoding": "gzip"}
    answer = tiny_client.post("/segment", content=png(SQUARE), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")


def test_body_without_length_is_counted_while_it_comes(tiny_client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"\0" * 10_000

    answer = tiny_client.post("/segment", content=pieces(), headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
