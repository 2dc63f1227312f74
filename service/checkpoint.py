"""What a run over a volume knows between two batches, as bytes; and the same read back, if it is whole and its own.

A checkpoint is a digest of all that follows, a digest of what it belongs to, JSON, and the labels of the slices that
are done. Nothing in it is executed. It holds no voxel of the image.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from service import __version__
from service.canvas import Canvas
from service.components import enclosing
from service.errors import BreastCascadeError
from service.image import Image, Region
from service.manifest import Manifest
from service.network import Network, installed_runtimes
from service.result import Ask, Classification, Flag, Localisation, Look, Part, Patch, StageResult
from service.stages import Found

DIGEST = hashlib.sha256().digest_size
LENGTH = 8
FAST = 1
NOT_CLASSIFIED = Classification(None, "This pipeline has no classifying stage.")


@dataclass
class Progress:
    """How far one stage is: views ``done``, what came of them, and the seconds that went into it."""

    stage: str = ""
    done: int = 0
    looks: list[Look] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    runs: int = 0
    network_seconds: float = 0.0


@dataclass
class State:
    """What the stages have come to: boxes and way of localising by stage, results of those that are done."""

    found: dict[str, list[Found]] = field(default_factory=lambda: {"image": []})
    how: dict[str, Localisation] = field(default_factory=dict)
    results: list[StageResult] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    classification: Classification = NOT_CLASSIFIED
    stopped: set[str] = field(default_factory=set)
    now: Progress = field(default_factory=Progress)


@dataclass
class Packed:
    """A canvas as bytes; what is done of it is packed once, however often it is saved."""

    parts: list[Part] = field(default_factory=list)
    slices: list[tuple[Region, bytes]] = field(default_factory=list)
    patches: list[tuple[Region, bytes]] = field(default_factory=list)

    def catch_up(self, canvas: Canvas) -> None:
        """Pack what was done since the last time."""
        canvas.close()
        new = canvas.parts[len(self.parts) :]
        self.parts += new
        for _, parts in groupby(new if canvas.whole else (), key=lambda part: part.region.z0):
            region = enclosing([part.region for part in parts])
            self.slices.append((region, _squeezed(canvas.labels[region.slices])))
        for patch in canvas.patches[len(self.patches) :]:
            self.patches.append((patch.region, _squeezed(patch.probability)))

    def draw_on(self, canvas: Canvas) -> None:
        """Bring an empty canvas to where the packed one was."""
        labels = ((region, _spread(block, region, np.uint8)) for region, block in self.slices)
        patches = [Patch(region, _spread(block, region, np.float32)) for region, block in self.patches]
        canvas.restore(self.parts, labels, patches)


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: canvases by stage."""

    state: State
    canvases: dict[str, Packed]


@dataclass(frozen=True)
class _Drawn:
    """A canvas without its bytes: those follow the JSON, in this order."""

    parts: list[Part]
    slices: list[Region]
    patches: list[Region]


@dataclass(frozen=True)
class _Head:
    state: State
    canvases: dict[str, _Drawn]
    sizes: list[int]


_HEAD = TypeAdapter(_Head)


def packed(saved: Saved, belongs: bytes) -> bytes:
    """The checkpoint; ``belongs`` is the digest of what it belongs to, see `belonging`."""
    blocks = [block for one in saved.canvases.values() for _, block in (*one.slices, *one.patches)]
    drawn = {
        name: _Drawn(one.parts, [region for region, _ in one.slices], [region for region, _ in one.patches])
        for name, one in saved.canvases.items()
    }
    head = _HEAD.dump_json(_Head(saved.state, drawn, [len(block) for block in blocks]))
    body = b"".join([belongs, len(head).to_bytes(LENGTH, "big"), head, *blocks])
    return hashlib.sha256(body).digest() + body


def unpacked(content: bytes, belongs: bytes) -> Saved | str:
    """What it holds; or, in one word, why it cannot be gone on from."""
    body = content[DIGEST:]
    if len(body) < DIGEST + LENGTH or hashlib.sha256(body).digest() != content[:DIGEST]:
        return "damaged"
    if body[:DIGEST] != belongs:
        return "foreign"
    try:
        return _unpacked(body[DIGEST:])
    except (ValueError, StopIteration, BreastCascadeError):
        return "unreadable"


def _unpacked(body: bytes) -> Saved:
    start = LENGTH + int.from_bytes(body[:LENGTH], "big")
    head = _HEAD.validate_json(body[LENGTH:start])
    blocks = _blocks(body[start:], head.sizes)
    canvases = {
        name: Packed(
            one.parts,
            [(region, next(blocks)) for region in one.slices],
            [(region, next(blocks)) for region in one.patches],
        )
        for name, one in head.canvases.items()
    }
    return Saved(head.state, canvases)


def _blocks(content: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    return (content[a:b] for a, b in pairwise(accumulate(sizes, initial=0)))


def _squeezed(array: NDArray[Any]) -> bytes:
    return zlib.compress(np.ascontiguousarray(array).data, FAST)


def _spread(block: bytes, region: Region, dtype: type[np.generic]) -> NDArray[Any]:
    return np.frombuffer(zlib.decompress(block), dtype).reshape(region.shape)


def belonging(manifest: Manifest, networks: Iterable[Network], image: Image, ask: Ask) -> bytes:
    """Digest of all that decides a result: pipeline with the digests of its weights, devices, software, voxels, ask."""
    about = [
        __version__,
        np.__version__,
        cv2.__version__,
        sorted(installed_runtimes().items()),
        [(one.provider, one.batch) for one in networks],
        manifest.model_dump_json(),
        ask,
        image.field,
        image.voxels.dtype.str,
        tuple(image.voxels.shape),
    ]
    digest = hashlib.sha256(repr(about).encode())
    for z in range(image.depth):
        digest.update(np.ascontiguousarray(image.slab(z, z + 1)).data)
    return digest.digest()
