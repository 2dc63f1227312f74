"""Measure one trained classifier on the cases of a part: a row for each image, a summary, a reliability plot.

``scores.csv`` (`training.class_scores`), ``summary.json`` (accuracy, confusion matrix, AUROC with intervals,
calibration, on what, where the network looked and by which weights) and ``reliability.png``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from training.choices import Regions
from training.class_scores import NOTHING, Classified, ClassScore, read_classes, write_classes
from training.datasets.case import Case
from training.evaluate_run import SCORES, SUMMARY, Boxes, Images, calibration, key_in, key_of, natural_regions
from training.figures.charts import reliability_diagram
from training.looking import Subject
from training.predict import predictor
from training.summary import plain

RELIABILITY = "reliability.png"
CONVENTION = (
    "Ambiguous cases and categories that are no class do not count. Where the localiser found nothing, the answer is "
    "no class: right for a normal picture, wrong for any other, and without part in AUROC and calibration. At true "
    "boxes a picture without a lesion is shown whole. AUROC: each class against all others. Calibration: the highest "
    "probability against whether its class is right"
)


def evaluate_classifier(
    run: Path, images: Images, out: Path, regions: Regions | None = None, boxes: Boxes | None = None
) -> Classified:
    """Measure the best weights of a run folder and write everything to ``out``; what is there already is read.

    ``regions`` None looks where the network was trained to look. Raises FileNotFoundError for what is no run folder
    and ValueError for another task, where boxes are missing and where no image counts.
    """
    network = predictor(run)
    chosen = regions or natural_regions(network.recipe, boxes)
    key = key_of(run, images, chosen, boxes)
    if key_in(out) == key:
        return read_classes(out / SCORES)
    subject = Subject(network, chosen, boxes or {})
    counted = track(images.cases, f"{subject.recipe.name} on {images.name}", console=Console(stderr=True))
    found = Classified(subject.recipe.names, [_row(subject, case) for case in counted])
    content = key | {"recipe": subject.recipe.name, "convention": CONVENTION} | _summary(found)
    write_classes(found, out / SCORES)
    says = ("share that is right", "images")
    reliability_diagram(out / RELIABILITY, {subject.recipe.name: found.calibration}, says)
    (out / SUMMARY).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return found


def _row(subject: Subject, case: Case) -> ClassScore:
    names, scores = subject.recipe.names, subject.classes(case)
    counted = not case.ambiguous and case.category in names
    guess = "" if scores is None else names[int(scores.argmax())]
    told = [float("nan")] * len(names) if scores is None else [float(one) for one in scores]
    return ClassScore(case.name, case.group, case.category, guess, counted, dict(zip(names, told, strict=True)))


def _summary(found: Classified) -> dict[str, Any]:
    counted = found.counted
    return {
        "classes": list(found.names),
        "counted": len(counted),
        "groups": len({row.group for row in counted}),
        "nothing_found": len(counted) - len(found.known),
        "figures": plain({name: asdict(one) for name, one in found.figures.items()}),
        "confusion_matrix": {
            "truth": list(found.names),
            "guess": [*found.names, NOTHING],
            "images": found.confusion.tolist(),
        },
        "calibration": plain(calibration(found.calibration)),
    }
