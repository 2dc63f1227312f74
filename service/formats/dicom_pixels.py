"""DICOM frames to arrays: one codec each way, the codestream's own size checked first, colour as RGB.

For JPEG and JPEG 2000 Pillow decodes wherever it is exact: its libraries are the newest. GDCM is left with lossless
JPEG, which nothing else here reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom import uid as uids
from pydicom._uid_dict import UID_dictionary
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space

from service.errors import UnknownFormat
from service.formats.codestream import declared, excess
from service.formats.dicom_fragments import compressed_frames
from service.formats.dicom_layout import COLOUR, Layout
from service.formats.dicom_parse import PIXELS, Parsed, Pixels
from service.formats.dicom_rle import decoded_rle
from service.formats.guard import decoding, malformed, truncated
from service.formats.limits import GROWTH, GROWTH_OF_COLOUR, GROWTH_OF_RUNS, check_growth

NATIVE = (
    uids.ImplicitVRLittleEndian,
    uids.ExplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
    uids.DeflatedExplicitVRLittleEndian,
)
# Transfer syntax to the plugins of pydicom that may decode it, in order.
CODECS: dict[str, tuple[str, ...]] = {
    uids.JPEGBaseline8Bit: ("pillow",),
    uids.JPEGExtended12Bit: ("pillow",),
    uids.JPEGLossless: ("gdcm",),
    uids.JPEGLosslessSV1: ("gdcm",),
    uids.JPEGLSLossless: ("pyjpegls",),
    uids.JPEGLSNearLossless: ("pyjpegls",),
    uids.JPEG2000Lossless: ("pillow", "pylibjpeg"),
    uids.JPEG2000: ("pillow", "pylibjpeg"),
    uids.HTJ2KLossless: ("pylibjpeg",),
    uids.HTJ2KLosslessRPCL: ("pylibjpeg",),
    uids.HTJ2K: ("pylibjpeg",),
}
# Which bits are in use is told by High Bit, of which pydicom knows nothing.
AS_STORED: dict[str, Any] = {"correct_unused_bits": False}
# Of an item, and an offset table without a single offset.
ITEM = struct.Struct("<II")
NO_TABLE = ITEM.pack(0xE000FFFE, 0)
# Frames that a decoder of uncompressed ones is shown at a time.
PORTION = 8
READ_SYNTAXES = (*NATIVE, uids.RLELossless, *CODECS)

gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()


def check_syntax(syntax: str, layout: Layout) -> None:
    """Raises UnknownFormat for a transfer syntax that is not read here, or not in that depth."""
    if syntax not in READ_SYNTAXES or (syntax == uids.JPEGExtended12Bit and layout.stored > 8):
        name = UID_dictionary[syntax][0] if syntax in UID_dictionary else "one that the standard does not list"
        raise UnknownFormat(
            f"DICOM in the transfer syntax {name}",
            "uncompressed, deflated, RLE, JPEG, JPEG-LS, JPEG 2000 or HTJ2K",
            "Convert it to Explicit VR Little Endian.",
            "transfer_syntax",
        )


def check_packed(syntax: str, layout: Layout, count: int, packed: int) -> None:
    """Raises TooLarge for ``packed`` bytes of compressed frames that are declared to be ``count`` frames of pixels."""
    if syntax not in NATIVE:
        most = GROWTH_OF_COLOUR if layout.samples == 3 else GROWTH
        check_growth(layout.frame_bytes * count, packed, GROWTH_OF_RUNS if syntax == uids.RLELossless else most)


def frames(parsed: Parsed, layout: Layout, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The wanted frames (0-based), each (rows, columns, samples) in native byte order, stored values, colour as RGB.

    Raises UnusableImage, also for a frame that declares another size than the header.
    """
    check_syntax(parsed.syntax, layout)
    stored, vr = parsed.pixels()
    dataset = _described(parsed)
    if parsed.syntax in NATIVE:
        found = _native(dataset, stored, vr, layout, wanted)
    else:
        found = _compressed(dataset, stored, layout, wanted)
    for _ in wanted:
        with decoding("DICOM"):
            frame = next(found).reshape(layout.rows, layout.columns, layout.samples)
            frame = _clean(frame, layout)
        yield frame


