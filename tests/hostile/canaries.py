"""Good files in which every text that a format has room for holds the name of a patient."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image as Pillow
from PIL import PngImagePlugin
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

from tests.hostile.corpus import dicoms, volumes, zips
from tests.hostile.corpus.common import CANARY
from tests.service.asking import SQUARE

EXIF_TEXTS = (0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x013C, 0x8298, 0x9286, 0x927C)
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{CANARY}</x:xmpmeta>".encode()
TEXT_KINDS = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
# Groups that say how pixels lie, and those that no file holds as texts.
LEFT_ALONE = (0x0000, 0x0002, 0x0028)
LAST_GROUP = 0x4FFF
CODED = ("BodyPartExamined", "ViewPosition", "Laterality", "ImageLaterality", "PatientSex", "BurnedInAnnotation",
         "PresentationIntentType", "PatientPosition", "ScanOptions")  # fmt: skip


def _saved(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(SQUARE).convert("RGB").save(stream, kind, **options)
    return stream.getvalue()


def _exif() -> Pillow.Exif:
    exif = Pillow.Exif()
    for tag in EXIF_TEXTS:
        exif[tag] = CANARY
    return exif


def _png() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", CANARY)
    texts.add_text("Comment", CANARY, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", CANARY, lang=CANARY, tkey=CANARY, zip=True)
    texts.add(b"juNk", CANARY.encode(), after_idat=True)
    return _saved("PNG", pnginfo=texts, exif=_exif()) + CANARY.encode()


def _tiff() -> bytes:
    texts = dict.fromkeys((269, 270, 271, 272, 285, 305, 315, 316, 33432), CANARY)
    return _saved("TIFF", tiffinfo=texts)


def _bmp() -> bytes:
    return _saved("BMP") + CANARY.encode()


def texts_everywhere(made: Dataset) -> Dataset:
    """The data set with the name in every attribute that holds text, and in items and private attributes too."""
    with disable_value_validation():
        for tag, (kind, _, _, _, keyword) in DicomDictionary.items():
            group = tag >> 16
            if kind in TEXT_KINDS and keyword and group not in LEFT_ALONE and group <= LAST_GROUP:
                made.add_new(tag, kind, CANARY)
        for keyword in CODED:
            setattr(made, keyword, CANARY)
        item = Dataset()
        item.PatientName = item.CodeMeaning = item.PatientID = CANARY
        made.OtherPatientIDsSequence = made.RequestAttributesSequence = [item]
        made.private_block(0x0099, CANARY, create=True).add_new(1, "LO", CANARY)
    return made


def _dicom() -> bytes:
    preamble = (b"MZ" + CANARY.encode()).ljust(128, b"\0")
    return dicoms.written(texts_everywhere(dicoms.dataset()), preamble=preamble)


def _nifti() -> bytes:
    data = np.zeros(volumes.SHAPE, np.int16)
    data[8:20, 6:16] = 255
    header = bytearray(volumes.Nifti(data=b"", offset=400).file())
    header[4:32] = CANARY.encode().ljust(28, b"\0")
    extension = struct.pack("<ii", 48 - 4, 6) + CANARY.encode().ljust(36, b"\0")
    header[348:352] = b"\1\0\0\0"
    return bytes(header) + extension[:48] + b"\0" * (48 - len(extension)) + data.tobytes(order="F")


def _nrrd() -> bytes:
    data = np.zeros(volumes.SHAPE, np.int16)
    data[8:20, 6:16] = 255
    return volumes.nrrd(data.tobytes(order="F"), sample_units=f'"{CANARY}"', labels=f'"{CANARY}" "" ""')


def _zip() -> bytes:
    content = zips.zipped({f"{CANARY}/{CANARY} {number}.dcm": _slice(number) for number in range(3)})
    return content[:-2] + struct.pack("<H", len(CANARY)) + CANARY.encode()


def _slice(number: int) -> bytes:
    made = texts_everywhere(dicoms.dataset(SOPInstanceUID=f"1.2.3.4.{number}", FrameOfReferenceUID="1.2.9"))
    made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    made.PixelSpacing = [0.5, 0.5]
    return dicoms.written(made)


FILES: Mapping[str, bytes] = {
    "png": _png(),
    "jpeg": _saved("JPEG", exif=_exif(), comment=CANARY, xmp=XMP, icc_profile=CANARY.encode() * 10, quality=95),
    "tiff": _tiff(),
    "bmp": _bmp(),
    "webp": _saved("WEBP", exif=_exif(), xmp=XMP, lossless=True),
    "dicom": _dicom(),
    "nifti": _nifti(),
    "nrrd": _nrrd(),
    "zip": _zip(),
}


def unpacked(content: bytes) -> bytes:
    """The content, and whatever of it is compressed, in the clear."""
    if content.startswith(b"\x1f\x8b"):
        return content + zlib.decompress(content, 31)
    if content.startswith(b"\x89PNG"):
        with Pillow.open(io.BytesIO(content)) as picture:
            picture.load()
            return content + repr(picture.info).encode() + picture.tobytes()
    return content
