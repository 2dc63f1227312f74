"""What every architecture must obey, checked on the real thing: size, learning, saving, exporting, computing the same.

An architecture's test calls these with its builders; full sizes are counted on torch's meta device and cost no memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.awake import awaken
from training.onnx_graph import check_export, traced

GOLDEN = Path(__file__).parents[1] / "golden" / "models"
# Of the output's standard deviation.
GOLDEN_TOLERANCE = 0.02
Shapes = Sequence[tuple[int, ...]]


def parameters(build: Callable[[], nn.Module]) -> int:
    """Number of parameters of what ``build`` builds."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())


def tensors(output: Any) -> list[Tensor]:
    """The tensors of an output: itself, or the members of a tuple or list."""
    return [output] if isinstance(output, Tensor) else [one for part in output for one in tensors(part)]


def examples(shapes: Shapes, batch: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *shape, generator=generator) for shape in shapes]


def learned(network: nn.Module, shapes: Shapes, steps: int = 2) -> set[str]:
    """Names of the parameters that got a finite, non-zero gradient within ``steps`` steps towards random targets."""
    torch.manual_seed(0)
    network.train()
    optimizer = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], lr=1e-2)
    found: set[str] = set()
    for step in range(steps):
        outputs = tensors(network(*examples(shapes, 4, step)))
        loss = sum(((one - torch.randn_like(one)) ** 2).mean() for one in outputs)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), f"gradient of {name} is not finite"
                if parameter.grad.abs().max() > 0:
                    found.add(name)
        optimizer.step()
    return found


def check_learns(network: nn.Module, shapes: Shapes, untrained: Collection[str] = ()) -> None:
    """Every parameter learns but those ``untrained`` by name, and these really do not."""
    every = {name for name, _ in network.named_parameters()}
    assert every - learned(network, shapes) == set(untrained)


def check_reload(build: Callable[[], nn.Module], shapes: Shapes, folder: Path) -> None:
    """A saved state dict loads into a freshly built network, name for name, and computes the same."""
    torch.manual_seed(1)
    network = build().eval()
    torch.save(network.state_dict(), folder / "weights.pt")
    fresh = build().eval()
    fresh.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    with torch.no_grad():
        wanted, found = (tensors(one(*examples(shapes, 2))) for one in (network, fresh))
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(one, other)


def check_onnx(network: nn.Module, shapes: Shapes) -> None:
    """ONNX Runtime gives what torch gives at batches 1, 3 and 5 from one graph.

    The network is scaled first, so that a fault anywhere in the graph shows in what it gives (`training.awake`).
    """
    awaken(network, shapes)
    inputs = [f"input{index}" for index in range(len(shapes))]
    with torch.no_grad():
        outputs = [f"output{index}" for index in range(len(tensors(network(*examples(shapes, 2)))))]
    check_export(network, traced(network, shapes, inputs, outputs).SerializeToString(), *shapes)


def check_differ(one: nn.Module, other: nn.Module, shapes: Shapes) -> None:
    """Two kinds of network with the same weights, scaled for ``one``, give what differs by 5 % of how far it varies."""
    awaken(one, shapes)
    other.eval().load_state_dict(one.state_dict())
    with torch.no_grad():
        first, second = (network(*examples(shapes, 2)) for network in (one, other))
    assert (first - second).std() > 0.05 * first.std()


def check_golden(name: str, build: Callable[[], nn.Module], shapes: Shapes) -> None:
    """Outputs of the seeded tiny network, scaled as above, equal those kept in ``tests/golden/models/<name>.json``.

    The tolerance is 2 % of the golden's standard deviation.

    Per output: shape, mean, standard deviation and 8 values spread over it. A missing file is written and fails the
    test, so that a new golden is a change somebody looks at.
    """
    torch.manual_seed(7)
    network = build()
    awaken(network, shapes)
    with torch.no_grad():
        found = [_summary(one) for one in tensors(network(*examples(shapes, 2, seed=11)))]
    path = GOLDEN / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        raise AssertionError(f"wrote {path}: look at it, commit it, run again")
    wanted = json.loads(path.read_text(encoding="utf-8"))
    assert [one["shape"] for one in found] == [one["shape"] for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        values = torch.tensor([one["mean"], one["std"], *one["values"]])
        golden = torch.tensor([other["mean"], other["std"], *other["values"]])
        torch.testing.assert_close(values, golden, rtol=0, atol=GOLDEN_TOLERANCE * other["std"])


def _summary(output: Tensor) -> dict[str, Any]:
    flat = output.flatten()
    places = torch.linspace(0, flat.numel() - 1, 8).long()
    values = [_nine_digits(value) for value in flat[places]]
    return {
        "shape": list(output.shape),
        "mean": _nine_digits(flat.mean()),
        "std": _nine_digits(flat.std()),
        "values": values,
    }


def _nine_digits(value: Tensor) -> float:
    return float(f"{float(value):.9g}")
