"""The small phantoms bundled with the service for its demo and its page.

python -m training.phantoms.samples -o service/samples
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from training.phantoms.lesions import Kind
from training.phantoms.ultrasound import save_png, ultrasound_phantom


@dataclass(frozen=True)
class Sample:
    """One bundled picture: file stem, title for people, and how it is drawn."""

    stem: str
    title: str
    seed: int
    kind: Kind | None


SAMPLES = (
    Sample("ultrasound_phantom_1", "Phantom: a smooth oval lesion", 13, "benign"),
    Sample("ultrasound_phantom_2", "Phantom: an irregular lesion with a shadow", 18, "malignant"),
    Sample("ultrasound_phantom_3", "Phantom: no lesion", 16, None),
)


def write_samples(folder: Path) -> None:
    """Draw every bundled picture into ``folder`` and list them in its ``index.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        phantom = ultrasound_phantom(seed=sample.seed, kind=sample.kind, lesions=0 if sample.kind is None else 1)
        save_png(phantom.image, folder / f"{sample.stem}.png", phantom.metadata)
    index = [{"name": f"{s.stem}.png", "pipeline": "ultrasound", "title": s.title} for s in SAMPLES]
    (folder / "index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Command line: write the bundled samples into the folder."""
    parser = argparse.ArgumentParser(description="Draw the phantoms that are bundled with the service.")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    write_samples(parser.parse_args().output)


if __name__ == "__main__":
    main()
