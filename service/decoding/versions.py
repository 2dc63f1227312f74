"""Which decoders there are, and which of them are older than they should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata

from PIL import features

DISTRIBUTIONS = (
    "nibabel",
    "opencv-python-headless",
    "pillow",
    "pydicom",
    "pylibjpeg-openjpeg",
    "pyjpegls",
    "python-gdcm",
)
# Libraries inside Pillow, by its names for them.
WITHIN_PILLOW = {"jpg": "libjpeg", "zlib": "zlib", "libtiff": "libtiff", "webp": "webp"}
OPENJPEG = "openjpeg in pylibjpeg-openjpeg"
# Below these a decoder has known holes: CVE-2025-54874 is a write beyond the heap in OpenJPEG up to 2.5.3.
FLOORS: Mapping[str, tuple[int, ...]] = {OPENJPEG: (2, 5, 4)}


def versions() -> dict[str, str]:
    """Version of each library that decodes, those inside others included."""
    found = {name: version for name in DISTRIBUTIONS if (version := _tried(partial(metadata.version, name)))}
    inside = {f"{text} in pillow": features.version(name) for name, text in WITHIN_PILLOW.items()}
    found |= {name: version for name, version in inside.items() if version}
    if openjpeg := _tried(_openjpeg):
        found[OPENJPEG] = openjpeg
    return found


def below_floor(found: Mapping[str, str]) -> dict[str, str]:
    """Those of ``found`` that are older than their floor, with the floor."""
    return {
        name: ".".join(map(str, floor))
        for name, floor in FLOORS.items()
        if name in found and tuple(int(part) for part in found[name].split(".")) < floor
    }


def _openjpeg() -> str:
    from openjpeg.utils import get_openjpeg_version

    return ".".join(str(part) for part in get_openjpeg_version())


def _tried(look: Callable[[], str]) -> str | None:
    try:
        return look()
    except (ImportError, metadata.PackageNotFoundError):
        return None
