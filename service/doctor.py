"""What ``breast-cascade doctor`` looks at: is this installation whole, and does it run what it says it runs?"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from service import __version__
from service.api.catalogue import libraries
from service.decoding.pool import Decoders
from service.decoding.versions import below_floor
from service.engine import Engine
from service.errors import SetupError
from service.manifest import read_manifest, verified_weights
from service.network import installed_runtimes
from service.settings import Settings

Verdict = Literal["ok", "warning", "failed"]
HERE = Path(__file__).resolve().parent
# Named as plainly as other people's packages are: one of theirs may stand before ours on the path.
OWN_PACKAGES = ("service", "models", "training")
PYTHON = (3, 11)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what was found, and what to do where it is not well."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, one by one, as they are made."""
    yield _python()
    yield Check("breast-cascade", "ok", __version__)
    yield from (Check(name, "ok", version) for name, version in libraries().items())
    yield _runtimes()
    yield from (_package(name) for name in OWN_PACKAGES)
    yield _data_dir(settings.data_dir)
    yield Check("threads", "ok", f"{settings.network_threads} per network run, {settings.slots} slots")
    yield from _pipelines(settings)
    yield from _decoders(settings)
    yield _provider(settings)


def _python() -> Check:
    verdict: Verdict = "ok" if sys.version_info[:2] >= PYTHON else "failed"
    return Check("python", verdict, platform.python_version(), "Install Python 3.11 or later.")


def _runtimes() -> Check:
    found = " and ".join(f"{name} {version}" for name, version in installed_runtimes().items())
    return Check(
        "onnx runtime",
        "ok" if len(installed_runtimes()) == 1 else "failed",
        found or "none",
        "Keep exactly one: both write into one folder, so uninstall both and install the one you want.",
    )


def _package(name: str) -> Check:
    spec = find_spec(name)
    if spec is None:
        return Check(f"package {name}", "ok", "not installed here")
    places = [Path(place).resolve() for place in spec.submodule_search_locations or ()]
    if places == [HERE.parent / name]:
        return Check(f"package {name}", "ok", "ours")
    where = ", ".join(map(str, places)) or str(spec.origin)
    return Check(f"package {name}", "failed", where, "Uninstall the other package of that name, or use an own venv.")


def _data_dir(folder: Path) -> Check:
    """Looks alone: what is not there is left to whatever first has something to write."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.access(one, os.F_OK))
    where = f"{folder}" if there == folder.absolute() else f"{folder} is not there yet; {there}"
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Check("data directory", "ok", f"{where} can be written")
    return Check("data directory", "failed", f"{where} cannot be written", "Set BREAST_CASCADE_DATA_DIR.")


def _pipelines(settings: Settings) -> Iterator[Check]:
    folders = [one.parent for root in settings.pipeline_roots for one in sorted(root.glob("*/*/manifest.yaml"))]
    if not folders:
        yield Check("pipelines", "failed", "none", "Set BREAST_CASCADE_PIPELINES_DIR to a folder of pipelines.")
    for folder in folders:
        yield _guarded(f"pipeline {folder.parent.name}/{folder.name}", partial(_digests, folder))


def _digests(folder: Path) -> str:
    weights = [one for stage in read_manifest(folder).stages for one in stage.weights.values()]
    size = sum(len(verified_weights(folder, one)) for one in weights)
    return f"{len(weights)} weight files, {size / 1e6:.1f} MB, every digest as the manifest says"


def _decoders(settings: Settings) -> Iterator[Check]:
    """Whether files can be decoded in a process of their own, and with what that should be newer."""
    with closing(Decoders(replace(settings.decoder_bounds, processes=1))) as decoders:
        yield _guarded("decoders", partial(_isolation, decoders))
        found = decoders.versions
    for name, floor in below_floor(found).items():
        remedy = "It has a known hole: it runs in the decoding processes only. Update it once a newer one is out."
        yield Check(f"decoder {name}", "warning", f"{found[name]}, older than {floor}", remedy)


def _isolation(decoders: Decoders) -> str:
    decoders.start()
    return f"in a child process, system calls {'filtered' if decoders.filtered else 'not filtered on this system'}"


def _provider(settings: Settings) -> Check:
    def found() -> str:
        engine = Engine.open(settings.pipeline_roots, settings.device, settings.network_threads, settings.gpu_memory)
        return f"{engine.provider}, asked for {settings.device}"

    return _guarded("provider in use", found)


def _guarded(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", look())
    except SetupError as error:
        return Check(name, "failed", f"{error.found}; wanted {error.wanted}", error.remedy)
