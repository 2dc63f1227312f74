"""One process or many: what torch's launcher has set up, and the little that processes tell each other.

    torchrun --nproc-per-node 4 -m training.cli fit RECIPE --data DIR -o RUN

Each process takes its share of every epoch and its own GPU; the first one validates and writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """The processes that train together, as one of them sees it."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process validates, writes and shows progress."""
        return self.rank == 0

    def replica(self, network: nn.Module) -> nn.Module:
        """The network as this process trains it: the same parameters, gradients averaged over all processes."""
        if self.size == 1:
            return network
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, find_unused_parameters=True)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients of parameters that are no part of a replica."""
        for one in parameters:
            if self.size > 1 and one.grad is not None:
                distributed.all_reduce(one.grad)
                one.grad /= self.size

    def mean(self, value: float) -> float:
        """Mean over the processes."""
        if self.size == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(held)
        return float(held) / self.size

    def from_first(self, value: float) -> float:
        """What the first process has."""
        if self.size == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(held, 0)
        return float(held)

    def moved(self, batch: Tensor | Iterable[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """A batch on this process's device, pictures in the memory format that convolutions prefer."""
        if isinstance(batch, Tensor):
            there = batch.to(self.device, non_blocking=True)
            return there.contiguous(memory_format=torch.channels_last) if there.ndim == 4 else there
        return tuple(self.moved(one) for one in batch)  # type: ignore[misc]


@contextmanager
def world(device: str) -> Iterator[World]:
    """This process's world; ``device`` is ``auto``, ``cpu`` or ``cuda``, with a number or without.

    Under torch's launcher (RANK is set) processes find each other first, and leave each other at the end. Raises
    ValueError for a device that is not there.
    """
    if "RANK" not in os.environ:
        yield World(torch.device(found_device(device)))
        return
    here = found_device(device)
    if here == "cuda":
        here = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(here)
    distributed.init_process_group("nccl" if here.startswith("cuda") else "gloo")
    try:
        yield World(torch.device(here), distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def found_device(device: str) -> str:
    """What ``auto`` means here. Raises ValueError for a GPU that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"Found no GPU for device {device}; wanted one. Set the recipe's `device` to auto or cpu.")
    return device
