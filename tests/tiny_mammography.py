"""A mammography pipeline small enough to predict by hand, from the template that the real one is trained by.

Tissue is told by grey value: 0 background, 70 adipose, 120 pectoral, 180 fibroglandular; whatever is brighter than 237
is a lesion, wherever stage 2 looks.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from onnx import helper

import training
from service.yaml12 import read_yaml
from tests.tiny_graphs import graph

NAME, VERSION = "mammography", "1.0.0"
TEMPLATE = Path(training.__file__).parent / "recipes" / "mammography_pipeline.yaml"
SIZE = 64
BACKGROUND, ADIPOSE, PECTORAL, DENSE, LESION = 0, 70, 120, 180, 250
# As the stage's labels have it: background first.
LEVELS = (BACKGROUND, ADIPOSE, DENSE, PECTORAL)
BLOCK = {"size": [SIZE, SIZE], "window": {"kind": "range", "low": 0, "high": 255}, "letterbox": True}
ENHANCE = {"tissue": "none", "lesion": "none"}
REGIONS = {"fibroglandular": ["fibroglandular"], "breast": ["adipose", "fibroglandular"], "full": []}
LOOK = {"surround": 2 / SIZE}
OF_TRAINING = ("recipe", "licence", "mirror", "train")

Grey = NDArray[np.uint8]


def write(root: Path, **changes: Any) -> Path:
    """Write ``root/mammography/1.0.0/``, fields of its manifest changed; gives ``root``."""
    folder = root / NAME / VERSION
    folder.mkdir(parents=True)
    card = read_yaml(TEMPLATE.read_text(encoding="utf-8"))
    for stage, content in zip(card["stages"], (_tissue(), _lesion()), strict=True):
        for key in OF_TRAINING:
            stage.pop(key, None)
        (folder / f"{stage['name']}.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        stage["weights"] = {"network": {"file": f"{stage['name']}.onnx", "sha256": digest, "licence": "none"}}
        stage["input"] = BLOCK | {"enhance": ENHANCE[stage["name"]]}
    card["stages"][1]["look"] = LOOK
    (folder / "manifest.yaml").write_text(yaml.safe_dump({**card, **changes}, sort_keys=False), encoding="utf-8")
    (folder / "card.md").write_text("# Tiny mammography\n", encoding="utf-8")
    return root


def breast() -> Grey:
    """A breast at the left edge of 64 x 64: fat 48 x 40, in it dense tissue 16 x 20 with a lesion 6 x 4.

    Rows come first. One more lesion, 4 x 4, lies in the fat, one in the air; the pectoral muscle, 8 x 8, in a corner.
    """
    picture = np.full((SIZE, SIZE), BACKGROUND, np.uint8)
    picture[8:56, 0:40] = ADIPOSE
    picture[24:40, 8:28] = DENSE
    picture[28:34, 12:16] = LESION
    picture[46:50, 20:24] = LESION
    picture[2:6, 56:60] = LESION
    picture[0:8, 0:8] = PECTORAL
    return picture


def _tissue() -> bytes:
    """Logits 2 c x - c^2 of each level c, scaled: the nearest level is the likeliest."""
    levels = np.array(LEVELS, np.float32) / 255
    nodes = [helper.make_node("Conv", ["image", "slope", "offset"], ["logits"])]
    constants = {"slope": 4000 * levels.reshape(4, 1, 1, 1), "offset": -2000 * levels**2}
    return graph(nodes, {"image": ["batch", 1, SIZE, SIZE]}, {"logits": ["batch", 4, SIZE, SIZE]}, constants)


def _lesion() -> bytes:
    nodes = [helper.make_node("Conv", ["image", "slope", "offset"], ["logits"])]
    constants = {"slope": np.full((1, 1, 1, 1), 200, np.float32), "offset": [-186.0]}
    return graph(nodes, {"image": ["batch", 1, SIZE, SIZE]}, {"logits": ["batch", 1, SIZE, SIZE]}, constants)
