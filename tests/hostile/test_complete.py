"""Bombs that are whole are refused by their headers, for the reason they are dangerous; real pictures are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from service.errors import InputError, TooLarge, UnusableImage
from service.formats.codestream import MAX_SCANS, MAX_TILES, excess
from service.formats.limits import EMPTY_UP_TO, Limits, check_growth
from service.formats.nifti import MOST_BEFORE
from service.formats.options import Options
from service.formats.read import read_image
from service.formats.tiff_header import most_scans
from tests.hostile.corpus import complete
from tests.hostile.corpus.volumes import Nifti
from tests.service.formats.pictures import gradient, saved, tiff

WORDS = {
    "alpha": "a picture of 474240000 bytes; wanted at most 268435456",
    "tile of": "64 x 64 pixels in tiles of 1310400000; wanted tiles no larger",
    "tiff of a jpeg": f"a tiff file of 2005 scans; wanted at most {MAX_SCANS}",
    "dicom of a jpeg": "a compressed frame of 2005 scans",
    "1 x 1": "a compressed frame of 65025 tiles",
    "not there": "a compressed frame that lacks some of its tiles",
    "of nothing": "a compressed frame of tiles that have no size",
    "9900": "9900 files of one series; wanted at most 2048",
    "2 GiB": "whose voxels begin at an impossible place",
}


@pytest.mark.parametrize("name", complete.REFUSED)
def test_it_is_refused_for_what_it_is(name: str) -> None:
    words = next((words for key, words in WORDS.items() if key in name), r"\d+ bytes that grow to \d+; wanted at most")
    with pytest.raises(InputError, match=words):
        read_image(complete.REFUSED[name]())


def test_how_far_a_file_may_grow() -> None:
    check_growth(EMPTY_UP_TO, 1)
    check_growth(50 * EMPTY_UP_TO, EMPTY_UP_TO)
    with pytest.raises(TooLarge, match=f"1 bytes that grow to {EMPTY_UP_TO + 1}; wanted at most {EMPTY_UP_TO} bytes"):
        check_growth(EMPTY_UP_TO + 1, 1)
    with pytest.raises(TooLarge, match="or 50 for each one sent"):
        check_growth(50 * EMPTY_UP_TO + 1, EMPTY_UP_TO)


def test_a_mammogram_that_is_mostly_black_is_read() -> None:
    """28 million pixels in 16 bit, nine tenths of them black and the others with two bits of noise."""
    pixels = np.zeros((5928, 4728), np.uint16)
    pixels[1500:4500, :950] = 20_000 + np.random.default_rng(0).integers(0, 4, (3000, 950), np.uint16) * 256
    content = saved(Pillow.fromarray(pixels), "PNG", compress_level=1)
    assert pixels.nbytes > EMPTY_UP_TO
    assert read_image(content).width == 4728


def test_tiles_of_a_jpeg_2000_that_are_there() -> None:
    stream = io.BytesIO()
    Pillow.fromarray(gradient(200, 300)[..., 0]).save(stream, "JPEG2000", no_jp2=True, tile_size=(64, 64))
    assert excess(stream.getvalue()) is None
    assert "lacks some" in str(excess(stream.getvalue()[:-600]))
    image = read_image(complete.dicom(complete.flat_jpeg_2000(256), JPEG2000Lossless, 256))
    assert image.width == 256
    assert MAX_TILES >= -(-4096 // 64) * -(-3328 // 64)


def test_a_progressive_jpeg_in_dicom_is_read() -> None:
    frame = saved(gradient(64, 64)[..., 0], "JPEG", progressive=True)
    assert read_image(complete.dicom(frame, JPEGBaseline8Bit, 64)).width == 64


def test_scans_are_counted_strip_by_strip() -> None:
    """Together they may be many; of one strip they may not."""
    scan = b"\xff\xda\0\0"
    content = b"II*\0" + scan * 40 + b"\0" * 4 + scan * 10
    assert most_scans(content, {324: (4, 168), 325: (160, 40)}) == 40
    assert most_scans(content, {273: (4, 84, 168), 279: (80, 80, 40)}) == 20
    assert most_scans(content, {273: 4, 279: 40}) == 50
    assert most_scans(content[:100], {324: (4, 168), 325: (160, 40)}) == 24


def test_a_tiff_of_jpeg_strips_is_read() -> None:
    content = saved(gradient(400, 96), "TIFF", compression="jpeg")
    assert content.count(b"\xff\xda") > 1 or most_scans(content, {}) == content.count(b"\xff\xda")
    assert read_image(content).height == 400


@pytest.mark.parametrize("tile", [16, 256, 2048])
def test_tiles_somewhat_larger_than_the_picture_are_read(tile: int) -> None:
    with pytest.raises(UnusableImage, match="ends early|cannot be decoded"):
        # The tile holds nothing; it is not refused for its size.
        read_image(complete.tile(tile, tile))


def test_a_deep_picture_with_alpha_that_fits() -> None:
    with pytest.raises(TooLarge, match="a picture of 6912 bytes; wanted at most 6000"):
        read_image(tiff(gradient(24, 96)), Options(Limits(max_volume_bytes=6000)))


def test_extensions_before_the_voxels_of_a_nifti() -> None:
    near = Nifti(data=bytes(4096) + b"\1\0" * 2304, offset=352 + 4096).file()
    assert read_image(near).depth == 3
    with pytest.raises(UnusableImage, match="begin at an impossible place"):
        read_image(Nifti(offset=MOST_BEFORE + 16).file())


def test_all_phases_of_a_volume_are_inflated_and_count() -> None:
    content = complete.nifti((512, 512, 15, 5))
    with pytest.raises(TooLarge, match="bytes that grow to 39321600"):
        read_image(content, Options(phase=1))


def test_files_of_one_series_are_counted_before_they_are_read() -> None:
    content = complete.small_slices(20)
    assert read_image(content, Options(Limits(max_slices=20))).depth == 20
    with pytest.raises(TooLarge, match="20 files of one series; wanted at most 16 in one request") as caught:
        read_image(content, Options(Limits(max_slices=2)))
    assert caught.value.code == "volume_too_large"
