"""Checks of encoders that start from weights: of a file, of a library's cache, on grey input, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

Build = Callable[..., Any]
Encode = Callable[[Any, Tensor], Tensor]


def save(weights: Mapping[str, Tensor], folder: Path) -> str:
    torch.save(dict(weights), folder / "encoder.pt")
    return str(folder / "encoder.pt")


def check_start(build: Build, encode: Encode, weights: str, size: int) -> None:
    """Two encoders started from the same weights give the same, and grey input what grey as RGB gives."""
    grey, again, colour = (build(in_channels=channels, weights=weights).eval() for channels in (1, 1, 3))
    random = build(in_channels=1).eval()
    picture = torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found = encode(grey, picture)
        torch.testing.assert_close(found, encode(again, picture), rtol=0, atol=0)
        scale = found.norm()
        assert (encode(colour, picture.expand(-1, 3, -1, -1)) - found).norm() < 1e-4 * scale
        assert (encode(random, picture) - found).norm() > 1e-1 * scale


def check_refusals(build: Build, folder: Path) -> None:
    """A path that leads nowhere and the weights of another architecture are said, not passed over."""
    with pytest.raises(FileNotFoundError, match="Found no file .*nowhere.pt; wanted a state dict"):
        build(weights=str(folder / "nowhere.pt"))
    foreign = save({"layer.weight": torch.zeros(2, 2)}, folder)
    with pytest.raises(ValueError, match="Found weights of another architecture in .*encoder.pt"):
        build(weights=foreign)


def cache_hub_file(
    weights: nn.Module, repository: str, revision: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lay weights where the hub's client keeps what it fetched, and let it ask no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    snapshot = folder / f"models--{repository.replace('/', '--')}" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}", encoding="utf-8")
    save_file({name: one.contiguous() for name, one in weights.state_dict().items()}, snapshot / "model.safetensors")
