"""Transfer syntaxes by what they promise, and their names."""

from __future__ import annotations

from pydicom import uid as uids

from service.formats.options import Options

RAW = Options(raw=frozenset(("MG",)))
UNCOMPRESSED = (
    uids.ImplicitVRLittleEndian,
    uids.ExplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
    uids.DeflatedExplicitVRLittleEndian,
)
LOSSLESS = (
    *UNCOMPRESSED,
    uids.RLELossless,
    uids.JPEGLosslessSV1,
    uids.JPEGLossless,
    uids.JPEGLSLossless,
    uids.JPEG2000Lossless,
)


def named(syntax: str) -> str:
    return uids.UID(syntax).name.replace(" ", "-")
