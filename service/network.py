"""Networks as the stages see them; the only file that imports onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.errors import DeviceError, WeightsError

Float = NDArray[np.float32]
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
ERRORS_ONLY = 3


class Network(Protocol):
    """Named float32 arrays in, named float32 arrays out; the first axis of each is the batch. Safe to share by threads."""

    @property
    def inputs(self) -> Mapping[str, tuple[int | None, ...]]:
        """Input name to shape; None where any size goes (the batch)."""
        ...

    @property
    def provider(self) -> str: ...

    def run(self, inputs: Mapping[str, Float]) -> dict[str, Float]: ...


@dataclass(frozen=True)
class Device:
    """Where sessions run. ``kind`` ``auto`` takes a GPU when one works; ``threads`` are those of one run on the CPU."""

    kind: str = "cpu"
    index: int = 0
    threads: int = 1

    @staticmethod
    def parse(text: str, threads: int = 1) -> Device:
        """From ``auto``, ``cpu``, ``cuda`` or ``cuda:1``. Raises DeviceError."""
        kind, _, index = text.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdecimal())):
            raise DeviceError(
                f"device {text!r}", "auto, cpu, cuda or cuda:<number>", "Set BREAST_CASCADE_DEVICE to one of these."
            )
        return Device(kind, int(index or 0), threads)


class OnnxNetwork:
    """A network in ONNX Runtime, loaded from bytes (a graph that points to other files is refused).

    Args:
        content: the ONNX file.
        name: for error messages.
        device: where to run.

    Raises:
        WeightsError: the file is no usable graph, or its batch is not dynamic or another axis is.
        DeviceError: a GPU was asked for and the session does not use it.
    """

    def __init__(self, content: bytes, name: str, device: Device) -> None:
        self._session = _session(content, name, device)
        self.provider: str = self._session.get_providers()[0]
        if device.kind == "cuda" and self.provider != CUDA:
            raise DeviceError(
                f"{name} runs on {self.provider}", CUDA, "Install onnxruntime-gpu with its CUDA libraries, or set cpu."
            )
        self.inputs = {one.name: _shape(one.shape) for one in self._session.get_inputs()}
        for one, shape in self.inputs.items():
            if not shape or shape[0] is not None or None in shape[1:]:
                raise WeightsError(
                    f"{name}: input {one} of shape {shape}",
                    "a dynamic batch and every other axis fixed",
                    "Export the network again with `breast-cascade-train export`.",
                )
        self._outputs = [one.name for one in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Float]) -> dict[str, Float]:
        """One pass. Arrays (batch, ...) by input name to arrays (batch, ...) by output name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))


def _shape(axes: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(axis if isinstance(axis, int) else None for axis in axes)


def _session(content: bytes, name: str, device: Device) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(content, _options(device.threads), providers=_providers(device))
    # onnxruntime's exceptions have no common base below Exception.
    except Exception as error:
        raise WeightsError(
            f"{name}: {str(error).splitlines()[0]:.120}", "a graph that ONNX Runtime loads", "Export the network again."
        ) from error


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    # Two sessions in series otherwise fight for the cores: each keeps its threads spinning after its own run.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    wants_gpu = device.kind == "cuda" or (device.kind == "auto" and CUDA in onnxruntime.get_available_providers())
    gpu = (CUDA, {**CUDA_OPTIONS, "device_id": str(device.index)})
    return [gpu, CPU] if wants_gpu else [CPU]
