"""Small pictures, posted."""

from __future__ import annotations

import io
from typing import Any

import cv2
import httpx
import numpy as np
from PIL import Image as Pillow

from tests.tiny_pipeline import square

SQUARE = square(20, 24, 16)
EXPECTED = (SQUARE > 0).astype(np.uint8)


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(content)))


def post(client: httpx.Client, content: bytes = png(SQUARE), path: str = "/segment", **fields: Any) -> httpx.Response:
    return client.post(path, files={"file": ("scan.png", content)}, data=fields)
