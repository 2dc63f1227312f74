"""When a run saves where it is, and whether it goes on from what was saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from service.canvas import Canvas
from service.checkpoint import Packed, Saved, State, packed, unpacked
from service.log import event
from service.watch import Keeper

# A checkpoint is due after so many batches, and not before it costs less than this share of the time.
EVERY, SHARE = 4, 0.05


@dataclass(eq=False)
class Checkpoints:
    """Those of one run. ``belonging`` gives the digest of what they belong to; it may take its time."""

    keeper: Keeper
    belonging: Callable[[], bytes]
    _canvases: dict[str, Packed] = field(default_factory=dict)
    _batches: int = 0
    _not_before: float = 0.0

    @cached_property
    def _belongs(self) -> bytes:
        return self.belonging()

    def load(self) -> Saved | None:
        """Where to go on from; None to start from zero, which is logged where there was a checkpoint."""
        content = self.keeper.load()
        if content is None:
            return None
        saved = unpacked(content, self._belongs)
        if isinstance(saved, str):
            event("warning", "checkpoint_ignored", reason=saved, bytes=len(content))
            return None
        event("info", "checkpoint_resumed", stage=saved.state.now.stage, done=saved.state.now.done)
        self._canvases = dict(saved.canvases)
        return saved

    def due(self) -> bool:
        """Told of each batch that is done: whether to save after it."""
        self._batches += 1
        return self._batches >= EVERY and time.perf_counter() >= self._not_before

    def save(self, state: State, canvases: dict[str, Canvas]) -> None:
        """Hand the keeper where the run is; its canvases are at the end of a slice."""
        start = time.perf_counter()
        self._canvases = {name: self._canvases.get(name, Packed()) for name in canvases}
        for name, canvas in canvases.items():
            self._canvases[name].catch_up(canvas)
        self.keeper.save(packed(Saved(state, self._canvases), self._belongs))
        end = time.perf_counter()
        self._batches, self._not_before = 0, end + (end - start) / SHARE
