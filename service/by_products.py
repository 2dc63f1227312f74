"""The figures a manifest may name in ``measurements``, and how an answer comes by them."""

from __future__ import annotations

from collections.abc import Mapping

from service.density import DENSITY
from service.errors import ManifestError
from service.image import Image, Mask
from service.manifest import Manifest
from service.measurement import Measure, Measurement
from service.source import Flag
from service.symmetry import SYMMETRY

MEASURES: Mapping[str, Measure] = {"density": DENSITY, "symmetry": SYMMETRY}


def check_measurements(manifest: Manifest) -> None:
    """Raises ManifestError for a name that is not offered, or one whose labels no single stage gives."""
    where = f"{manifest.name} {manifest.version}: field measurements"
    for name in manifest.measurements:
        if name not in MEASURES:
            raise ManifestError(
                f"{where} = {name}", f"some of: {', '.join(sorted(MEASURES))}", "Leave it out, or mend its name."
            )
        if measured_stage(manifest, name) is None:
            labels = ", ".join(sorted(MEASURES[name].labels))
            raise ManifestError(
                f"{where} = {name}", f"a stage that outlines all of: {labels}", "Leave it out, or mend the labels."
            )


def measured_stage(manifest: Manifest, name: str) -> str | None:
    """The stage on whose mask a by-product is measured: the first that gives all its labels."""
    wanted = MEASURES[name].labels
    masks = (stage for stage in manifest.stages if stage.kind in ("segment", "prompt"))
    return next((stage.name for stage in masks if wanted <= set(stage.labels)), None)


def measured_stages(manifest: Manifest) -> tuple[str, ...]:
    """All stages whose masks by-products need, each once, sorted."""
    return tuple(sorted({stage for name in manifest.measurements if (stage := measured_stage(manifest, name))}))


def measurements_of(
    manifest: Manifest, image: Image, masks: Mapping[str, Mask]
) -> tuple[tuple[Measurement, ...], tuple[Flag, ...]]:
    """The figures that the manifest names, and a flag for each by-product whose stage gave no mask.

    ``masks`` by stage, of those that ran.
    """
    found: list[Measurement] = []
    flags: list[Flag] = []
    for name in manifest.measurements:
        stage = measured_stage(manifest, name)
        if stage is not None and stage in masks:
            found += MEASURES[name].of(masks[stage], image)
        else:
            flags.append(Flag("not_measured", f"No {name}: stage {stage}, on whose mask it is measured, did not run."))
    return tuple(found), tuple(flags)
