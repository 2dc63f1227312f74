"""The table of a comparison, as Markdown for readers and as CSV for programs, and a plot of quality against cost."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.cost import Cost
from training.figures.charts import Point, quality_against_cost
from training.metrics.compare import Comparison
from training.scores import Score
from training.summary import Figure, Set, chosen, difference, sets
from training.trained import Trained

MARKDOWN, CSV, PLOT = "table.md", "table.csv", "quality_against_cost.png"
OVERLAP = {"dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall"}
BORDERS = {
    "hd95_mm": "HD95 mm",
    "hd95_px": "HD95 px",
    "surface_dice_2mm": "surface Dice 2 mm",
    "surface_dice_2px": "surface Dice 2 px",
}
LESIONS = {
    "lesion_sensitivity": "lesion sensitivity",
    "false_positives_per_image": "false positives per image",
    "froc": "FROC",
    "solidity": "solidity",
}
SHOWN = {**OVERLAP, **BORDERS, **LESIONS}
WHO, COMPARED = ("method", "regions"), ("ΔDice", "p of the mean", "p of the ranks")
OF_METHOD = (
    "parameters",
    "gmac",
    "ms_per_image",
    "loss",
    "training_loss",
    "validation_loss",
    "epochs",
    "minutes",
    "hardware",
)
OF_FIGURE = ("value", "low", "high", "images", "undefined")
COLUMNS = (
    *("data_set", "label", "set", "method", "regions", "trained_on"),
    *OF_METHOD,
    *("images", "empty_truth", "both_empty", "groups"),
    *(f"{key}_{part}" for key in SHOWN for part in OF_FIGURE),
    *(f"pooled_{key}" for key in ("dice", "iou", "precision", "recall")),
    *("dice_minus_first", "dice_minus_first_low", "dice_minus_first_high", "p_mean", "p_value"),
)
NOTES = (
    "Means over images with 95 % intervals (bootstrap over groups of images that belong together). Where truth and "
    "mask are both empty, Dice, IoU, precision and recall are 1; with one of them empty they are 0.",
    "HD95 and surface Dice are in mm where the data set knows the spacing, else in pixels of the image's grid. They "
    "are undefined where either mask is empty, and of a volume with a slice missing. Surface Dice is the share of "
    "both borders within 2 mm or 2 pixels of the other. In parentheses stands how many images have no value.",
    "A lesion is a connected part of the truth, found by a part of the mask that overlaps it with an IoU of at least "
    "0.1; a part that overlaps none so is a false positive. Lesion sensitivity is of all lesions together. FROC is its "
    "mean at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per image, parts being shown in the order of their highest "
    "probability. Solidity is that of the mask: pixels over pixel centres in the convex hull.",
    "ΔDice is the paired difference to the first row on the same images. p of the mean is of a permutation test, which "
    "exchanges the two methods group by group at random: it asks what the interval asks. p of the ranks is of "
    "Wilcoxon's signed-rank test over groups, each counted once: it may be small while the mean's interval holds 0, "
    "when most groups differ a little one way and a few much the other. Neither is corrected for the number of rows.",
    "GMAC: multiply-accumulates of convolutions, linear layers and attention, in billions for one image; norms, "
    "activations and resizing are not counted. Losses are those of the epoch that was kept; different losses cannot "
    "be compared with each other.",
)


@dataclass(frozen=True, eq=False)
class Method:
    """One row: a trained network, where it looked, what it costs and how it scored on one data set.

    Attributes:
        name: as the table prints it.
        regions: ``none`` for whole pictures, ``detector``, or ``truth`` for true boxes.
        trained: how it came to be.
        cost: of one image.
        scores: of every image and label.
    """

    name: str
    regions: str
    trained: Trained
    cost: Cost
    scores: Sequence[Score]

    def of(self, label: str) -> list[Score]:
        """The scores of one label."""
        return [row for row in self.scores if row.label == label]


@dataclass(frozen=True, eq=False)
class Results:
    """What a table holds of one data set.

    Attributes:
        name: of the data set and its part.
        methods: the first is what the others are compared with.
    """

    name: str
    methods: Sequence[Method]

    @property
    def labels(self) -> list[str]:
        """The labels that any method has, in order."""
        return list(dict.fromkeys(row.label for method in self.methods for row in method.scores))


@dataclass(frozen=True)
class Line:
    """One method on one set of images of one label."""

    label: str
    method: Method
    figures: Set
    against_first: Comparison | None


def lines(results: Results) -> list[Line]:
    """Label by label and set by set, every method in its order."""
    found = [line for label in results.labels for line in _of_label(results, label)]
    order = {name: number for number, name in enumerate(dict.fromkeys(line.figures.name for line in found))}
    places = {label: number for number, label in enumerate(results.labels)}
    return sorted(found, key=lambda line: (places[line.label], order[line.figures.name]))


def _of_label(results: Results, label: str) -> Iterable[Line]:
    first = results.methods[0]
    for method in results.methods:
        for figures in sets(method.of(label)):
            yield Line(label, method, figures, _against(first, method, label, figures.name))


def _against(first: Method, method: Method, label: str, name: str) -> Comparison | None:
    if method is first or not first.of(label):
        return None
    return difference(chosen(method.of(label), name), chosen(first.of(label), name))


def write_table(results: Sequence[Results], out: Path, title: str, notes: Sequence[str] = ()) -> Path:
    """Write ``table.md``, ``table.csv`` and the plot to ``out``; returns the path of the Markdown.

    Raises ValueError without a method.
    """
    if not results or not all(one.methods for one in results):
        raise ValueError("Found no method; wanted at least one row for the table. Evaluate a run first.")
    out.mkdir(parents=True, exist_ok=True)
    found = [(one, lines(one)) for one in results]
    with (out / CSV).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(_cells(one.name, line) for one, some in found for line in some)
    parts = [f"# {title}", "", *(f"- {note}" for note in (*notes, *NOTES)), "", _methods(results[0].methods)]
    parts += [text for one, some in found for text in _sections(one, some)]
    (out / MARKDOWN).write_text("\n".join(parts) + "\n", encoding="utf-8")
    _plot(found[0][1], out / PLOT)
    return out / MARKDOWN


def _cells(data_set: str, line: Line) -> dict[str, Any]:
    method, figures = line.method, line.figures
    head = (data_set, line.label, figures.name, method.name, method.regions, method.trained.region, *_facts(method))
    counted = (figures.images, figures.empty_truth, figures.both_empty, figures.groups)
    measured = [getattr(figures.figures[key], part) for key in SHOWN for part in OF_FIGURE]
    pooled = [figures.pooled[key] for key in ("dice", "iou", "precision", "recall")]
    values = (*head, *counted, *measured, *pooled, *_compared(line.against_first))
    return {name: _cell(value) for name, value in zip(COLUMNS, values, strict=True)}


def _compared(one: Comparison | None) -> tuple[Any, ...]:
    return ("",) * 5 if one is None else (one.difference, *one.interval, one.p_mean, one.p_value)


def _facts(method: Method) -> tuple[Any, ...]:
    cost, trained = method.cost, method.trained
    made = (trained.loss, trained.training_loss, trained.validation_loss, trained.epochs, trained.minutes)
    return (cost.parameters, cost.gmac, cost.milliseconds, *made, trained.hardware)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def _methods(methods: Sequence[Method]) -> str:
    """What the methods are and cost, each once."""
    titles = ["method", "trained on", "parameters", "GMAC", "ms per image", "loss"]
    titles += ["training loss", "validation loss", "epochs", "minutes", "hardware"]
    rows = {(one.name, one.trained.region): _method(one) for one in methods}
    return _markdown(titles, list(rows.values()))


def _method(one: Method) -> list[str]:
    cost, trained = one.cost, one.trained
    counted = [f"{cost.parameters / 1e6:.2f} M", f"{cost.gmac:.2f}", f"{cost.milliseconds:.0f}"]
    losses = [trained.loss, _number(trained.training_loss, 4), _number(trained.validation_loss, 4)]
    long = [f"{trained.epochs} of {trained.planned}", _number(trained.minutes, 1), trained.hardware]
    return [one.name, trained.region, *counted, *losses, *long]


def _number(value: float, digits: int) -> str:
    return "not known" if math.isnan(value) else f"{value:.{digits}f}"


def _sections(results: Results, found: Sequence[Line]) -> list[str]:
    texts = ["", f"## {results.name}"]
    for label, name in dict.fromkeys((line.label, line.figures.name) for line in found):
        some = [line for line in found if (line.label, line.figures.name) == (label, name)]
        first = some[0].figures
        counted = f"{first.images} in {first.groups} groups, {first.empty_truth} without a lesion"
        texts += ["", f"### {label}, {name if name.endswith('volumes') else f'{name} images'} ({counted})", ""]
        texts += [_markdown([*WHO, *OVERLAP.values(), *COMPARED], [_quality(one) for one in some]), ""]
        titles = {key: title for key, title in {**BORDERS, **LESIONS}.items() if _told(some, key)}
        texts.append(_markdown([*WHO, *titles.values()], [_figures(one, titles) for one in some]))
    return texts


def _told(some: Sequence[Line], key: str) -> bool:
    """Whether a figure has a column: what no row has, has none, nor have pixels where all of them are millimetres."""
    images = [line.figures.figures[key].images for line in some]
    if not key.endswith("px"):
        return any(images)
    in_mm = [line.figures.figures[key.replace("px", "mm")].images for line in some]
    return any(images) and images != in_mm


def _figures(line: Line, keys: Iterable[str]) -> list[str]:
    return [line.method.name, line.method.regions, *(_figure(line.figures.figures[key], key) for key in keys)]


def _quality(line: Line) -> list[str]:
    against = line.against_first
    compared = [""] * 3 if against is None else [_difference(against), _p(against.p_mean), _p(against.p_value)]
    return [*_figures(line, OVERLAP), *compared]


def _figure(one: Figure, key: str) -> str:
    if not one.images:
        return f"undefined ({one.undefined})"
    digits = 1 if key.startswith("hd95") else 3
    text = f"{one.value:.{digits}f} [{one.low:.{digits}f}, {one.high:.{digits}f}]"
    return f"{text} ({one.undefined})" if one.undefined else text


def _difference(one: Comparison) -> str:
    low, high = one.interval
    return f"{one.difference:+.3f} [{low:+.3f}, {high:+.3f}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _plot(found: Sequence[Line], path: Path) -> None:
    """Dice on images with a lesion, or where there is none on all, of the first label against GMAC."""
    label = found[0].label
    names = [line.figures.name for line in found if line.label == label]
    wanted = "lesion" if "lesion" in names else names[0]
    shown = [line for line in found if (line.label, line.figures.name) == (label, wanted)]
    several = len({line.method.regions for line in shown}) > 1
    points = [_point(line, several) for line in shown]
    quality_against_cost(path, points, quality=f"Dice of {label}, {wanted} images", cost="GMAC per image")


def _point(line: Line, several: bool) -> Point:
    method, dice = line.method, line.figures.figures["dice"]
    series = f"regions: {method.regions}" if several else ""
    return Point(method.name, method.cost.gmac, dice.value, (dice.low, dice.high), series)
