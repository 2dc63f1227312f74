"""The networks of a stage: read, hash-checked, run once and held against the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from service.errors import WeightsError
from service.frame import input_channels
from service.manifest import StageSpec, verified_weights
from service.network import BATCH, CUDA, Device, Float, Network, OnnxNetwork

# Without the batch axis; None where any length goes.
Shape = tuple[int | None, ...]
# An encoder comes before its decoder, whose inputs are the encoder's outputs.
ROLES = ("network", "encoder", "decoder")
# Two for the corners of a box, one for a point beside them.
LEAST_PLACES = 3


def load_networks(folder: Path, stage: StageSpec, device: Device) -> dict[str, Network]:
    """The networks of one stage by role, warmed. Raises WeightsError or DeviceError."""
    networks: dict[str, Network] = {}
    outputs: dict[str, Float] = {}
    for role in (role for role in ROLES if role in stage.weights):
        path = folder / stage.weights[role].file
        network = OnnxNetwork(verified_weights(folder, stage.weights[role]), str(path), device)
        _check_inputs(path, network, stage, outputs if role == "decoder" else None)
        outputs = _warm(network, stage)
        if role != "encoder":
            _check_outputs(path, stage, outputs)
        networks[role] = network
    return networks


def _warm(network: OnnxNetwork, stage: StageSpec) -> dict[str, Float]:
    """The outputs for zeros: of a prompt for one, its networks run one by one; elsewhere for two at once, which shows a
    graph that has forgotten its batch."""
    if stage.kind == "prompt":
        return network.warm(1)
    if network.provider == CUDA:
        _warm_on_gpu(network)
    return network.warm(2)


def _warm_on_gpu(network: OnnxNetwork) -> None:
    """Each batch size that will come: kernels are chosen once for each shape; the largest first, so that the arena
    grows once. A size that does not fit after all is halved."""
    while network.batch > BATCH:
        try:
            network.warm(network.batch)
            break
        except WeightsError:
            network.batch //= 2
    for batch in range(BATCH, 0, -1):
        network.warm(batch)


def _check_inputs(path: Path, network: OnnxNetwork, stage: StageSpec, embedding: dict[str, Float] | None) -> None:
    """One input for the image; of a decoder, the encoder's outputs and a prompt."""
    found = {name: shape[1:] for name, shape in network.inputs.items()}
    wanted: dict[str, Shape] = {next(iter(found), "image"): (input_channels(stage), *stage.input.size)}
    if embedding is not None:
        wanted = {**_prompt_inputs(found), **{name: value.shape[1:] for name, value in embedding.items()}}
    if found != wanted:
        raise WeightsError(
            f"{path}: inputs {found} beside the batch",
            f"{wanted}, as stage {stage.name} says",
            "Mend the manifest's input block or export the network again.",
        )


def _prompt_inputs(found: Mapping[str, Shape]) -> dict[str, Shape]:
    """A box; or, where the decoder names points, its own number of places, three at least."""
    if "points" not in found:
        return {"boxes": (1, 4)}
    places = max([LEAST_PLACES, *(axis or 0 for axis in found["points"][:1])])
    return {"points": (places, 2), "labels": (places,)}


def _check_outputs(path: Path, stage: StageSpec, outputs: dict[str, Float]) -> None:
    found = {name: value.shape for name, value in outputs.items()}
    batch = 1 if stage.kind == "prompt" else 2
    name, wanted = _wanted_output(stage, next(iter(found)))
    right = _fits(found.get(name), (batch, *wanted))
    if name == "logits" and "presence" in found and stage.kind == "detect":
        right &= found["presence"] == (batch, len(stage.labels))
    if not right:
        raise WeightsError(
            f"{path}: outputs {found} for a batch of {batch}",
            f"{name} of shape {(batch, *wanted)}, as stage {stage.name} and its labels say (None: any)",
            "Mend the manifest's labels or size, or export the network again.",
        )


def _wanted_output(stage: StageSpec, first: str) -> tuple[str, Shape]:
    """Name and shape of the output that the stage will read."""
    labels, size = len(stage.labels), stage.input.size
    match stage.kind:
        case "classify":
            return first, (labels,)
        case "map":
            return first, (1, *size)
        case "prompt":
            return first, (labels + stage.exclusive, None, None)
        case "segment":
            return first, (labels + stage.exclusive, *size)
        case "detect":
            components = stage.decode is not None and stage.decode.kind == "components"
            return ("logits", (labels, *size)) if components else (first, (4 + labels, None))


def _fits(found: tuple[int, ...] | None, wanted: Shape) -> bool:
    if found is None or len(found) != len(wanted):
        return False
    return all(b in (None, a) for a, b in zip(found, wanted, strict=True))
