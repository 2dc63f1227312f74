"""A job keeps to the pipeline version and the weights it was accepted with."""

from __future__ import annotations

import hashlib

from service.engine import Engine, LoadedPipeline
from service.errors import UnknownPipeline
from service.jobs.model import NewJob
from service.manifest import Manifest


def weights_digest(manifest: Manifest) -> str:
    """One sha256 over the digests of all weight files, by stage and role."""
    lines = [f"{stage.name} {role} {one.sha256}" for stage in manifest.stages for role, one in stage.weights.items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def pinned(engine: Engine, job: NewJob) -> LoadedPipeline:
    """The pipeline of a job. Raises UnknownPipeline, with code ``pipeline_changed`` where its weights are others."""
    found = engine.pipeline(job.pipeline, job.version)
    if weights_digest(found.manifest) != job.weights:
        raise UnknownPipeline(
            f"pipeline {job.pipeline} {job.version} with other weights than when the job was accepted",
            "the same weights on every worker",
            "Send the job again.",
            "pipeline_changed",
        )
    return found
