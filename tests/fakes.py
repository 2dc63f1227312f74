"""Networks of a few lines each, and the stages and pipelines around them, for tests that need no ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.cascade import Cascade
from service.image import Image
from service.manifest import Manifest, StageSpec
from service.network import Network
from service.stages import build_stage

Float = NDArray[np.float32]
# Probability 1 and 0 as logits that sigmoid maps back to them within 1e-6.
CERTAIN = 1 - 1e-6
# Raw values 0 to 255 become 0 to 1, whatever the crop holds.
BYTE_WINDOW = {"kind": "range", "low": 0, "high": 255}
LABELS = ("lesion", "fat", "gland")


@dataclass
class FakeNetwork:
    """Answers a batch of its one input by a function; keeps the shapes of the batches it was given."""

    answer: Callable[[Float], dict[str, Float]]
    shape: tuple[int, ...]
    provider: str = "fake"
    batch: int = 8
    batches: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def inputs(self) -> Mapping[str, tuple[int | None, ...]]:
        return {"image": (None, *self.shape)}

    def run(self, inputs: Mapping[str, Float]) -> dict[str, Float]:
        (batch,) = inputs.values()
        assert batch.shape[1:] == self.shape
        assert batch.dtype == np.float32
        self.batches.append(batch.shape)
        return self.answer(batch)

    @property
    def runs(self) -> int:
        """How many batches came."""
        return len(self.batches)


def logits_of(probability: NDArray[Any]) -> Float:
    """Logits whose sigmoid is ``probability``, which is kept off 0 and 1."""
    p = np.clip(probability.astype(np.float64), 1 - CERTAIN, CERTAIN)
    return np.log(p / (1 - p)).astype(np.float32)


def identity(size: tuple[int, int], channels: int = 1) -> FakeNetwork:
    """Probability of each label = the input's channel, as the standardised pixels have it."""
    return FakeNetwork(lambda batch: {"logits": logits_of(batch)}, (channels, *size))


def threshold(size: tuple[int, int], at: float = 0.5, gain: float = 20.0) -> FakeNetwork:
    """Positive logits where the first channel is brighter than ``at``."""
    return FakeNetwork(lambda batch: {"logits": (gain * (batch[:, :1] - at)).astype(np.float32)}, (1, *size))


def constant(size: tuple[int, int], value: float = -10.0, labels: int = 1, channels: int = 1) -> FakeNetwork:
    """The same logit everywhere."""
    return FakeNetwork(
        lambda batch: {"logits": np.full((len(batch), labels, *size), value, np.float32)}, (channels, *size)
    )


def scores(size: tuple[int, int], *logits: float) -> FakeNetwork:
    """A classifier that always says the same."""
    return FakeNetwork(lambda batch: {"logits": np.tile(np.float32(logits), (len(batch), 1))}, (1, *size))


def raising(size: tuple[int, int], error: Exception) -> FakeNetwork:
    """Fails on every run."""

    def fail(_: Float) -> dict[str, Float]:
        raise error

    return FakeNetwork(fail, (1, *size))


def spec(name: str, kind: str = "segment", **changes: Any) -> StageSpec:
    """A stage block with everything a kind needs; ``size`` is that of its network, default (32, 32)."""
    size = changes.pop("size", (32, 32))
    roles = ("encoder", "decoder") if kind == "prompt" else ("network",)
    block: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "labels": () if kind == "map" else ("lesion",),
        "input": {"size": size, "window": BYTE_WINDOW, **changes.pop("input", {})},
        "weights": {role: {"file": f"{role}.onnx", "sha256": "0" * 64, "licence": "none"} for role in roles},
    }
    if kind == "detect":
        block["decode"] = {"kind": "components"}
    if changes.get("on", "image") != "image":
        block["on_miss"] = "empty"
    return StageSpec.model_validate({**block, **changes})


def manifest(stages: Sequence[StageSpec]) -> Manifest:
    """A pipeline of these stages with the labels lesion 1, fat 2 and gland 3."""
    return Manifest.model_validate(
        {
            "name": "fake",
            "version": "1.0.0",
            "title": "Fakes",
            "modality": "US",
            "intended_use": "Tests.",
            "evidence": {"level": "demonstration", "data": "none", "data_licence": "none"},
            "labels": [{"id": n, "name": name, "color": (255, 0, 0)} for n, name in enumerate(LABELS, start=1)],
            "stages": [stage.model_dump(by_alias=True) for stage in stages],
        }
    )


def cascade(*pairs: tuple[StageSpec, Network]) -> Cascade:
    """A pipeline of stages with one network each."""
    card = manifest([one for one, _ in pairs])
    return Cascade(card, tuple(build_stage(one, {"network": network}) for one, network in pairs))


def picture(plane: NDArray[Any], **about: Any) -> Image:
    """(height, width) or (height, width, 3) as an image."""
    return Image(np.atleast_3d(plane)[np.newaxis], **about)


def volume(slices: NDArray[Any], **about: Any) -> Image:
    """(depth, height, width) as an image whose depth is space."""
    return Image(slices[..., np.newaxis], depth_axis="space", **about)


def square(left: int, top: int, side: int, size: int = 64) -> NDArray[np.uint8]:
    """A white square on black, (size, size)."""
    plane = np.zeros((size, size), np.uint8)
    plane[top : top + side, left : left + side] = 255
    return plane


@dataclass
class CountingReader:
    """A lazy volume (depth, height, width, channels) that refuses to give more than ``most`` slices at once."""

    voxels: NDArray[Any]
    most: int = 1
    reads: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.voxels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.voxels.dtype

    def __getitem__(self, key: slice) -> NDArray[Any]:
        asked = range(*key.indices(self.shape[0]))
        assert len(asked) <= self.most, f"asked for {len(asked)} slices at once"
        self.reads += len(asked)
        return self.voxels[key].copy()
