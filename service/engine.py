"""Pipeline name to loaded cascade: the one door for every skin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.cascade import CascadeResult, Flag
from service.image import Image, Region
from service.manifest import Manifest
from service.measure import Finding


@dataclass(frozen=True)
class Request:
    """What a caller may ask for beside the image. None means: as the manifest says.

    Attributes:
        pipeline: name; may be left out where the image's modality decides.
        version: of the pipeline; the default one when left out.
        threshold: probability 0 to 1 above which a pixel belongs to the label (stages with one label).
        boxes: regions that take the place of stage 1.
        stage: whose mask is wanted.
    """

    pipeline: str | None = None
    version: str | None = None
    threshold: float | None = None
    boxes: tuple[Region, ...] = ()
    stage: str | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """The whole answer to one request; the formats turn it into bytes.

    ``timings_ms`` has the key ``stages``; the skins add decode, encode and total.
    ``provenance`` is JSON-ready: weights {file: sha256}, software, provider, preprocessing.
    """

    manifest: Manifest
    image: Image
    result: CascadeResult
    findings: tuple[Finding, ...]
    measurements: Mapping[str, float]
    flags: tuple[Flag, ...]
    provenance: Mapping[str, object]
    timings_ms: Mapping[str, float]
