"""All figures of trained networks: worst and best cases, architectures, localisation, curves, cost, reliability.

Every network is measured first (`training.evaluate_run`, kept below the figures); the pictures show what it wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from service.image import Region
from training.choices import Regions
from training.cost import gmac
from training.datasets.case import Case, Labels, Picture
from training.evaluate import true_boxes
from training.evaluate_run import Boxes, Images, evaluate_run, natural_regions, read_calibration, read_prediction
from training.figures.charts import Point, quality_against_cost, read_curves, reliability_diagram, training_curves
from training.figures.panels import KEY, panel
from training.figures.tiles import BOX, TRUTH, Colour, Tile, boxed, compared, outlined, painted, photograph
from training.graphs import graphs, of_prediction
from training.predict import EXCLUSIVE, predictor
from training.recipe import Recipe
from training.run_folder import CURVES
from training.samples import region_of
from training.scores import MEAN, Score
from training.summary import figure
from training.trained import recipe_of

EVALUATIONS = "evaluations"
# Of a panel whose columns are cases.
ACROSS = 4


@dataclass(frozen=True, eq=False)
class Shown:
    """One network on the images, measured: what the panels show of it.

    Attributes:
        run: its folder.
        images: what it was measured on.
        folder: of its evaluation.
        scores: of its main label, by case: the only one, or the mean of several.
        boxes: where it looked, None for whole pictures.
    """

    run: Path
    images: Images
    folder: Path
    scores: Mapping[str, Score]
    boxes: Boxes | None

    @property
    def name(self) -> str:
        return self.run.resolve().name

    @cached_property
    def recipe(self) -> Recipe:
        return recipe_of(self.run)

    def truth(self, case: Case) -> Labels:
        """Labels as the network is held against."""
        mask = case.read_mask()
        labels = mask if self.recipe.task in EXCLUSIVE else mask > 0
        return np.where(mask == self.recipe.ignore, 0, labels).astype(np.uint8)

    def overlay(self, case: Case) -> Tile:
        """The picture with truth, prediction and, where it looked at any, boxes."""
        image = case.read_image()
        drawn = compared(image, self.truth(case), read_prediction(self.folder, case))
        found = () if self.boxes is None else self.boxes[case.name]
        return Tile(boxed(drawn, found, image.shape), f"Dice {self.scores[case.name].dice:.2f}")

    def row(self, case: Case) -> list[Tile]:
        """Image, truth, prediction, overlay."""
        pictures = photograph(case.read_image()), painted(self.truth(case)), painted(read_prediction(self.folder, case))
        return [*map(Tile, pictures), self.overlay(case)]


def shown(run: Path, images: Images, out: Path, regions: Regions | None = None, boxes: Boxes | None = None) -> Shown:
    """Measure a run, or read what was measured before. Raises as `evaluate_run`."""
    chosen = regions or natural_regions(recipe_of(run), boxes)
    folder = out / EVALUATIONS / f"{run.resolve().name}_{chosen}"
    rows = evaluate_run(run, images, folder, chosen, boxes)
    label = MEAN if any(row.label == MEAN for row in rows) else rows[0].label
    scores = {row.image: row for row in rows if row.label == label}
    return Shown(run, images, folder, scores, _looked_at(images, chosen, boxes))


def _looked_at(images: Images, regions: Regions, boxes: Boxes | None) -> Boxes | None:
    if regions is Regions.truth:
        return {case.name: _true_boxes(case) for case in images.cases}
    return boxes if regions is Regions.detector else None


def _true_boxes(case: Case) -> tuple[Region, ...]:
    mask = case.read_mask()
    return true_boxes(mask, case.speck) if mask.any() else ()


def figures(runs: Sequence[Path], images: Images, out: Path, ends: tuple[int, int], boxes: Boxes | None) -> list[Path]:
    """Draw everything into ``out``; returns the files.

    ``ends`` are how many of the worst and of the best cases a panel has. Raises ValueError without a run or for two of
    one name, and what measuring raises.
    """
    names = [run.resolve().name for run in runs]
    if not runs or len(set(names)) < len(names):
        raise ValueError(f"Found runs {', '.join(names) or 'none'}; wanted some, each name once. Rename their folders.")
    measured = [shown(run, images, out, boxes=boxes) for run in runs]
    drawn = [path for one in measured for path in _ends(one, out, ends)]
    drawn += [_architectures(measured, out), *_localisation(measured, out, boxes)]
    return [*drawn, *_charts(measured, out)]


def _ends(one: Shown, out: Path, ends: tuple[int, int]) -> list[Path]:
    """Panels of the worst and of the best cases with a lesion; where there is none, no panel."""
    ranked = _ranked([one])
    chosen = {"worst": ranked[: ends[0]], "best": ranked[::-1][: ends[1]]}
    columns, key = ("image", "truth", "prediction", "both"), _key([one])
    drawn = []
    for end, cases in chosen.items():
        if cases:
            rows, names = [one.row(case) for case in cases], [case.name for case in cases]
            drawn.append(panel(out / f"{one.name}_{end}.png", rows, names, columns, key))
    return drawn


def _ranked(measured: Sequence[Shown]) -> list[Case]:
    """Cases with a lesion by their mean Dice over the networks, lowest first; ties by name."""
    known = {
        case.name: np.mean([one.scores[case.name].dice for one in measured])
        for case in measured[0].images.cases
        if measured[0].scores[case.name].truth_px
    }
    cases = [case for case in measured[0].images.cases if case.name in known]
    return sorted(cases, key=lambda case: (known[case.name], case.name))


def _spread(measured: Sequence[Shown], count: int = ACROSS) -> list[Case]:
    """Cases evenly from the worst to the best; any, where none has a lesion."""
    ranked = _ranked(measured) or list(measured[0].images.cases)
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked)))
    return [ranked[round(place)] for place in places]


def _architectures(measured: Sequence[Shown], out: Path) -> Path:
    """One row for each network, cases from worst to best as columns; above them the truth."""
    cases = _spread(measured)
    truth = [Tile(_with_truth(measured[0], case)) for case in cases]
    rows = [truth, *([one.overlay(case) for case in cases] for one in measured)]
    names = ["truth", *(one.name for one in measured)]
    return panel(out / "architectures.png", rows, names, [case.name for case in cases], _key(measured))


def _key(measured: Sequence[Shown]) -> dict[str, Colour]:
    """What the colours mean."""
    return KEY if all(one.boxes is None for one in measured) else {**KEY, "box": BOX}


def _with_truth(one: Shown, case: Case) -> Picture:
    return outlined(photograph(case.read_image()), one.truth(case), TRUTH)


def _localisation(measured: Sequence[Shown], out: Path, boxes: Boxes | None) -> list[Path]:
    """For each network that looks at regions: the same cases without and with localisation.

    Without is the same architecture trained on whole pictures where it is among the runs, else the network itself.
    """
    return [_side_by_side(one, measured, out, boxes) for one in measured if one.boxes is not None]


def _side_by_side(one: Shown, measured: Sequence[Shown], out: Path, boxes: Boxes | None) -> Path:
    whole = [
        other
        for other in measured
        if other.recipe.network.path == one.recipe.network.path and region_of(other.recipe) == "whole"
    ]
    without = whole[0] if whole else shown(one.run, one.images, out, Regions.none)
    cases = _spread([without, one])
    rows = [[Tile(_with_truth(one, case)), without.overlay(case), one.overlay(case)] for case in cases]
    names = [case.name for case in cases]
    kind = "true boxes" if boxes is None else "localiser"
    columns = ("truth", f"without ({without.name})", f"behind {kind} ({one.name})")
    return panel(out / f"{one.name}_localisation.png", rows, names, columns, _key([one]))


def _charts(measured: Sequence[Shown], out: Path) -> list[Path]:
    curves = {one.name: read_curves(one.run / CURVES) for one in measured}
    bins = {one.name: read_calibration(one.folder) for one in measured}
    return [
        training_curves(out / "training_curves.png", curves),
        reliability_diagram(out / "reliability.png", bins),
        quality_against_cost(
            out / "quality_against_cost.png",
            [_point(one) for one in measured],
            quality="Dice of lesion images",
            cost="GMAC per image",
        ),
    ]


def _point(one: Shown) -> Point:
    rows = [row for row in one.scores.values() if row.truth_px] or list(one.scores.values())
    dice = figure([row.dice for row in rows], [row.group for row in rows])
    network = predictor(one.run, device="cpu").network
    products = sum(gmac(graph.network, *graph.shapes) for graph in of_prediction(graphs(one.recipe, network)))
    return Point(one.name, products, dice.value, (dice.low, dice.high))
