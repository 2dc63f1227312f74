"""From a frame's attributes to its `Display`, with a flag for everything that could not be taken as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from service.formats.dicom_layout import Layout
from service.formats.display import EIGHT_BIT, SIXTEEN_BIT, Display, Lut, VoiFunction, VoiWindow
from service.formats.functional_groups import Frame
from service.formats.guard import malformed
from service.source import Flag

WINDOW_IGNORED = Flag(
    "window_unusable", "The window in the file cannot be used (no positive width); all values are shown."
)
FUNCTION_UNKNOWN = Flag("voi_function_unknown", "The file names a window function that DICOM lacks; linear was used.")
NO_WINDOW = Flag("no_window", "The file has no window: all values are shown, from the lowest to the highest.")
RESCALING_UNUSABLE = Flag(
    "rescaling_unusable",
    "The rescaling in the file cannot be used (a slope of 0, or no number): stored values stand as they are.",
)
TRANSFORM, VOI = "PixelValueTransformationSequence", "FrameVOILUTSequence"
LUT_BITS = range(1, 17)


def display_of(frame: Frame, layout: Layout, little: bool) -> tuple[Display, tuple[Flag, ...]]:
    """What a frame's window shows. A VOI LUT goes before a window, of several the first counts."""
    modality = _lut(frame.dataset.get("ModalityLUTSequence"), little, layout.signed)
    voi, flags = _voi(frame, little, modality is None and _signed_values(frame, layout))
    deep = layout.stored > 8 or any(isinstance(one, Lut) and one.bits > 8 for one in (modality, voi))
    slope, intercept, rescaling = _rescaling(frame) if modality is None else (1.0, 0.0, ())
    flags = (*rescaling, *flags)
    display = Display(
        slope=slope,
        intercept=intercept,
        modality=modality,
        voi=voi,
        inverse=_inverse(frame.dataset, layout),
        padding=_padding(frame.dataset, layout.signed),
        top=SIXTEEN_BIT if deep else EIGHT_BIT,
    )
    if voi is None and layout.stored <= 8:
        # As many bits as a screen has: all of them are shown, whether the picture uses them or not.
        low = -(1 << (layout.stored - 1)) if layout.signed else 0
        return display.spanning(low, low + (1 << layout.stored) - 1), flags
    return display, flags if voi is not None else (*flags, NO_WINDOW)


def _rescaling(frame: Frame) -> tuple[float, float, tuple[Flag, ...]]:
    """Slope and intercept; neither counts where one of them is no number, or the slope leaves nothing of the values."""
    said = [frame.value(TRANSFORM, name) for name in ("RescaleSlope", "RescaleIntercept")]
    slope, intercept = (frame.number_of(TRANSFORM, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if (said[0] is not None and not slope) or (said[1] is not None and intercept is None):
        return 1.0, 0.0, (RESCALING_UNUSABLE,)
    return slope or 1.0, intercept or 0.0, ()


def _signed_values(frame: Frame, layout: Layout) -> bool:
    return layout.signed or (frame.number_of(TRANSFORM, "RescaleIntercept") or 0) < 0


def _inverse(dataset: Dataset, layout: Layout) -> bool:
    return layout.photometric == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"


def _padding(dataset: Dataset, signed: bool) -> tuple[int, int] | None:
    """Both ends of the padding, as the pixels count: some writers take the sign for a bit, or a bit for the sign."""
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return None
    low = -(1 << 15) if signed else 0
    ends = [(one - low) % (1 << 16) + low for one in (value, limit) if isinstance(one, int)]
    return min(ends), max(ends)


def _voi(frame: Frame, little: bool, signed: bool) -> tuple[Lut | VoiWindow | None, tuple[Flag, ...]]:
    lut = _lut(frame.group(VOI).get("VOILUTSequence"), little, signed)
    if lut is not None:
        return lut, ()
    center, width = (frame.number_of(VOI, name) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None:
        return None, ()
    named = str(frame.value(VOI, "VOILUTFunction") or "LINEAR").strip().upper()
    known = next((one for one in get_args(VoiFunction) if one == named), None)
    flags = () if known else (FUNCTION_UNKNOWN,)
    function: VoiFunction = known or "LINEAR"
    if width < 1 if function == "LINEAR" else width <= 0:
        return None, (*flags, WINDOW_IGNORED)
    return VoiWindow(center, width, function), flags


def _lut(sequence: Sequence[Dataset] | None, little: bool, signed: bool) -> Lut | None:
    if not sequence:
        return None
    item = sequence[0]
    return lut_of(item.get("LUTDescriptor"), item.get("LUTData"), little, signed)


def lut_of(descriptor: Any, data: Any, little: bool, signed: bool) -> Lut:
    """A table from its descriptor (entries, first value mapped, bits) and its data, numbers or bytes.

    Raises UnusableImage where they do not fit each other.
    """
    try:
        count, first, bits = (int(one) for one in descriptor)
    except (TypeError, ValueError):
        raise malformed("DICOM", "with an unreadable look-up table") from None
    count = count % (1 << 16) or 1 << 16
    entries = _entries(data, count, little)
    if len(entries) < count or bits not in LUT_BITS:
        raise malformed("DICOM", "whose look-up table has fewer entries than it declares")
    if signed and first >= 1 << 15:
        # Written as unsigned where the values it maps are signed.
        first -= 1 << 16
    # Some writers declare fewer bits than their entries have.
    return Lut(first, entries[:count], max(bits, int(entries[:count].max()).bit_length()))


def _entries(data: Any, count: int, little: bool) -> NDArray[np.uint16]:
    if isinstance(data, bytes):
        kind = np.dtype(np.uint8) if count <= len(data) < 2 * count else np.dtype("<u2" if little else ">u2")
        return np.frombuffer(data, kind, len(data) // kind.itemsize).astype(np.uint16)
    return np.atleast_1d(np.asarray(data if data is not None else [], np.int64)).astype(np.uint16)
