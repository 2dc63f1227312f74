"""A recipe: everything that decides how one network is trained, read from YAML.

A recipe may say ``extends: other.yaml`` (a path relative to itself) and then holds only what differs. Its ``tiny``
block is laid over it by ``--smoke``. Both follow the rules of `merged`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from service.manifest import Fraction, Frozen, InputSpec, Look, Name
from service.yaml12 import read_yaml
from training.augment import Strength
from training.schedules import Rate

TaskName = Literal["localise", "segment", "classify", "whole", "labels", "fuse", "map", "prompt"]
NonNegative = Annotated[float, Field(ge=0)]
# Of BUSI, in the order in which every classifier of this project gives them.
CATEGORIES = ("benign", "malignant", "normal")


class Part(Frozen):
    """A class or function by dotted path, with its keyword arguments."""

    path: str
    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]


class Term(Part):
    """A further term of the loss: which member of the network's output and of the target it takes, None for all."""

    weight: NonNegative = 1.0
    output: int | None = None
    target: int | None = None


class Schedule(Frozen):
    """How long, how fast, and in what precision.

    Attributes:
        epochs: passes over the training part.
        batch: cases a step, on each process.
        learning_rate: its greatest value; ``rate`` says how it changes.
        weight_decay: given to the optimiser.
        average: decay of the exponential moving average that is validated and kept; 0 keeps the weights themselves.
        precision: of the forward pass; weights and optimiser stay float32. float16 scales gradients and needs a GPU.
        seed: of weights, order, augmentation and dropout.
        clip: greatest norm of all gradients together, 0 for none.
        accumulate: batches that make one step of the optimiser; at the end of an epoch it may be fewer.
        early_stop: epochs without a better validation score after which training ends, 0 for never.
    """

    epochs: Annotated[int, Field(ge=1)] = 100
    batch: Annotated[int, Field(ge=1)] = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    average: Annotated[float, Field(ge=0, lt=1)] = 0.998
    precision: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    seed: int = 0
    rate: Rate = Rate()
    clip: NonNegative = 5.0
    accumulate: Annotated[int, Field(ge=1)] = 1
    early_stop: Annotated[int, Field(ge=0)] = 0


class Jitter(Frozen):
    """How far a true box is moved to look like a localiser's: each side times ``scale``, centre by ``shift`` x side."""

    scale: tuple[float, float] = (0.75, 1.35)
    shift: NonNegative = 0.12


