"""A torch network to the bytes of an ONNX file, and the check that both compute the same."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BATCHES = (1, 3, 5)
TOLERANCE = 1e-4
# Fresh networks give maps that hardly vary, and a channel may be small beside the others: both pass TOLERANCE alone.
SPREAD_TOLERANCE = 0.01
# Of a channel's largest value: where it varies less, differences come near to the rounding of float32.
LEAST_SPREAD = 1e-4
OPSET = 18
Values = NDArray[np.float32]


def traced(
    network: nn.Module, shapes: Sequence[tuple[int, ...]], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The graph of a network in evaluation mode: only the batch is dynamic.

    ``shapes`` are those of one example of each input, without the batch; ``inputs`` and ``outputs`` name them. Notes of
    the exporter on where each node came from are left out: they name folders of this machine and outweigh a small
    network.
    """
    # Two examples: with one, the exporter would take the batch for a constant.
    examples = tuple(torch.zeros(2, *shape) for shape in shapes)
    with warnings.catch_warnings():
        # torch's exporter warns of its own use of a class of torch.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        # It also warns that all inputs have one batch in common.
        warnings.filterwarnings("ignore", "# The axis name: batch will not be used", UserWarning)
        batch = torch.export.Dim("batch")
        program: Any = torch.onnx.export(
            network.to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
            examples,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in shapes),
            external_data=False,
            verbose=False,
        )
    return _bare(program.model_proto)


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


@dataclass(frozen=True)
class Difference:
    """The largest difference of a graph from its network.

    Attributes:
        relative: to max(1, largest |output|).
        of_spread: to the standard deviation of the channel it lies in, see `LEAST_SPREAD`.
    """

    relative: float
    of_spread: float


def check_export(
    network: nn.Module, exported: Path | bytes, *shapes: tuple[int, ...], batches: Sequence[int] = BATCHES
) -> Difference:
    """Largest difference between ONNX Runtime and torch over ``batches`` of random input.

    ``shapes`` are those of one example of each input, without the batch. Raises ValueError for more than 1e-4 of the
    largest output (or of 1), for more than 1 % of a channel's standard deviation, and where either gives what is no
    number.
    """
    session = onnxruntime.InferenceSession(exported, _thrifty(), providers=["CPUExecutionProvider"])
    runs = [_outputs(session, network, batch, shapes) for batch in batches]
    pairs = [[np.concatenate(side) for side in zip(*output, strict=True)] for output in zip(*runs, strict=True)]
    found = difference(pairs)
    _refuse_above(TOLERANCE, found.relative, "of the largest output")
    _refuse_above(SPREAD_TOLERANCE, found.of_spread, "of how far a channel varies")
    return found


def difference(pairs: Iterable[Sequence[Values]]) -> Difference:
    """The largest over pairs of what was found and what was wanted, both (batch, channels, ...)."""
    relative, of_spread = zip(*((_relative(*pair), _of_spread(*pair)) for pair in pairs), strict=True)
    return Difference(float(np.max(relative)), float(np.max(of_spread)))


def _refuse_above(most: float, found: float, of: str) -> None:
    # NaN is no number at most 1e-4, either.
    if not found <= most:
        raise ValueError(
            f"Found ONNX and torch to differ by {found:.1e} {of}; wanted at most {most:.0e}. "
            "Do not ship this network; check its layers for one that exports differently."
        )


def _thrifty() -> onnxruntime.SessionOptions:
    # An arena is rounded up and kept: a large network at batch 5 would take twice what it needs.
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False
    # As many as torch's, which the environment can limit.
    options.intra_op_num_threads = torch.get_num_threads()
    return options


def _outputs(
    session: onnxruntime.InferenceSession, network: nn.Module, batch: int, shapes: Sequence[tuple[int, ...]]
) -> list[tuple[Values, Values]]:
    """What ONNX Runtime gives at once and torch one example after the other, output by output."""
    generator = torch.Generator().manual_seed(batch)
    examples = [torch.randn(batch, *shape, generator=generator) for shape in shapes]
    names = [one.name for one in session.get_inputs()]
    found = session.run(None, {name: example.numpy() for name, example in zip(names, examples, strict=True)})
    singles = [_single(network, [one[index : index + 1] for one in examples]) for index in range(batch)]
    return list(zip(found, map(np.concatenate, zip(*singles, strict=True)), strict=True))


@torch.no_grad()
def _single(network: nn.Module, example: Sequence[Tensor]) -> list[Values]:
    outputs = network(*example)
    return [one.numpy() for one in (outputs if isinstance(outputs, tuple | list) else (outputs,))]


def _relative(found: Values, wanted: Values) -> float:
    return float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))


def _of_spread(found: Values, wanted: Values) -> float:
    but_channels = tuple(axis for axis in range(wanted.ndim) if axis != 1)
    least = LEAST_SPREAD * np.abs(wanted).max(axis=but_channels)
    spread = np.maximum(wanted.std(axis=but_channels), least)
    # What is 0 throughout may differ by nothing.
    return float((np.abs(found - wanted).max(axis=but_channels) / np.maximum(spread, np.finfo(np.float32).tiny)).max())
