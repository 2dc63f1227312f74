"""Formats are told by their first bytes."""

from gzip import compress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats.header import cut_short, webp_canvas
from service.formats.read import read_image
from service.formats.sniff import HEAD_BYTES, known_but_not_read, sniff
from tests.service.formats.pictures import gradient, saved
from tests.service.formats.test_nifti import WHOLE as NIFTI

KINDS = ("png", "jpeg", "tiff", "bmp", "webp")


@pytest.mark.parametrize("kind", KINDS)
def test_each_format_is_told_by_its_start(kind: str) -> None:
    assert sniff(saved(gradient(), kind)[:32]) == kind


@pytest.mark.parametrize(
    "content", [b"", b"B", b"BM", b"BM text " * 9, b"RIFF\0\0\0\0WAVE", b"GIF89a", b"II*", b"\xff\xd8"]
)
def test_others_are_unknown(content: bytes) -> None:
    assert sniff(content) is None


def test_gif_is_known_but_not_read() -> None:
    content = saved(gradient(), "gif")
    assert (sniff(content), known_but_not_read(content)) == (None, "GIF")
    assert known_but_not_read(b"GIF is how this text starts") is None


@pytest.mark.parametrize("length", [0, 1500, 4096])
def test_nifti_under_a_long_name(length: int) -> None:
    """gzip writes the name of the file before its content."""
    whole = compress(NIFTI)
    named = whole[:3] + b"\x08" + whole[4:10] + b"x" * length + b"\0" + whole[10:]
    assert sniff(named[:HEAD_BYTES]) == "nifti"
    assert read_image(named).voxels.shape == read_image(NIFTI).voxels.shape


@given(st.text())
def test_text_is_no_picture(text: str) -> None:
    assert sniff(text.encode()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_not_cut_short(kind: str) -> None:
    assert not cut_short(saved(gradient(), kind), kind)


@given(st.binary())
def test_a_webp_size_is_read_from_anything(content: bytes) -> None:
    width, height = webp_canvas(content)
    assert 0 <= width <= 1 << 24
    assert 0 <= height <= 1 << 24
