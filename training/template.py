"""A pipeline before it is trained: its manifest, in which every stage names the recipes of its network.

The same file serves `training.cascade`, which trains all stages, and `training.export`, which takes networks that were
trained one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.manifest import Edge, Evidence, Frozen, Name, Positive, Version
from service.yaml12 import read_yaml
from training.recipe import Recipe, merged, read_recipe

T = TypeVar("T")
OWN = ("recipe", "licence", "mirror", "train")


def _several(value: Any) -> Any:
    """One value, a list of them, or text such as ``75,140``."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value if isinstance(value, list | tuple) else [value]


def _height_and_width(value: Any) -> Any:
    """``256`` for a square, ``512x256`` or ``[512, 256]`` for height and width."""
    if isinstance(value, str):
        value = value.lower().split("x")
    sides = value if isinstance(value, list | tuple) else [value]
    return sides * 2 if len(sides) == 1 else sides


PerPhase = Annotated[tuple[T, ...], BeforeValidator(_several)]
Size = Annotated[tuple[Positive, Positive], BeforeValidator(_height_and_width)]


class Start(Frozen):
    """Weights to begin with: the best ones of an earlier stage, of its last phase or another (1, 2, ...)."""

    stage: Name
    phase: Positive | None = None


class Settings(Frozen):
    """How one stage is trained where that differs from its recipes; what is empty or None stays as they have it.

    Attributes:
        epochs, learning_rate, batch, l1_lambda: one value for all phases of the stage, or one for each.
        size: height and width of the input, of all phases.
        changes: of anything else, laid over the recipe of every phase.
        data: folder of the data set.
        checkpoints: run folder of the last phase. Further runs lie beside it, their names longer: ``_phase1``,
            ``_without_2``.
        logs: folder for TensorBoard's events of the last phase; those of further runs likewise.
        start: what the first phase begins with.
        checkpoint: which weights of the last phase are exported: those that validated ``best``, or the ``last``.
    """

    epochs: PerPhase[Positive] = ()
    learning_rate: PerPhase[Annotated[float, Field(gt=0)]] = ()
    batch: PerPhase[Positive] = ()
    l1_lambda: PerPhase[Annotated[float, Field(ge=0)]] = ()
    size: Size | None = None
    changes: Annotated[dict[str, Any], Field(default_factory=dict)]
    data: Path | None = None
    checkpoints: Path | None = None
    logs: Path | None = None
    start: Start | None = None
    checkpoint: Literal["best", "last"] = "best"

    def over(self, other: Settings) -> Settings:
        """These settings, and of ``other`` what they leave open; changes of both are laid over each other."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return other.model_copy(update=given | {"changes": merged(other.changes, self.changes)})

    def of_phase(self, phase: int, phases: int) -> dict[str, Any]:
        """Changes of one phase's recipe, counted from 0. Raises ValueError for a list of another length than phases."""
        one = {name: self._one(name, phase, phases) for name in ("epochs", "learning_rate", "batch", "l1_lambda")}
        chosen = {name: value for name, value in one.items() if value is not None}
        changes: dict[str, Any] = {"l1_lambda": chosen.pop("l1_lambda")} if "l1_lambda" in chosen else {}
        changes |= {"schedule": chosen} if chosen else {}
        changes |= {"input": {"size": list(self.size)}} if self.size else {}
        return merged(self.changes, changes)

    def _one(self, name: str, phase: int, phases: int) -> Any:
        values = getattr(self, name)
        if len(values) not in (0, 1, phases):
            raise ValueError(
                f"Found {len(values)} values of {name}; wanted one, or one for each of {phases} phases. Mend them."
            )
        return values[phase if len(values) > 1 else 0] if values else None


class StageTemplate(BaseModel):
    """A stage whose recipes (paths relative to the template) stand for input, look, weights and training.

    ``recipe`` is one, or a list: phases, each beginning with the best weights of the one before; the last one's network
    is exported. ``mirror`` exports the mean over a picture and its mirror image. Everything else is as in a manifest.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    name: Name
    recipe: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_several)]
    licence: str
    mirror: bool = False
    train: Settings = Settings()

    @property
    def block(self) -> dict[str, Any]:
        """What of it stands in the manifest as it is."""
        return self.model_dump(exclude=set(OWN))

    @property
    def on(self) -> str:
        """The stage it looks at, or ``image``."""
        return str(self.block.get("on", "image"))

    @property
    def beside(self) -> tuple[str, ...]:
        """The stages whose maps it takes beside the picture."""
        return tuple(self.block.get("with", ()))

    @property
    def label(self) -> str | None:
        """The label of that stage which it looks at, None for all."""
        return self.block.get("label")

    @property
    def region(self) -> tuple[str, ...]:
        """The labels of that stage that make the region it looks at where none is asked for; none without a choice.

        Raises ValueError where that is the whole picture, of which no boxes can be told.
        """
        regions = self.block.get("regions") or {}
        labels = tuple(regions.get(self.block.get("region"), ()))
        if regions and not labels:
            raise ValueError(
                f"Found stage {self.name} looking at the whole picture; wanted a region of stage {self.on}. Name "
                "another one as `region`, or train the stage by itself (`fit`)."
            )
        return labels


class Naming(Frozen):
    """Name and version of a pipeline."""

    name: Name
    version: Version


class Template(BaseModel):
    """A manifest but for its stages. Nothing was measured yet, so that its evidence cannot be ``validated``."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: Name
    version: Version
    evidence: Evidence
    canonical_side: Edge | None = None
    stages: tuple[StageTemplate, ...]

    def called(self, name: str | None, version: str | None) -> Template:
        """The same under another name or version. Raises pydantic's ValidationError for what is none."""
        naming = Naming(name=name or self.name, version=version or self.version)
        return self.model_copy(update=naming.model_dump())

    @model_validator(mode="after")
    def _start_earlier(self) -> Template:
        phases: dict[str, int] = {}
        for stage in self.stages:
            start = stage.train.start
            if start is not None and not (start.phase or 1) <= phases.get(start.stage, 0):
                raise ValueError(f"stage {stage.name} starts from {start.stage}, which is no earlier stage or phase")
            phases[stage.name] = len(stage.recipe)
        return self


def read_template(path: Path) -> Template:
    """Read a template. Raises pydantic's ValidationError, OSError, and ValueError for the recipe of one network."""
    content = read_yaml(path.read_text(encoding="utf-8"))
    if isinstance(content, dict) and "stages" not in content and {"task", "network", "extends"} & set(content):
        raise ValueError(
            f"Found the recipe of one network in {path}; wanted the template of a pipeline, with its stages. Use the "
            "command fit, or give a template."
        )
    return Template.model_validate(content)


def recipes_of(path: Path, stage: StageTemplate, settings: Settings | None = None) -> tuple[Recipe, ...]:
    """The recipes of a stage's phases in the template ``path``, changed as ``settings`` say, else as the stage does."""
    return tuple(_recipes(path, stage, settings or stage.train))


def _recipes(path: Path, stage: StageTemplate, settings: Settings) -> Iterator[Recipe]:
    for phase, name in enumerate(stage.recipe):
        recipe = read_recipe(path.parent / name)
        changes = settings.of_phase(phase, len(stage.recipe))
        yield Recipe.model_validate(merged(recipe.model_dump(mode="json"), changes)) if changes else recipe
