"""Doing things on the page, and looking at it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import service

if TYPE_CHECKING:
    from playwright.sync_api import Page


SAMPLES = Path(service.__file__).parent / "samples"
SAMPLE = SAMPLES / "ultrasound_phantom_1.png"


def wait_for_answer(page: Page) -> None:
    """Until the request under way is answered and drawn."""
    page.wait_for_selector("#result[aria-busy=false]")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def try_sample(page: Page, name: str = SAMPLE.name) -> dict[str, Any]:
    """Click a bundled phantom; the JSON answer the page got for it."""
    with page.expect_response("**/segment") as caught:
        page.click(f".sample:has(img[src$='{name}'])")
    wait_for_answer(page)
    return caught.value.json()


def pixels(page: Page, canvas: str = "#picture-canvas") -> np.ndarray:
    """What a canvas shows, (height, width, 4)."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    address = page.evaluate("(canvas) => document.querySelector(canvas).toDataURL('image/png')", canvas)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))
