"""From the bytes of one picture to the bytes of one answer: what the web service and the command line share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from service.answers.clock import Clock
from service.answers.outputs import Format
from service.answers.parameters import Parameters
from service.choices import check_choices
from service.engine import Answer, Engine
from service.formats.limits import Limits
from service.formats.options import Options
from service.formats.read import read_image
from service.image import Image
from service.watch import Checked, Watch

Read = Callable[[bytes, Options], Image]


@dataclass(frozen=True)
class Order:
    """One picture or volume, undecoded, and what is wanted of it. The clock runs from the moment this is made.

    ``read`` decodes it: in this process, or better in one that may crash.
    """

    content: bytes
    parameters: Parameters
    format: Format
    limits: Limits
    read: Read = read_image
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class Product:
    """The answer and how it is written. ``content`` is empty where the format has nothing to say."""

    answer: Answer
    content: bytes
    format: Format
    clock: Clock

    @property
    def file_stem(self) -> str:
        """What a download is called, without its suffix; the name of the picture stays out of it."""
        return f"{self.answer.manifest.name}-{self.answer.manifest.version}"

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP says beside the bytes."""
        manifest = self.answer.manifest
        file_name = f"{self.file_stem}{self.format.suffix}"
        nameless = self.format.name == "json" or not self.content
        download = {} if nameless else {"Content-Disposition": f'attachment; filename="{file_name}"'}
        return {
            "Breast-Cascade-Status": self.answer.result.status,
            "Breast-Cascade-Pipeline": f"{manifest.name}/{manifest.version}",
            "Breast-Cascade-Notice": "research use only, not a medical device",
            "Server-Timing": server_timing(self.answer, self.clock),
            "Cache-Control": "no-store",
            **download,
        }


def produce(
    engine: Engine, order: Order, check: Callable[[], None] = lambda: None, watch: Watch | None = None
) -> Product:
    """Decode, segment, encode; blocking.

    ``check`` is called between the steps and may raise to end the work; so it is between the batches of a stage, where
    no ``watch`` is told instead.
    """
    clock = order.clock
    clock.mark("queue")
    check()
    _check_named(engine, order.parameters)
    with clock.span("decode"):
        request = order.parameters.request()
        raw, around = engine.raw_modalities(request), engine.around(request)
        image = order.read(order.content, order.parameters.options(order.limits, raw, around))
        order.parameters.check(image)
        wanted = order.format.of(image)
    check()
    request = replace(request, probabilities=wanted.probabilities, masks=wanted.masks)
    answer = engine.segment(image, request, watch or Checked(check))
    clock.add("stages", answer.timings_ms["stages"])
    check()
    return Product(answer, wanted.encode(answer, clock), wanted, clock)


def server_timing(answer: Answer, clock: Clock) -> str:
    """The ``Server-Timing`` header: each part in ms; of ``networks`` the description is the number of runs."""
    stages = answer.result.stages
    parts = [f"{name};dur={clock[name]:.3f}" for name in ("queue", "decode", "stages")]
    parts.append(_runs("networks", sum(s.network_ms for s in stages), sum(s.network_runs for s in stages)))
    parts += [_runs(f"network-{stage.name}", stage.network_ms, stage.network_runs) for stage in stages]
    parts += [f"encode;dur={clock['encode']:.3f}", f"total;dur={clock.total:.3f}"]
    return ", ".join(parts)


def _runs(name: str, milliseconds: float, runs: int) -> str:
    return f'{name};dur={milliseconds:.3f};desc="{runs}"'


def _check_named(engine: Engine, parameters: Parameters) -> None:
    """Raises UnknownPipeline, or BadParameter for a choice it does not offer, before the picture is decoded."""
    if parameters.pipeline is not None:
        loaded = engine.pipeline(parameters.pipeline, parameters.version)
        check_choices(loaded.manifest, parameters.roi, parameters.enhance)
