"""A torch network to the bytes of an ONNX file, and the check that both compute the same."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

BATCHES = (1, 3, 5)
TOLERANCE = 1e-4
OPSET = 18


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


def check_export(network: nn.Module, exported: Path | bytes, *shapes: tuple[int, ...]) -> float:
    """Largest difference between ONNX Runtime and torch over batches 1, 3, 5, relative to max(1, largest |output|).

    ``shapes`` are those of one example of each input, without the batch. Raises ValueError above 1e-4, and where either
    gives what is no number.
    """
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    worst = float(np.max([_difference(session, network, batch, shapes) for batch in BATCHES]))
    # NaN is no number at most 1e-4, either.
    if not worst <= TOLERANCE:
        raise ValueError(
            f"Found ONNX and torch to differ by {worst:.1e} of the largest output; wanted at most {TOLERANCE:.0e}. "
            "Do not ship this network; check its layers for one that exports differently."
        )
    return worst


@torch.no_grad()
def _difference(
    session: onnxruntime.InferenceSession, network: nn.Module, batch: int, shapes: Sequence[tuple[int, ...]]
) -> float:
    generator = torch.Generator().manual_seed(batch)
    examples = [torch.randn(batch, *shape, generator=generator) for shape in shapes]
    wanted = network(*examples)
    names = [one.name for one in session.get_inputs()]
    found = session.run(None, {name: example.numpy() for name, example in zip(names, examples, strict=True)})
    pairs = zip(found, wanted if isinstance(wanted, tuple | list) else (wanted,), strict=True)
    return float(np.max([_relative(one, other) for one, other in pairs]))


def _relative(found: Any, wanted: Tensor) -> float:
    return float(np.abs(found - wanted.numpy()).max() / max(1.0, float(wanted.abs().max())))
