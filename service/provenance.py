"""What an answer says of how it came about: weights, software, what was done to the picture."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version as installed

from service import __version__
from service.choices import default_region
from service.image import Image
from service.manifest import Manifest
from service.result import CascadeResult

SOFTWARE = ("onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "numpy", "pillow")


def provenance(manifest: Manifest, result: CascadeResult, image: Image, provider: str) -> dict[str, object]:
    """JSON-ready. ``manifest`` is the one that ran, with what was asked for in it."""
    stages = manifest.stages
    return {
        "weights": {weights.file: weights.sha256 for stage in stages for weights in stage.weights.values()},
        "software": software(),
        "provider": provider,
        "preprocessing": {
            "decoding": list(image.notes),
            "stages": {stage.name: stage.input.model_dump(mode="json") for stage in stages},
            **_region(manifest),
            **_side(manifest, result),
        },
    }


def _region(manifest: Manifest) -> dict[str, object]:
    region = default_region(manifest)
    return {} if region is None else {"roi": region}


def _side(manifest: Manifest, result: CascadeResult) -> dict[str, object]:
    side = result.side
    if side is None:
        return {}
    found = {"chest_wall": side.chest_wall, "source": side.source, "mirrored": side.mirrored}
    return {"side": {"canonical": manifest.canonical_side, **found}}


@cache
def software() -> dict[str, str]:
    """Versions that can change a result; what is not installed is left out."""
    versions = {"breast-cascade": __version__}
    for name in SOFTWARE:
        try:
            versions[name] = installed(name)
        except ModuleNotFoundError:
            continue
    return versions
