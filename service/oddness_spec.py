"""What a manifest knows of its training pictures, for the check that flags pictures unlike them (`service.oddness`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from service.stage_spec import Fraction, Frozen

FEATURES = (
    "colourfulness",
    "dark_share",
    "dark_border",
    "bright_share",
    "mean",
    "deviation",
    "skewness",
    "kurtosis",
    "gradient",
    "grain",
    "upright_edges",
    "level_edges",
    "slanted_edges",
    "vertical_balance",
    "sides_differ",
    "aspect",
)


class Oddness(Frozen):
    """What the pictures that a pipeline learned from look like, by `FEATURES`.

    Attributes:
        mean, deviation: of each feature over the training pictures.
        threshold: distance above which a picture is flagged.
        quantile: share of the training pictures that lie below it.
    """

    mean: tuple[float, ...]
    deviation: tuple[Annotated[float, Field(gt=0)], ...]
    threshold: Annotated[float, Field(gt=0)]
    quantile: Fraction

    @model_validator(mode="after")
    def _of_every_feature(self) -> Oddness:
        if not len(self.mean) == len(self.deviation) == len(FEATURES):
            raise ValueError(f"mean and deviation need {len(FEATURES)} values each, one for each feature")
        return self
