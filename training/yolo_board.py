"""What ultralytics reports of an epoch, as TensorBoard's events; it has no Dice, for it draws no outline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


def follow(model: Any, folders: Sequence[Path]) -> Callable[[], None]:
    """Let a YOLO about to be trained write events to every folder; returns what closes them.

    Tags: ``loss``, the sum of its training losses; ``learning_rate``; and all that ultralytics calls its own
    (``train/box_loss``, ``val/box_loss``, ``metrics/mAP50(B)``, ...).
    """
    boards = [SummaryWriter(str(folder)) for folder in folders]
    written: set[int] = set()

    def ended(trainer: Any) -> None:
        epoch = trainer.epoch + 1
        # Called once more for the best weights at the end.
        if epoch in written:
            return
        written.add(epoch)
        for board in boards:
            for name, value in scalars(trainer).items():
                board.add_scalar(name, value, epoch)
            board.flush()

    model.add_callback("on_fit_epoch_end", ended)

    def close() -> None:
        for board in boards:
            board.close()

    return close


def scalars(trainer: Any) -> dict[str, float]:
    """Figures of the epoch that ended by tag."""
    losses = trainer.label_loss_items(trainer.tloss, prefix="train")
    ours = {"loss": sum(map(float, losses.values())), "learning_rate": float(trainer.lr["lr/pg0"])}
    theirs = losses | trainer.metrics | trainer.lr
    return ours | {name: float(value) for name, value in theirs.items()}