class Recipe(Frozen):
    """One network's training.

    Attributes:
        name: also the file's name.
        task: what is learned, see `training.tasks`. ``localise``: the lesion in the whole picture and whether there is
            one; ``segment``: the lesion in crops; ``classify``: the category of crops; ``whole``: the lesion in the
            whole picture; ``labels``: a label map (softmax); ``fuse``: a label map from picture and depth; ``map``:
            the depth of the whole picture, 0 to 1;
            ``prompt``: the lesion that a box or points mean, on pictures as they are.
        network: its builder.
        dataset: a function of the data set's folder that gives its cases.
        input: from pixels to the network's input, as in a manifest.
        look: how a box becomes the region that is looked at.
        region: ``crop`` around a box, ``mask_out`` (the whole picture, black outside of the box) or ``whole``; None
            takes the task's own.
        boxes: JSON file of boxes that a localiser found on cases it was not trained on (`training.regions`).
        maps: JSON file of maps that a map stage drew of cases it was not trained on (`training.map_files`); they
            take the place of the depth that these cases come with.
        boxes_share: of the crops with a lesion, how many use these boxes and not the jittered truth.
        jitter: of the true boxes.
        prompts: of ``prompt``, see `training.prompts.Prompts`.
        logs: further folder that gets TensorBoard's events while they are written; the run folder always has them.
        embeddings: folder in which ``prompt`` keeps what an encoder that does not train gives for each picture; None
            takes ``embeddings`` in the run folder.
        negatives: share of training crops that look elsewhere.
        augment: how pictures are varied.
        swaps: pairs of labels that change places in a mirrored picture, such as left and right.
        classes: names of the network's outputs in their order: categories of ``classify`` (None takes BUSI's), labels
            of ``labels`` and ``fuse``, background first.
        categories: only cases of these categories are trained and validated on; None takes all.
        probabilities: the network gives probabilities, cut to 0 to 1, in place of logits.
        normals: weight of pictures without a lesion in the score that chooses the best epoch: the share of them on
            which nothing is drawn. The rest of the score is the mean Dice of lesions; 0 looks at these alone.
        interest: label whose Dice chooses the best epoch in ``labels`` and ``fuse``; None takes the mean of all labels
            but the background.
        ignore: value of pixels in a label map that neither teach nor count; for the tasks of one lesion, background.
        loss: on (logits, target); None takes the task's own.
        terms: further terms of the loss by name, added with their weights; those of weight 0 are left out.
        loss_weights: ``learned`` trains one weight per term beside the network.
        loss_rate: greatest learning rate of these weights; it follows the schedule's curve.
        class_weights: ``inverse_frequency`` gives the loss a weight per label, N / (C n_c), from the training part.
        auxiliary: weight of each further output of a deeply supervised network.
        l1_lambda: of the sum of absolute weights, norms and biases left out.
        optimizer: its class; learning rate and weight decay come from the schedule.
        schedule: how long and how fast.
        sampling: ``class_balanced`` and ``lesion_balanced`` draw cases with replacement, inversely to how frequent
            their category, or having a lesion at all, is in the training part.
        freeze: patterns (``*`` for anything) of parameter names that are not trained.
        test_fold: fold that is kept for testing.
        excluded: folds that are neither trained on, validated on nor tested on.
        validation: share of the other groups that chooses the best epoch.
        start: checkpoint whose matching weights are taken over before training.
        in_memory: keep all pictures in memory; otherwise they are read when they are needed.
        device: ``auto`` takes a GPU where there is one.
        tiny: what ``--smoke`` lays over the recipe.
    """

    name: Name
    task: TaskName
    network: Part
    dataset: Part
    input: InputSpec
    look: Look = Look()
    region: Literal["crop", "mask_out", "whole"] | None = None
    boxes: Path | None = None
    maps: Path | None = None
    boxes_share: Fraction = 0.5
    jitter: Jitter = Jitter()
    prompts: Annotated[dict[str, Any], Field(default_factory=dict)]
    logs: Path | None = None
    embeddings: Path | None = None
    negatives: Fraction = 0.2
    augment: Strength = Strength()
    swaps: tuple[tuple[int, int], ...] = ()
    classes: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    probabilities: bool = False
    normals: Fraction = 0.25
    interest: int | None = None
    ignore: int = 255
    loss: Part | None = None
    terms: Annotated[dict[Name, Term], Field(default_factory=dict)]
    loss_weights: Literal["fixed", "learned"] = "fixed"
    loss_rate: NonNegative = 0.01
    class_weights: Literal["none", "inverse_frequency"] = "none"
    auxiliary: NonNegative = 1.0
    l1_lambda: NonNegative = 0.0
    optimizer: Part = Part(path="torch.optim.AdamW", arguments={})
    schedule: Schedule = Schedule()
    sampling: Literal["none", "class_balanced", "lesion_balanced"] = "none"
    freeze: tuple[str, ...] = ()
    test_fold: Annotated[int, Field(ge=0)] = 0
    excluded: tuple[int, ...] = ()
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.12
    start: Path | None = None
    in_memory: bool = True
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")] = "auto"
    tiny: Annotated[dict[str, Any], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _labelled(self) -> Recipe:
        if self.task in ("labels", "fuse") and len(self.classes or ()) < 2:
            raise ValueError(f"task {self.task} needs `classes`: the names of its labels, background first")
        if self.interest is not None and not 0 <= self.interest < len(self.names):
            raise ValueError(f"interest is label {self.interest}, wanted 0 to {len(self.names) - 1}: {self.names}")
        if self.augment.paste and self.task not in ("localise", "segment", "whole"):
            raise ValueError(f"augment.paste is for lesions, task {self.task} has others: wanted 0, set it to 0")
        return self

    @property
    def channels(self) -> int:
        """Of the network's input: those of the picture, and the depth behind them in ``fuse``."""
        return self.input.channels + (self.task == "fuse")

    @property
    def names(self) -> tuple[str, ...]:
        """What the network's outputs are called."""
        return self.classes or CATEGORIES


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe with all that it extends.

    Raises pydantic's ValidationError, OSError, and ValueError for the template of a pipeline and where recipes extend
    each other in a circle.
    """
    content = _content(path, ())
    if isinstance(content, dict) and "stages" in content:
        raise ValueError(
            f"Found the template of a pipeline in {path}; wanted the recipe of one network. Use the command "
            "fit-cascade, or give the recipe of a stage."
        )
    return Recipe.model_validate(content)


def _content(path: Path, below: tuple[Path, ...]) -> Any:
    if path.resolve() in below:
        raise ValueError(
            f"Found that {path} extends itself through {', '.join(one.name for one in below)}; wanted an end. "
            "Take one `extends` out."
        )
    content = read_yaml(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "extends" not in content:
        return content
    parent = path.parent / str(content.pop("extends"))
    if not parent.is_file():
        raise FileNotFoundError(
            f"Found no {parent}, which {path} extends; wanted a recipe. Mend `extends`: it is relative to the recipe."
        )
    return merged(_content(parent, (*below, path.resolve())), content)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``under``: mappings are merged key by key, anything else is replaced.

    A mapping that names another ``path`` than the one it is laid on, or another ``kind``, replaces it whole: arguments
    of one network mean nothing to another.
    """
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        mappings = isinstance(value, Mapping) and isinstance(below, Mapping)
        result[key] = merged(below, value) if mappings and not _another(below, value) else value  # type: ignore[arg-type]
    return result


def _another(under: Any, over: Any) -> bool:
    return any(word in over and over[word] != under.get(word) for word in ("path", "kind"))


def resolve(part: Part, mend: str = "Mend the recipe's path.") -> Any:
    """The object at a dotted path ``module.name``. Raises ImportError saying what is missing and how to ``mend`` it."""
    module, _, name = part.path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(f"Found no {part.path!r}; wanted the dotted path of a class or function. {mend}") from error


def build(part: Part, role: str, *positional: Any, **given: Any) -> Any:
    """What the part's class or function gives; ``given`` comes before the recipe's arguments.

    Raises ImportError for a path to nothing and ValueError for arguments that it does not take; ``role`` is what the
    recipe calls it.
    """
    maker, arguments = resolve(part), {**given, **part.arguments}
    try:
        check_arguments(maker, *positional, **arguments)
    except TypeError as error:
        raise ValueError(misfit(part, role, error, f"Mend `{role}` in the recipe.")) from error
    return maker(*positional, **arguments)


def check_arguments(maker: Any, *positional: Any, **arguments: Any) -> None:
    """Raises TypeError where ``maker`` does not take the arguments; it is not called."""
    inspect.signature(maker).bind(*positional, **arguments)


def misfit(part: Part, role: str, error: TypeError, mend: str) -> str:
    """What is to be told where a part does not take its arguments."""
    return (
        f"Found {role} {part.path} with {_said(part.arguments)}, which it does not take ({error}); wanted its own "
        f"arguments. {mend}"
    )


def _said(arguments: Mapping[str, Any]) -> str:
    return ", ".join(arguments) or "no arguments"
