"""What a request may choose where a manifest leaves a choice: the region a stage looks at, and the enhancement."""

from __future__ import annotations

from typing import cast

from service.errors import BadParameter
from service.manifest import Manifest, StageSpec
from service.source import Flag
from service.stage_spec import Method

# What `clahe` means to weights that were trained with one of these: what they know.
STATIC = ("clahe", "median_clahe")


def regions_of(manifest: Manifest) -> tuple[str, ...]:
    """The regions to choose from, in the manifest's order; none where no stage has a choice."""
    return tuple(dict.fromkeys(name for stage in manifest.stages for name in stage.regions))


def default_region(manifest: Manifest) -> str | None:
    """What is looked at where no region is asked for."""
    return next((stage.region for stage in manifest.stages if stage.region is not None), None)


def check_choices(manifest: Manifest, roi: str | None, enhance: str | None) -> None:
    """Raises BadParameter for a region or an enhancement that the pipeline does not offer."""
    for parameter, value, offered in (
        ("roi", roi, regions_of(manifest)),
        ("enhance", enhance, manifest.enhance),
    ):
        if value is not None and value not in offered:
            wanted = f"one of {', '.join(offered)}" if offered else f"no {parameter}: it leaves no such choice"
            raise BadParameter(
                f"{parameter}={value:.40}",
                f"{wanted}, for pipeline {manifest.name} {manifest.version}",
                f"Ask for what is offered, or leave {parameter} out.",
            )


def as_asked(manifest: Manifest, roi: str | None, enhance: str | None) -> Manifest:
    """The manifest with the choices in it; the very same where nothing changes. Raises BadParameter."""
    check_choices(manifest, roi, enhance)
    stages = tuple(_chosen(stage, roi, enhance) for stage in manifest.stages)
    return manifest if stages == manifest.stages else manifest.model_copy(update={"stages": stages})


def _chosen(stage: StageSpec, roi: str | None, enhance: str | None) -> StageSpec:
    region = roi if roi in stage.regions else stage.region
    method = stage.input.enhance if enhance is None else _method(enhance, stage.input.enhance)
    if (region, method) == (stage.region, stage.input.enhance):
        return stage
    block = stage.input.model_copy(update={"enhance": method})
    return stage.model_copy(update={"region": region, "input": block})


def _method(asked: str, trained: Method) -> Method:
    return trained if asked == "clahe" and trained in STATIC else cast(Method, asked)


def changed_enhancement(trained: Manifest, asked: Manifest) -> Flag | None:
    """What a reader must know where a picture is enhanced otherwise than those the weights learned from."""
    pairs = [(a, b) for a, b in zip(trained.stages, asked.stages, strict=True) if a.input.enhance != b.input.enhance]
    if not pairs:
        return None
    parts = [f"stage {a.name} with {b.input.enhance}, its weights learned with {a.input.enhance}" for a, b in pairs]
    text = f"Enhanced otherwise than in training: {'; '.join(parts)}. The card's figures do not hold for this answer."
    return Flag("enhancement_changed", text)
