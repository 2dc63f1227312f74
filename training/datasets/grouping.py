"""Near-duplicate groups and folds that never split one.

Two pictures are near-duplicates when three things hold: their 32 x 32 thumbnails correlate at 0.95 or more, their
256-bit difference hashes (signs of 16 x 16 horizontal gradients) differ in at most 50 bits, and their fine structure
correlates at 0.65 or more at some shift. The first two alone take any two mammograms of one view for the same picture;
the third was measured: 0.70 and more for every near-duplicate pair of BUSI, at most 0.60 for pairs of different women
in CBIS-DDSM that pass the first two, 0.99 for one film at two sizes and aspects. Groups are the connected components.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CORRELATION, HASH_BITS, STRUCTURE = 0.95, 50, 0.65
# Side of the picture on which fine structure is compared, and by how many of its pixels it may be shifted.
SIDE, SHIFT = 96, 8
# Grey values of film without light: structure there is dust and frame.
DARK = 12
FOLDS = 5
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What a picture is recognised by, about 38 kB.

    Attributes:
        thumbnail: float32 (1024,), mean 0, length 1, or all 0 for a flat picture.
        bits: bool (256,), the difference hash.
        structure: float32 (96, 96), mean 0, length 1, or all 0 where there is none.
    """

    thumbnail: NDArray[np.float32]
    bits: NDArray[np.bool_]
    structure: NDArray[np.float32]


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Fingerprint of a grey picture (height, width)."""
    return Fingerprint(_thumbnail(image), difference_hash(image), _structure(image))


def near_duplicate_groups(images: Iterable[NDArray[np.uint8]]) -> list[int]:
    """Group number of each grey picture (height, width); numbers count from 0 in order of first appearance."""
    prints = [fingerprint(image) for image in images]
    return connected(len(prints), near_duplicate_pairs(prints))


def near_duplicate_pairs(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of near-duplicates, sorted."""
    return [(i, j) for i, j in _candidates(prints) if _same_structure(prints[i], prints[j])]


def difference_hash(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """256 bits: is each of 16 x 16 cells darker than its right neighbour."""
    small = cv2.resize(image, (17, 16), interpolation=cv2.INTER_AREA).astype(np.int16)
    return (small[:, 1:] > small[:, :-1]).ravel()


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _unit(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32).ravel())


def _structure(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Band-passed, evened out in strength, silent within four pixels of the dark."""
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    band = cv2.GaussianBlur(small, (0, 0), 0.8) - cv2.GaussianBlur(small, (0, 0), 4)
    strength = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), 6)) + 1
    bright = cv2.erode((small > DARK).astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=0)
    weight = cv2.GaussianBlur(bright.astype(np.float32), (0, 0), 1.5)
    return _unit(np.asarray(band / strength * weight, np.float32))


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = values - values.mean()
    norm = float(np.linalg.norm(centred))
    return np.asarray(centred / norm if norm > 0 else centred, np.float32)


def _candidates(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Pairs whose thumbnails and hashes agree, a block of rows at a time: all against all would not fit in memory."""
    if not prints:
        return
    thumbnails = np.stack([one.thumbnail for one in prints])
    bits = np.stack([one.bits for one in prints]).astype(np.float32)
    ones = bits.sum(axis=1)
    for start in range(0, len(prints), BLOCK):
        rows = slice(start, start + BLOCK)
        alike = thumbnails[rows] @ thumbnails.T >= CORRELATION
        # Bits that differ: |a| + |b| - 2 a.b for 0/1 vectors.
        alike &= ones[rows, None] + ones[None, :] - 2 * bits[rows] @ bits.T <= HASH_BITS
        yield from ((int(i) + start, int(j)) for i, j in np.argwhere(alike) if i + start < j)


def _same_structure(one: Fingerprint, other: Fingerprint) -> bool:
    if not one.structure.any() or not other.structure.any():
        # Nothing but broad shading in either: the thumbnails have said all there is to say.
        return bool(one.structure.any() == other.structure.any())
    spectrum = np.fft.rfft2(one.structure) * np.conj(np.fft.rfft2(other.structure))
    match = np.fft.fftshift(np.fft.irfft2(spectrum, s=(SIDE, SIDE)))
    near = slice(SIDE // 2 - SHIFT, SIDE // 2 + SHIFT + 1)
    return bool(match[near, near].max() >= STRUCTURE)


def connected(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Component of each of ``count`` nodes joined by ``pairs``; numbers count from 0 in order of first appearance."""
    neighbours: dict[int, list[int]] = {}
    for i, j in pairs:
        neighbours.setdefault(i, []).append(j)
        neighbours.setdefault(j, []).append(i)
    group = [-1] * count
    number = 0
    for start in range(count):
        if group[start] >= 0:
            continue
        waiting = [start]
        while waiting:
            here = waiting.pop()
            if group[here] < 0:
                group[here] = number
                waiting.extend(neighbours.get(here, ()))
        number += 1
    return group


def assign_folds(groups: Sequence[Any], categories: Sequence[str], folds: int) -> list[int]:
    """Fold of each picture: groups stay whole, classes stay balanced. Groups are numbers, or names.

    Largest groups first, each to the fold that has fewest of its main class (ties: fewest pictures, lowest number), so
    the result depends on nothing but the input order.
    """
    members: dict[Any, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    load = [Counter[str]() for _ in range(folds)]
    fold_of = [0] * len(groups)
    for _, indices in sorted(members.items(), key=lambda item: (-len(item[1]), item[0])):
        counts = Counter(categories[i] for i in indices)
        main = counts.most_common(1)[0][0]
        fold = min(range(folds), key=lambda f: (load[f][main], load[f].total(), f))
        load[fold].update(counts)
        for index in indices:
            fold_of[index] = fold
    return fold_of


def official_folds(groups: Sequence[Any], categories: Sequence[str], tested: Sequence[bool]) -> list[int]:
    """Folds that keep a published test part: fold 0 is the test part, folds 1 to 4 share the rest.

    A group with one picture in the published test part goes there whole: nothing that tests was ever trained on, and
    the published pictures are all tested.
    """
    held = {group for group, test in zip(groups, tested, strict=True) if test}
    rest = [index for index, group in enumerate(groups) if group not in held]
    folds = assign_folds([groups[i] for i in rest], [categories[i] for i in rest], FOLDS - 1)
    fold_of = [0] * len(groups)
    for index, fold in zip(rest, folds, strict=True):
        fold_of[index] = fold + 1
    return fold_of
