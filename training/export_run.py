"""The network of a run folder as ONNX files, without a pipeline around it."""

from __future__ import annotations

import json
from pathlib import Path

from training.export import digest
from training.graphs import Written, graphs, write_graphs
from training.predict import predictor


def export_run(run: Path, out: Path) -> list[Written]:
    """Write every graph of a run's best weights, and ``<recipe>.json``, which says what goes into each.

    Most networks are one file; SAM and MedSAM an encoder, a decoder of boxes and, where the recipe prompts by points, a
    decoder of points. Weights stay as they were trained; a pipeline's are rounded (`training.export`).

    Raises FileNotFoundError for what is no run folder and ValueError where a graph differs from torch.
    """
    network = predictor(run, device="cpu")
    recipe, made = network.recipe, graphs(network.recipe, network.network)
    written = write_graphs(made, recipe.name, out)
    files = [
        {
            "role": graph.role,
            "file": one.path.name,
            "sha256": digest(one.path),
            "inputs": {name: list(shape) for name, shape in zip(graph.inputs, graph.shapes, strict=True)},
            "outputs": list(graph.outputs),
            "onnx_against_torch": float(f"{one.difference:.1e}"),
        }
        for graph, one in zip(made, written, strict=True)
    ]
    content = {
        "recipe": recipe.name,
        "task": recipe.task,
        "input": recipe.input.model_dump(mode="json"),
        "files": files,
    }
    (out / f"{recipe.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return written
