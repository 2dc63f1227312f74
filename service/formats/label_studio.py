"""Findings as brush strokes of Label Studio: tasks with predictions, ready to be imported.

The run lengths are those of the library rle-pack over the bytes of an RGBA picture: 32 bits give the number of bytes, 5
the width of a value less 1, four times 4 bits the widths of a length less 1; then each run is a bit 1, two bits that
choose one of the four widths, the length less 1, and the value. Bits are filled from the highest down.
Format: https://github.com/HumanSignal/label-studio-converter, label_studio_converter/brush.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine import Answer
from service.formats.instances import Instance, instances
from service.formats.rle import counts_of

CHANNELS, SET, VALUE_BITS = 4, 255, 8
LENGTH_BITS = np.array([3, 4, 8, 16])
LONGEST = 1 << 16
# Bits of a run beside its length: the mark of a run, the choice of the width, the value.
MARK, CHOICE = 1, 2
# The names that Label Studio's own template for brushes uses.
FROM_NAME, TO_NAME = "tag", "image"


def label_studio_tasks(answer: Answer) -> list[dict[str, Any]]:
    """One task per slice that shows a finding, and always one for the first; the importer sets ``data.image``."""
    by_slice: dict[int, list[dict[str, Any]]] = {0: []}
    for one in instances(answer):
        by_slice.setdefault(one.region.z0, []).append(_result(one, answer))
    manifest = answer.manifest
    version = f"{manifest.name} {manifest.version}"
    return [
        {"data": {"image": "image", "slice": z}, "predictions": [{"model_version": version, "result": results}]}
        for z, results in sorted(by_slice.items())
    ]


def _result(one: Instance, answer: Answer) -> dict[str, Any]:
    height, width = answer.image.height, answer.image.width
    known = {} if one.finding.score is None else {"score": one.finding.score}
    return {
        "id": f"finding-{one.finding.id}-{one.region.z0}",
        "type": "brushlabels",
        "from_name": FROM_NAME,
        "to_name": TO_NAME,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush(one.on(height, width)), "brushlabels": [one.label.name]},
        **known,
    }


def brush(plane: NDArray[Any]) -> list[int]:
    """Non-zero pixels of (height, width) as the bytes of Label Studio's run lengths."""
    lengths, values = _runs(plane)
    choice = np.searchsorted(1 << LENGTH_BITS, lengths)
    widths = LENGTH_BITS[choice]
    # One number per run: mark, choice, length less 1, value, from the highest bit down.
    words = ((((1 << CHOICE) | choice) << widths | (lengths - 1)) << VALUE_BITS) | values
    fields = [_bits(plane.size * CHANNELS, 32), _bits(VALUE_BITS - 1, 5)]
    fields += [_bits(int(width) - 1, 4) for width in LENGTH_BITS]
    fields.append(_joined(words, MARK + CHOICE + widths + VALUE_BITS))
    packed: list[int] = np.packbits(np.concatenate(fields)).tolist()
    return packed


def _runs(plane: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lengths in bytes, at most the longest that can be written, and the value of each."""
    counts = np.asarray(counts_of(np.transpose(plane)), np.int64) * CHANNELS
    values = np.arange(counts.size) % 2 * SET
    parts = -(-counts // LONGEST)
    lengths = np.full(parts.sum(), LONGEST, np.int64)
    lasts = np.cumsum(parts)[counts > 0] - 1
    lengths[lasts] = (counts[counts > 0] - 1) % LONGEST + 1
    return lengths, np.repeat(values, parts)


def _bits(number: int, width: int) -> NDArray[np.uint8]:
    return _joined(np.array([number]), np.array([width]))


def _joined(numbers: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The bits of each number, its own width of them, one after the other."""
    which = np.repeat(np.arange(widths.size), widths)
    place = np.cumsum(widths)[which] - 1 - np.arange(which.size)
    return (numbers[which] >> place & 1).astype(np.uint8)
