"""The processor's name, as the system tells it."""

from __future__ import annotations

from pathlib import Path

from training.hardware import processor


def test_the_processor_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast One @ 2 GHz\nprocessor\t: 1\n")
    assert processor(tmp_path / "cpuinfo") == "Fast One @ 2 GHz"
    (tmp_path / "silent").write_text("processor\t: 0\n")
    assert processor(tmp_path / "silent") == processor(tmp_path / "nothing") == "unknown processor"
