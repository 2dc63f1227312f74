"""Files whole or not at all, and full disks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.prepare.disk import check_space, png, write, write_whole

FULL = Path("/dev/full")


def test_a_file_is_there_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "file", b"content")
    write_whole(tmp_path / "new" / "file", b"other")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "new").iterdir()] == [("file", b"other")]


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_with_the_file() -> None:
    with pytest.raises(OSError, match="Found No space left on device at /dev/full; wanted room for 3 bytes") as caught:
        write(FULL, b"abc")
    assert "run again" in str(caught.value)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"at {tmp_path}; wanted a place to write. Choose another folder"):
        write(tmp_path, b"abc")


def test_space_is_asked_for_beforehand(tmp_path: Path) -> None:
    check_space(tmp_path, 1, "one byte")
    with pytest.raises(OSError, match=r"Found \d+ MB free in .*; wanted 1000000000000 MB for exam 7. Free some space"):
        check_space(tmp_path, 10**18, "exam 7")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pngs_keep_every_value(dtype: type) -> None:
    plane = np.arange(200, dtype=dtype).reshape(10, 20) * np.iinfo(dtype).max // 200
    back = cv2.imdecode(np.frombuffer(png(plane[::2]), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(back, plane[::2])
