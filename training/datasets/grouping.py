"""Near-duplicate groups and folds that never split one.

Two pictures are near-duplicates when their 32 x 32 thumbnails correlate at 0.95 or more and their 256-bit difference
hashes (signs of 16 x 16 horizontal gradients) differ in at most 50 bits; groups are the connected components.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

CORRELATION, HASH_BITS = 0.95, 50


def near_duplicate_groups(images: Sequence[NDArray[np.uint8]]) -> list[int]:
    """Group number of each grey picture (height, width); numbers count from 0 in order of first appearance."""
    thumbnails = np.stack([_thumbnail(image) for image in images])
    hashes = np.stack([difference_hash(image) for image in images]).astype(np.float32)
    alike = thumbnails @ thumbnails.T >= CORRELATION
    # Bits that differ: |a| + |b| - 2 a.b for 0/1 vectors.
    ones = hashes.sum(axis=1)
    alike &= ones[:, None] + ones[None, :] - 2 * hashes @ hashes.T <= HASH_BITS
    return _components(alike)


def difference_hash(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """256 bits: is each of 16 x 16 cells darker than its right neighbour."""
    small = cv2.resize(image, (17, 16), interpolation=cv2.INTER_AREA).astype(np.int16)
    return (small[:, 1:] > small[:, :-1]).ravel()


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    norm = float(np.linalg.norm(small))
    return small / norm if norm > 0 else small


def _components(alike: NDArray[np.bool_]) -> list[int]:
    group = [-1] * len(alike)
    count = 0
    for start in range(len(alike)):
        if group[start] >= 0:
            continue
        waiting = [start]
        while waiting:
            here = waiting.pop()
            if group[here] < 0:
                group[here] = count
                waiting.extend(int(i) for i in np.flatnonzero(alike[here]) if group[i] < 0)
        count += 1
    return group


def assign_folds(groups: Sequence[int], categories: Sequence[str], folds: int) -> list[int]:
    """Fold of each picture: groups stay whole, classes stay balanced.

    Largest groups first, each to the fold that has fewest of its main class (ties: fewest pictures, lowest number), so
    the result depends on nothing but the input order.
    """
    members: dict[int, list[int]] = {}
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
