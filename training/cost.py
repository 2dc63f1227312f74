"""What a network costs: parameters, multiplications, milliseconds.

GMAC counts one multiply-accumulate for each product inside convolutions, transposed convolutions, linear layers, matrix
products and attention, for one image; bias, norms, activations, pooling and resizing are left out, as in most published
tables (which often call it GFLOPs, although one multiply-accumulate is two operations).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.graphs import Graph

WARM_UP, RUNS = 2, 9


@dataclass(frozen=True)
class Cost:
    """Of one image. ``milliseconds`` is the median on this machine's CPU by ONNX Runtime on ``threads``, batch 1."""

    parameters: int
    gmac: float
    milliseconds: float
    threads: int


def parameters(network: nn.Module) -> int:
    """All parameters, trained or not; those that two layers share count once."""
    return sum(one.numel() for one in network.parameters())


@torch.no_grad()
def gmac(network: nn.Module, *shapes: tuple[int, ...]) -> float:
    """Billions of multiply-accumulates for one image in evaluation mode.

    ``shapes`` are those of each input without the batch. On torch's meta device nothing is computed.
    """
    device = next(network.parameters()).device
    examples = [torch.zeros(1, *shape, device=device) for shape in shapes]
    counter, training = FlopCounterMode(display=False), network.training
    fast = torch.backends.mha.get_fastpath_enabled()
    # Fused attention and torch's fast path of transformers would be counted as nothing.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with counter, sdpa_kernel(SDPBackend.MATH):
            network.eval()(*examples)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        network.train(training)
    # One multiply-accumulate is two floating point operations.
    return counter.get_total_flops() / 2e9


def milliseconds(graph: bytes, shapes: Sequence[tuple[int, ...]], threads: int) -> float:
    """Median time of one pass, batch 1, by ONNX Runtime on the CPU, after two that do not count."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    names = [one.name for one in session.get_inputs()]
    given = {name: rng.random((1, *shape), np.float32) for name, shape in zip(names, shapes, strict=True)}
    return median([_timed(session, given) for _ in range(WARM_UP + RUNS)][WARM_UP:])


def _timed(session: onnxruntime.InferenceSession, given: dict[str, np.ndarray]) -> float:
    start = time.perf_counter()
    session.run(None, given)
    return 1000 * (time.perf_counter() - start)


def cost(graphs: Sequence[Graph], threads: int) -> Cost:
    """Of all graphs of a network together, on the machine at hand."""
    modules = [one.network for one in graphs]
    times = [milliseconds(one.onnx().SerializeToString(), one.shapes, threads) for one in graphs]
    return Cost(
        sum(map(parameters, modules)), sum(gmac(one.network, *one.shapes) for one in graphs), sum(times), threads
    )
