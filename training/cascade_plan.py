"""What a cascade is to be: a template, where its data lie, and what is changed of its recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from service.engine import pipeline_folders
from training.choices import Source
from training.export import check_recipes, served
from training.out_of_fold import Looking
from training.phases import Chain
from training.recipe import Recipe
from training.smoke import phantoms_of, smoke
from training.template import Naming, Settings, StageTemplate, Template, read_template, recipes_of

CHECKPOINTS = "checkpoints"
# Behind the name of a pipeline that is trained anew.
OWN = "_own"
# Never that of a pipeline that means anything.
SMOKE_VERSION = "0.0.0"


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the template, its settings as they hold now, and the training of its network."""

    template: StageTemplate
    settings: Settings
    chain: Chain

    @property
    def name(self) -> str:
        return self.template.name

    @property
    def weights(self) -> Path:
        """What is exported."""
        return self.chain.weights(self.settings.checkpoint)


@dataclass(frozen=True)
class Plan:
    """A cascade to be trained.

    Attributes:
        template: of the pipeline.
        out: folder to write to.
        settings: of stages by name, over the template's own.
        source: of the regions, or maps, for stage 2.
        fold: kept for testing by all stages, None for the recipes' own.
        small: tiny networks on drawn phantoms, for which no data are needed.
        name, version: of the pipeline, None for the template's own, to whose name `OWN` is added where a pipeline of
            that name comes with the service.
    """

    template: Path
    out: Path
    settings: Mapping[str, Settings] = field(default_factory=dict)
    source: Source = Source.folds
    fold: int | None = None
    small: bool = False
    name: str | None = None
    version: str | None = None

    @cached_property
    def naming(self) -> Naming:
        """What the pipeline is called.

        Raises pydantic's ValidationError for what is no name or version, ValueError for those of a pipeline that comes
        with the service, in whose place this one would be served.
        """
        shipped = {(path.parent.name, path.name) for path, _ in pipeline_folders()}
        taken = self.read.name in {name for name, _ in shipped}
        name = self.name or f"{self.read.name}{OWN if taken else ''}"
        found = Naming(name=name, version=self.version or (SMOKE_VERSION if self.small else self.read.version))
        if (found.name, found.version) in shipped:
            raise ValueError(
                f"Found {found.name} {found.version}, which comes with the service; wanted a pipeline of its own. Pass "
                "another --name or --version."
            )
        return found

    @cached_property
    def read(self) -> Template:
        """The template. Raises pydantic's ValidationError, and ValueError where it is of no cascade."""
        template = read_template(self.template)
        names = [stage.name for stage in template.stages]
        if len(names) < 2 or not (template.stages[1].on == names[0] or names[0] in template.stages[1].beside):
            raise ValueError(
                f"Found {', '.join(names)} in {self.template}; wanted a second stage on the first one, or with its "
                "map. Give the template of a cascade."
            )
        unknown = sorted(set(self.settings) - set(names))
        if unknown:
            raise ValueError(f"Found settings of stage {unknown[0]}; wanted one of {', '.join(names)}. Mend the name.")
        return template

    @cached_property
    def stages(self) -> tuple[PlannedStage, ...]:
        """The stages with their trainings, checked as far as that goes before anything is trained.

        Raises pydantic's ValidationError, FileNotFoundError for a stage without data, ValueError for settings that do
        not fit, and for recipes that `training.export` would refuse.
        """
        planned: list[PlannedStage] = []
        for template in self.read.stages:
            planned.append(self._planned(template, planned))
        _ = self.naming
        last = [one.chain.last for one in planned]
        check_recipes(last)
        served(self.read, last)
        return tuple(planned)

    def _planned(self, stage: StageTemplate, earlier: list[PlannedStage]) -> PlannedStage:
        settings = self.settings.get(stage.name, Settings()).over(stage.train)
        first, *others = (self._recipe(one) for one in recipes_of(self.template, stage, settings))
        if settings.start is not None:
            chain = next(one.chain for one in earlier if one.name == settings.start.stage)
            begun = chain.best(settings.start.phase)
            first = first.model_copy(update={"start": begun.resolve()})
        if len(earlier) == 1:
            told = {"maps" if self.maps_asked else "boxes": self.told}
            first, *others = (one.model_copy(update=told) for one in (first, *others))
        run = settings.checkpoints or self.out / CHECKPOINTS / stage.name
        return PlannedStage(stage, settings, Chain((first, *others), self._data(stage, settings), run, settings.logs))

    def _recipe(self, recipe: Recipe) -> Recipe:
        small = smoke(recipe) if self.small else recipe
        return small if self.fold is None else small.model_copy(update={"test_fold": self.fold})

    def _data(self, stage: StageTemplate, settings: Settings) -> Path:
        if self.small:
            return phantoms_of(self.out)
        if settings.data is None or not settings.data.is_dir():
            found = "no data" if settings.data is None else f"no folder {settings.data}"
            raise FileNotFoundError(
                f"Found {found} for stage {stage.name}; wanted the folder of its data set. Pass --data "
                f"{stage.name}=DIR, or --data DIR for all stages."
            )
        return settings.data

    @property
    def look(self) -> Looking:
        """How stage 1 localises for stage 2."""
        first, second = self.stages[0], self.read.stages[1]
        return Looking(
            first.template.block,
            second.label,
            first.template.mirror,
            first.settings.checkpoint,
            second.region,
            self.read.canonical_side,
        )

    @property
    def maps_asked(self) -> bool:
        """Whether stage 2 takes maps of stage 1 beside the picture, and not regions to look at."""
        return self.read.stages[1].on != self.read.stages[0].name

    @property
    def told(self) -> Path:
        """The file of what stage 1 tells stage 2, regions or maps, its name by who told it."""
        return (self.out / f"{'maps' if self.maps_asked else 'boxes'}_{self.source}.json").resolve()
