"""What the HTTP contract says beside the answers themselves, field by field."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.answers.schemas import Body
from service.manifest import Manifest


class ProblemBody(Body):
    """An error as RFC 9457 writes it. ``code`` is stable, the texts are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    found: str
    wanted: str
    remedy: str
    error_id: str | None = Field(None, description="Only with status 500: what the service's own log calls this error.")


class LabelBody(Body):
    """One label: ``id`` is its pixel value in a mask, ``color`` RGB 0 to 255."""

    id: int
    name: str
    color: tuple[int, int, int]


class StageCardBody(Body):
    """One stage of a pipeline, in order."""

    name: str
    kind: str


class PipelineBody(Body):
    """One version of a pipeline. ``default`` marks the one that runs where no version is asked for."""

    name: str
    version: str
    default: bool
    modality: str
    evidence: Literal["validated", "demonstration"]
    labels: list[LabelBody]
    stages: list[StageCardBody]


class PipelinesBody(Body):
    """All loaded pipelines."""

    pipelines: list[PipelineBody]


class PipelineCardBody(Manifest):
    """The whole manifest, and the card in Markdown."""

    card: str


class SampleBody(Body):
    """One bundled phantom picture; ``GET /samples/{name}`` gives its bytes."""

    name: str
    pipeline: str
    title: str


class SamplesBody(Body):
    """All bundled phantom pictures."""

    samples: list[SampleBody]


class HealthBody(Body):
    """``alive`` from the process, ``ready`` once every pipeline is loaded, checked and warm."""

    status: Literal["alive", "ready"]


class PipelineDigestsBody(Body):
    """Which weights one pipeline runs: sha256 by file name; and what the session of each file runs on."""

    name: str
    version: str
    weights: dict[str, str]
    providers: dict[str, str]


class DecodersBody(Body):
    """What reads files: always in a child process, which may open no socket where system calls are filtered.

    ``below_minimum`` names those that should be newer, and how new.
    """

    isolation: Literal["child process"] = "child process"
    system_calls_filtered: bool
    versions: dict[str, str]
    below_minimum: dict[str, str]


class VersionBody(Body):
    """What exactly is running. ``provider`` is ONNX Runtime's name of the compute device, null until loaded."""

    version: str
    python: str
    libraries: dict[str, str]
    decoders: DecodersBody
    provider: str | None
    pipelines: list[PipelineDigestsBody]
