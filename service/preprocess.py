"""Source voxels to network tensor and back, as a manifest's input block says.

Training and serving both call `prepare`; nothing else turns pixels into tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.enhance import adaptive_clahe, median_clahe
from service.errors import UnusableImage
from service.manifest import InputSpec, Window

Float = NDArray[np.float32]

# ITU-R BT.601 luma, the convention of OpenCV and Pillow for RGB to grey.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LEVELS = np.arange(256, dtype=np.uint8)
CLAHE_CLIP, CLAHE_TILES = 2.0, (8, 8)


@dataclass(frozen=True)
class Placement:
    """Where a crop came to lie in the network's input: enough to go back.

    ``source`` is (height, width) of the crop, ``left top width height`` its content box in network pixels.
    """

    source: tuple[int, int]
    left: int
    top: int
    width: int
    height: int


def place(source: tuple[int, int], spec: InputSpec) -> Placement:
    """Where a crop of (height, width) ``source`` lies in the network input of ``spec``."""
    height, width = spec.size
    if not spec.letterbox:
        return Placement(source, 0, 0, width, height)
    scale = min(height / source[0], width / source[1])
    inner = max(1, min(height, round(source[0] * scale))), max(1, min(width, round(source[1] * scale)))
    return Placement(source, (width - inner[1]) // 2, (height - inner[0]) // 2, inner[1], inner[0])


def resize(plane: NDArray[Any], height: int, width: int, interpolation: str = "linear") -> NDArray[Any]:
    """Resize (height, width) or (height, width, channels) with pixel centres kept.

    ``nearest`` keeps the set of values; ``linear`` and ``cubic`` interpolate where they enlarge and average over area
    where they shrink, each axis on its own, so no fine structure is skipped. ``cubic`` overshoots at edges; whole
    numbers are cut off at the ends of their type.
    """
    if plane.shape[:2] == (height, width):
        return plane
    if interpolation == "nearest":
        return _cv_resize(plane, height, width, cv2.INTER_NEAREST_EXACT)
    shrunk = _cv_resize(plane, min(height, plane.shape[0]), min(width, plane.shape[1]), cv2.INTER_AREA)
    return _cv_resize(shrunk, height, width, cv2.INTER_CUBIC if interpolation == "cubic" else cv2.INTER_LINEAR)


def _cv_resize(plane: NDArray[Any], height: int, width: int, method: int) -> NDArray[Any]:
    if plane.shape[:2] == (height, width):
        return plane
    out = cv2.resize(plane, (width, height), interpolation=method)
    return out if out.ndim == plane.ndim else out[..., np.newaxis]


def windowed(voxels: NDArray[Any], window: Window, source: np.dtype[Any] | None = None) -> Float:
    """Raw voxels of any shape to float32 in 0 to 1. An array without contrast becomes 0.

    ``source`` is the type the voxels had before they were resized or made grey, their own when None.
    """
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise UnusableImage("values that are not finite", "finite values", "Replace NaN and infinite values.")
    low, high = _dtype_range(source or voxels.dtype) if window.kind == "full" else limits(voxels, window)
    if high <= low:
        return np.zeros(voxels.shape, np.float32)
    if voxels.dtype == np.uint8:
        # 256 levels are scaled instead of every pixel, to the same values.
        return np.asarray(scaled(LEVELS, low, high)[voxels])
    return scaled(voxels, low, high)


def scaled(voxels: NDArray[Any], low: float, high: float) -> Float:
    """Voxels of any shape as 0 to 1 between the ends of a window, ``low`` below ``high``."""
    unit = (voxels.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.clip(unit, 0, 1, out=unit)


def limits(voxels: NDArray[Any], window: Window) -> tuple[float, float]:
    """The ends of a window over all of ``voxels``; not of the kind ``full``."""
    if window.kind == "range":
        return window.low, window.high
    if voxels.dtype == np.uint8:
        return _limits_of_levels(np.bincount(voxels.ravel(), minlength=LEVELS.size), window)
    counted = voxels[voxels != 0] if window.ignore_zero else voxels
    if counted.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(counted, (window.low, window.high))
    return float(low), float(high)


def _limits_of_levels(counts: NDArray[np.intp], window: Window) -> tuple[float, float]:
    """What ``numpy.percentile`` gives, from how often each level occurs: no pixel has to be sorted."""
    if window.ignore_zero:
        counts[0] = 0
    ends = counts.cumsum()
    if ends[-1] == 0:
        return 0.0, 0.0
    places = np.array((window.low, window.high)) / 100 * (ends[-1] - 1)
    below = np.floor(places).astype(int)
    lower = np.searchsorted(ends, below, side="right")
    upper = np.searchsorted(ends, np.minimum(below + 1, ends[-1] - 1), side="right")
    low, high = lower + (upper - lower) * (places - below)
    return float(low), float(high)


def _dtype_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind not in "iu":
        raise UnusableImage(f"window full on {dtype}", "an integer type", "Use the window kinds percentile or range.")
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


def grey(plane: Float) -> Float:
    """(height, width, 1 or 3) to (height, width, 1) by luma."""
    return plane if plane.shape[-1] == 1 else (plane @ LUMA)[..., np.newaxis]


def prepare(plane: NDArray[Any], spec: InputSpec) -> tuple[Float, Placement]:
    """One crop (height, width, 1 or 3) to a network input (channels, height, width) and the way back.

    Order: resize, channels, window, enhancement, padding, mean and std. Resizing comes first, on the raw values, so
    that the cost of everything else does not grow with the picture. Enhancement sees the windowed picture (0 to 1) at
    the network's size, each channel alone: ``clahe`` with limit 2 and 8 x 8 tiles on 16 bits, ``median_clahe`` and
    ``adaptive_clahe`` of `service.enhance` on 8 bits. Padding of a letterbox is the window's zero.
    """
    placement = place((plane.shape[0], plane.shape[1]), spec)
    small = resize(_for_opencv(plane), placement.height, placement.width, spec.interpolation)
    content = windowed(_in_channels(small, spec.channels), spec.window, plane.dtype)
    padded = _padded(_enhanced(content, spec.enhance), placement, spec.size)
    standard = (padded - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    return np.ascontiguousarray(standard.transpose(2, 0, 1), np.float32), placement


def prepare_map(plane: Float, spec: InputSpec) -> Float:
    """One crop (height, width, 1) of another stage's map, to (1, height, width) beside the image's input.

    Resized and padded as the image is, but with the values its network gave: window, mean and std are the image's.
    """
    placement = place((plane.shape[0], plane.shape[1]), spec)
    small = resize(plane, placement.height, placement.width, spec.interpolation)
    return np.ascontiguousarray(_padded(small, placement, spec.size).transpose(2, 0, 1))


def _padded(content: Float, placement: Placement, size: tuple[int, int]) -> Float:
    canvas = np.zeros((*size, content.shape[-1]), np.float32)
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    canvas[rows, columns] = content
    return canvas


def _for_opencv(plane: NDArray[Any]) -> NDArray[Any]:
    # OpenCV resizes these types only; every other integer fits float32 or is a display value anyway.
    return plane if plane.dtype in (np.uint8, np.uint16, np.int16, np.float32) else plane.astype(np.float32)


def _in_channels(plane: NDArray[Any], channels: int) -> NDArray[Any]:
    if plane.shape[-1] == channels:
        return plane
    if channels == 3:
        return np.repeat(plane, 3, axis=-1)
    return grey(plane.astype(np.float32))


def _enhanced(content: Float, how: str) -> Float:
    if how == "none":
        return content
    if how == "clahe":
        return _clahe(content)
    method = median_clahe if how == "median_clahe" else adaptive_clahe
    planes = [method(np.round(content[..., c] * 255).astype(np.uint8)) for c in range(content.shape[-1])]
    return np.stack(planes, axis=-1).astype(np.float32) / np.float32(255)


def _clahe(content: Float) -> Float:
    tool = cv2.createCLAHE(clipLimit=CLAHE_CLIP, tileGridSize=CLAHE_TILES)
    planes = [tool.apply(np.round(content[..., c] * 65535).astype(np.uint16)) for c in range(content.shape[-1])]
    return np.stack(planes, axis=-1).astype(np.float32) / np.float32(65535)


def restore(output: Float, placement: Placement) -> Float:
    """Network output (channels, height, width) on the network's grid, back to the crop's (channels, height, width)."""
    inner = output[
        :,
        placement.top : placement.top + placement.height,
        placement.left : placement.left + placement.width,
    ]
    back = [resize(np.ascontiguousarray(plane), *placement.source) for plane in inner]
    stacked = back[0][np.newaxis] if len(back) == 1 else np.stack(back)
    return stacked.astype(np.float32, copy=False)
