"""Networks as the stages see them; the only file that imports onnxruntime."""

from __future__ import annotations

import math
import os
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from threading import Lock
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.errors import DeviceError, WeightsError

Float = NDArray[np.float32]
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
CUDA_OPTIONS = {
    # An exhaustive search costs hundreds of milliseconds for each new batch size.
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
    # TF32 rounds to ten bits: masks would differ from those on a CPU, which every card's figures were measured on.
    "use_tf32": "0",
}
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
GPU_MEMORY = 4 * 2**30
ERRORS_ONLY = 3
EMBEDDING_BYTES = 256 * 2**20
# A CPU is as fast with one at a time; from eight on its caches overflow, which costs 5 % and memory by the example.
ON_CPU = 4
# What every GPU can hold, and the most that one is given.
BATCH, MOST_AT_ONCE = 8, 64
# What a network of full resolution holds per pixel of its input while it runs: 64 channels of float32, four times over.
BYTES_PER_PIXEL = 4 * 64 * 4


class Network(Protocol):
    """Named float32 arrays in, named float32 arrays out; the first axis of each is the batch. Threads may share it."""

    @property
    def inputs(self) -> Mapping[str, tuple[int | None, ...]]:
        """Input name to shape; None where any size goes (the batch)."""
        ...

    @property
    def provider(self) -> str: ...

    @property
    def batch(self) -> int:
        """The most examples that one run should be given."""
        ...

    def run(self, inputs: Mapping[str, Float]) -> dict[str, Float]: ...


@dataclass(frozen=True)
class Device:
    """Where sessions run.

    ``kind`` ``auto`` takes a GPU when one works; ``threads`` are those of one run on the CPU; ``memory`` is the most
    that one session's arena may take on a GPU, in bytes.
    """

    kind: str = "cpu"
    index: int = 0
    threads: int = 1
    memory: int = GPU_MEMORY

    @staticmethod
    def parse(text: str, threads: int = 1, memory: int = GPU_MEMORY) -> Device:
        """From ``auto``, ``cpu``, ``cuda`` or ``cuda:1``. Raises DeviceError."""
        kind, colon, index = text.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (colon and not (kind == "cuda" and index.isdecimal())):
            raise DeviceError(
                f"device {text!r}", "auto, cpu, cuda or cuda:<number>", "Set BREAST_CASCADE_DEVICE to one of these."
            )
        return Device(kind, int(index or 0), threads, memory)


def built_for_gpu() -> bool:
    """Whether the ONNX Runtime installed here could use a GPU, if there is one."""
    return CUDA in onnxruntime.get_available_providers()


class OnnxNetwork:
    """A network in ONNX Runtime, loaded from bytes (a graph that points to other files is refused).

    Args:
        content: the ONNX file.
        name: for error messages.
        device: where to run.

    Raises:
        WeightsError: the file is no usable graph, or an input is not float32 with only its batch dynamic.
        DeviceError: a GPU was asked for and the session does not use it, or both builds of ONNX Runtime are there.
    """

    def __init__(self, content: bytes, name: str, device: Device) -> None:
        self._name = name
        self._session = _session(content, name, device)
        self.provider: str = self._session.get_providers()[0]
        if device.kind == "cuda" and self.provider != CUDA:
            raise _no_cuda(f"{name} runs on {self.provider}")
        self.inputs = {one.name: _shape(one.shape) for one in self._session.get_inputs()}
        for one in self._session.get_inputs():
            self._check_input(one.name, one.type)
        self._outputs = [one.name for one in self._session.get_outputs()]
        self.batch = batch_on_gpu(self.inputs, device.memory) if self.provider == CUDA else ON_CPU

    def _check_input(self, name: str, kind: str) -> None:
        shape = self.inputs[name]
        if not shape or shape[0] is not None or None in shape[1:] or kind != "tensor(float)":
            raise WeightsError(
                f"{self._name}: input {name}, {kind} of shape {shape}",
                "tensor(float) with a dynamic batch (None) and every other axis fixed",
                "Export the network again with `breast-cascade-train export`.",
            )

    def run(self, inputs: Mapping[str, Float]) -> dict[str, Float]:
        """One pass. Arrays (batch, ...) by input name to arrays (batch, ...) by output name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))

    def warm(self, batch: int) -> dict[str, Float]:
        """One pass over zeros, so that the first request does not pay for allocation and kernel choice.

        Raises WeightsError where the graph loads and cannot run.
        """
        zeros = {name: np.zeros([axis or batch for axis in shape], np.float32) for name, shape in self.inputs.items()}
        with _readable(self._name, "a graph that ONNX Runtime can run"):
            return self.run(zeros)


def batch_on_gpu(inputs: Mapping[str, tuple[int | None, ...]], memory: int) -> int:
    """How many examples fill half of a session's ``memory`` (bytes), a power of two from `BATCH` to `MOST_AT_ONCE`.

    The other half is left for weights and the working space of convolutions.
    """
    pixels = max(math.prod(axis or 1 for axis in shape[-2:]) for shape in inputs.values())
    fitting = memory // 2 // (BYTES_PER_PIXEL * pixels)
    return min(MOST_AT_ONCE, max(BATCH, 1 << max(0, fitting.bit_length() - 1)))


def installed_runtimes() -> dict[str, str]:
    """Version by name of every build of ONNX Runtime that is installed; there should be one."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _no_cuda(found: str) -> DeviceError:
    return DeviceError(
        found, CUDA, "Install onnxruntime-gpu with its CUDA libraries and the NVIDIA driver they need, or set cpu."
    )