def _described(parsed: Parsed) -> Dataset:
    """What the decoders need to know of the header."""
    dataset = Dataset()
    dataset.file_meta = parsed.dataset.file_meta
    names = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored")
    for name in (*names, "PixelRepresentation", "PlanarConfiguration", "NumberOfFrames"):
        if parsed.dataset.get(name) not in (None, ""):
            setattr(dataset, name, parsed.dataset[name].value)
    dataset.PixelRepresentation = parsed.dataset.get("PixelRepresentation") or 0
    if dataset.SamplesPerPixel > 1 and "PlanarConfiguration" not in dataset:
        dataset.PlanarConfiguration = 0
    dataset.set_original_encoding(parsed.implicit, parsed.little)
    return dataset


def _native(dataset: Dataset, stored: Pixels, vr: str, layout: Layout, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    if len(stored) < layout.frames * layout.native_bytes:
        raise truncated("DICOM")
    portions = (wanted[at : at + PORTION] for at in range(0, len(wanted), PORTION))
    return chain.from_iterable(_native_portion(dataset, stored, vr, layout, some) for some in portions)


def _native_portion(
    dataset: Dataset, stored: Pixels, vr: str, layout: Layout, wanted: Sequence[int]
) -> Iterator[NDArray[Any]]:
    """The decoder is shown the frames from the first to the last one wanted, and no copy of all is made."""
    size, first, end = layout.native_bytes, min(wanted), max(wanted) + 1
    # Where bytes are stored in swapped pairs, no pair may be cut.
    first -= first * size % 2
    dataset.NumberOfFrames = end - first
    dataset.add_new(PIXELS, vr, bytes(stored[first * size : end * size + end * size % 2]))
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    return (frame for frame, _ in decoder.iter_array(dataset, indices=[one - first for one in wanted], **AS_STORED))


def _compressed(dataset: Dataset, stored: Pixels, layout: Layout, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Each frame is shown to its decoder alone: looking for it among all others takes longer the more there are."""
    syntax = dataset.file_meta.TransferSyntaxUID
    packed = compressed_frames(bytes(stored), layout.frames, wanted)
    dataset.NumberOfFrames = 1
    for frame in packed:
        if syntax == uids.RLELossless:
            yield _rle(frame, layout)
        else:
            _check_codestream(frame, layout)
            dataset.add_new(PIXELS, "OB", NO_TABLE + ITEM.pack(0xE000FFFE, len(frame)) + frame)
            yield _first_of(CODECS[syntax], get_decoder(syntax), dataset)


def _first_of(plugins: Sequence[str], decoder: Any, dataset: Dataset) -> NDArray[Any]:
    """By the first plugin that can. Raises what the last one does."""
    for plugin in plugins[:-1]:
        try:
            return np.asarray(decoder.as_array(dataset, index=0, decoding_plugin=plugin)[0])
        except Exception:  # noqa: S112 -- each plugin throws its own kinds, and the next one may well succeed
            continue
    return np.asarray(decoder.as_array(dataset, index=0, decoding_plugin=plugins[-1])[0])


def _rle(packed: bytes, layout: Layout) -> NDArray[Any]:
    pixels: NDArray[Any] = decoded_rle(packed, layout)
    ybr = layout.photometric == "YBR_FULL"
    return np.asarray(convert_color_space(pixels, "YBR_FULL", "RGB")) if ybr else pixels


def _check_codestream(frame: bytes, layout: Layout) -> None:
    found, much = declared(frame), excess(frame)
    if found is None:
        raise malformed("DICOM", "with a compressed frame that has no readable header")
    if much is not None:
        raise malformed("DICOM", f"with a compressed frame {much}")
    wanted = (layout.columns, layout.rows, layout.samples)
    if found[:3] != wanted or found.bits > layout.allocated:
        raise malformed("DICOM", "whose compressed frame declares another size than its header")


def _clean(frame: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Stored values alone: what lies above or below the stored bits is cut off, signs are kept."""
    native = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    if layout.photometric in COLOUR:
        return native
    bits = 8 * native.dtype.itemsize
    unsigned, kind = native.view(f"u{native.dtype.itemsize}"), "i" if layout.signed else "u"
    up, down = bits - 1 - min(layout.high, bits - 1), max(bits - layout.stored, 0)
    if up == down and (down == 0 or (not layout.signed and int(unsigned.max()) >> layout.stored == 0)):
        return unsigned.view(f"{kind}{native.dtype.itemsize}")
    return np.asarray(np.left_shift(unsigned, up).view(f"{kind}{native.dtype.itemsize}") >> down)
