"""What a large DICOM mammogram costs beside its codec.

    python benchmarks/mammogram.py [--size H,W] [--rounds N] [--json]

One picture of 16 bits, 4096 x 3328 pixels unless told, goes through ``POST /segment?format=mask`` twice: as PNG and
as DICOM in JPEG 2000 lossless. Prints, from one run, the medians of both answers and of the bare decode of the JPEG
2000 stream in this process. Exit status 1 when the DICOM answer exceeds the PNG answer by more than 1.3 times the
bare decode.

The bundled ultrasound pipeline stands in, told to be one for mammograms: its networks do not matter here, and are the
same for both.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from overhead import ROOT, service
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import pixel_array
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEG2000Lossless

FULL_SIZE = 4096, 3328
ALLOWED = 1.3
NAME = "mammogram_benchmark"
SOURCE = ROOT / "service" / "pipelines" / "ultrasound" / "1.0.0"
Pixels = NDArray[np.uint16]


def mammogram(height: int, width: int) -> Pixels:
    """A half disc of tissue of many scales with noise, 14 of 16 bits used, (height, width)."""
    noise = np.random.default_rng(0)
    tissue = np.zeros((height, width), np.float32)
    for side in (4, 16, 64, 256, 1024):
        coarse = noise.random((side, side), np.float32)
        tissue += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / side**0.3
    rows, columns = np.ogrid[:height, :width]
    inside = ((rows / height - 0.5) / 0.45) ** 2 + (columns / width / 0.8) ** 2 < 1
    grain = noise.normal(0, 30, (height, width)).astype(np.float32)
    return np.where(inside, np.clip(2000 + 4000 * tissue + grain, 0, 16383), 0).astype(np.uint16)


def dicom(pixels: Pixels) -> Dataset:
    """The picture as a mammogram in JPEG 2000 lossless (DICOM PS3.5, A.4.4)."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = "2.25.1"
    header.Modality, header.PhotometricInterpretation = "MG", "MONOCHROME2"
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PixelRepresentation = 1, 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.ImagerPixelSpacing = [0.07, 0.07]
    header.PixelData = pixels.tobytes()
    header.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    return header


def written(header: Dataset) -> bytes:
    """The file."""
    stream = io.BytesIO()
    header.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def stand_in(folder: Path) -> None:
    """The bundled pipeline once more, for mammograms."""
    target = folder / NAME / "1.0.0"
    shutil.copytree(SOURCE, target)
    manifest = target / "manifest.yaml"
    text = manifest.read_text(encoding="utf-8")
    text = text.replace("name: ultrasound\n", f"name: {NAME}\n", 1).replace("modality: US\n", "modality: MG\n", 1)
    manifest.write_text(text, encoding="utf-8")


def milliseconds(work: Callable[[], Any]) -> float:
    """Of one call."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def measure(size: tuple[int, int], rounds: int) -> dict[str, float]:
    """Medians in ms of the two answers and of the bare decode, timed in turn; the first round only warms."""
    pixels = mammogram(*size)
    header = dicom(pixels)
    files = {"png": cv2.imencode(".png", pixels)[1].tobytes(), "dicom": written(header)}
    parts: dict[str, list[float]] = {"png": [], "dicom": [], "bare": []}
    with service() as client:
        for _ in range(rounds + 1):
            for name, content in files.items():
                parts[name].append(milliseconds(lambda content=content: client.post(content, NAME, "mask")))
            parts["bare"].append(milliseconds(lambda: pixel_array(header, raw=True, decoding_plugin="pylibjpeg")))
    return {name: statistics.median(values[1:]) for name, values in parts.items()}


def main() -> int:
    """Command line; the exit status is 1 when the limit is broken."""
    parser = argparse.ArgumentParser(description="What a large DICOM mammogram costs beside its codec.")
    parser.add_argument("--size", default="{},{}".format(*FULL_SIZE), help="height,width in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the medians as one JSON line too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stand_in(Path(folder))
        os.environ["BREAST_CASCADE_PIPELINES_DIR"] = folder
        height, width = map(int, arguments.size.split(","))
        medians = measure((height, width), arguments.rounds)
    excess = (medians["dicom"] - medians["png"]) / medians["bare"]
    print(f"{medians['png']:9.0f}  ms, PNG in, mask out")
    print(f"{medians['dicom']:9.0f}  ms, DICOM in JPEG 2000 lossless in, mask out")
    print(f"{medians['bare']:9.0f}  ms, the bare decode of that stream")
    if arguments.json:
        print(json.dumps(medians))
    within = excess <= ALLOWED
    print(f"\n{excess:.2f} times the bare decode more: {'within' if within else 'BEYOND'} the limit of {ALLOWED}.")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