def _check_one_runtime() -> None:
    if len(found := installed_runtimes()) > 1:
        raise DeviceError(
            " and ".join(f"{name} {version}" for name, version in found.items()),
            "one of them: both write into one folder, where the CPU build wins without a word",
            "Uninstall both and install the one you want, or set cpu.",
        )


def _shape(axes: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(axis if isinstance(axis, int) else None for axis in axes)


@contextmanager
def _readable(name: str, wanted: str) -> Iterator[None]:
    try:
        yield
    # onnxruntime's exceptions have no common base below Exception.
    except Exception as error:
        text = str(error).partition("\n")[0]
        raise WeightsError(f"{name}: {text:.120}", wanted, "Export the network again.") from error


def _session(content: bytes, name: str, device: Device) -> onnxruntime.InferenceSession:
    if device.kind == "cpu":
        return _on_cpu(content, name, device)
    _check_one_runtime()
    available = onnxruntime.get_available_providers()
    if CUDA in available:
        return _on_gpu(content, name, device)
    if device.kind == "cuda":
        raise _no_cuda(f"an ONNX Runtime with {', '.join(available)}")
    return _on_cpu(content, name, device)


def _on_cpu(content: bytes, name: str, device: Device) -> onnxruntime.InferenceSession:
    with _readable(name, "a graph in one file that ONNX Runtime loads"):
        return _opened(content, device, [CPU])


def _on_gpu(content: bytes, name: str, device: Device) -> onnxruntime.InferenceSession:
    _load_cuda_libraries()
    options = {**CUDA_OPTIONS, "device_id": str(device.index), "gpu_mem_limit": str(device.memory)}
    try:
        return _opened(content, device, [(CUDA, options), CPU])
    except Exception as error:  # onnxruntime's exceptions have no common base below it
        # Where the graph is at fault, this says so.
        session = _on_cpu(content, name, device)
        if device.kind == "cuda":
            raise _no_cuda(f"{name}: {_reason(error)}") from error
        return session


@cache
def _load_cuda_libraries() -> None:
    """CUDA and cuDNN as wheels lie where no loader looks. Without this the session falls back to the CPU."""
    # What it cannot load it prints, and stdout belongs to the command's data.
    with redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls()


def _reason(error: Exception) -> str:
    text = str(error)
    cuda = re.search(r"CUDA failure [^;\n]{1,120}", text)
    return cuda[0].strip() if cuda else f"{text.partition(chr(10))[0]:.120}"


def _opened(
    content: bytes, device: Device, providers: list[str | tuple[str, dict[str, str]]]
) -> onnxruntime.InferenceSession:
    # Left to itself, a session whose GPU fails goes on with the CPU, also in the middle of its work.
    return onnxruntime.InferenceSession(content, _options(device.threads), providers=providers, enable_fallback=0)


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    # Two sessions in series otherwise fight for the cores: each keeps its threads spinning after its own run.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights in further files would be read from the current directory, unchecked. Below the null device lies nothing.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return options


@dataclass(eq=False)
class EmbeddingMemory:
    """Encoder outputs by digest of the encoder's input, the latest used kept, at most ``limit`` bytes; thread-safe."""

    limit: int = EMBEDDING_BYTES
    _kept: OrderedDict[str, dict[str, Float]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: str) -> dict[str, Float] | None:
        """What was put under ``key``, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, value: dict[str, Float]) -> None:
        """Keep ``value`` and forget the longest unused beyond the limit; what is over it alone is not kept."""
        if _bytes(value) > self.limit:
            return
        with self._lock:
            self._kept[key] = value
            while self.bytes > self.limit:
                self._kept.popitem(last=False)

    @property
    def bytes(self) -> int:
        """Size of everything kept."""
        return sum(map(_bytes, self._kept.values()))


def _bytes(value: dict[str, Float]) -> int:
    return sum(array.nbytes for array in value.values())
