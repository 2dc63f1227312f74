"""Pipeline name to loaded cascade: the one door for every skin."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.by_products import check_measurements, measured_stages, measurements_of
from service.cascade import Ask, Cascade
from service.choices import as_asked
from service.errors import BadParameter, ManifestError, UnknownPipeline, UnusableImage
from service.frame import stack_size
from service.image import Image, Point, Region
from service.loading import load_networks
from service.manifest import Manifest, read_manifest
from service.measure import Finding, Findings
from service.measurement import Measurement
from service.network import GPU_MEMORY, Device
from service.oddness import oddness_flags
from service.provenance import provenance
from service.provenance import software as software
from service.result import CascadeResult, Flag
from service.stages import build_stage
from service.watch import QUIET, Watch

BUNDLED = Path(__file__).parent / "pipelines"
# What DICOM calls images that a pipeline of a modality can look at; and modalities that tell nothing.
FITTING = {"US": ("US",), "MG": ("MG", "CR", "DX", "RG"), "MR": ("MR",), "XC": ("XC", "ES", "GM")}
UNTOLD = (None, "OT", "SC")


@dataclass(frozen=True)
class Request:
    """What a caller may ask for beside the image. None means: as the manifest says.

    Attributes:
        pipeline: name; may be left out where the image's modality decides or only one is there.
        version: of the pipeline; the default one when left out.
        threshold: probability 0 to 1 above which a pixel belongs to the label (stages with one label).
        boxes: regions that take the place of stage 1.
        stage: whose mask is wanted.
        points: of one object, for a prompt stage; with one box or in the place of stage 1.
        probabilities: whether those of a volume are wanted; without them it takes no memory beyond the mask.
        masks: whether the masks of all stages are wanted beside that of the one asked for.
        roi: which of its regions a stage that has a choice looks at.
        enhance: how the picture is enhanced, in the place of what the weights were trained with.
    """

    pipeline: str | None = None
    version: str | None = None
    threshold: float | None = None
    boxes: tuple[Region, ...] = ()
    stage: str | None = None
    points: tuple[Point, ...] = ()
    probabilities: bool = True
    masks: bool = False
    roi: str | None = None
    enhance: str | None = None

    @property
    def ask(self) -> Ask:
        """What of it one run is asked."""
        return Ask(
            self.threshold,
            self.boxes,
            self.stage,
            self.points,
            self.probabilities,
            roi=self.roi,
            enhance=self.enhance,
        )


@dataclass(frozen=True, eq=False)
class Answer:
    """The whole answer to one request; the formats turn it into bytes.

    ``timings_ms`` has the key ``stages``; the skins add decode, encode and total.
    ``provenance`` is JSON-ready: weights {file: sha256}, software, provider, preprocessing.
    """

    manifest: Manifest
    image: Image
    result: CascadeResult
    findings: Sequence[Finding]
    measurements: Sequence[Measurement]
    flags: tuple[Flag, ...]
    provenance: Mapping[str, object]
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class LoadedPipeline:
    """One pipeline version, its networks in memory.

    ``card`` is Markdown; ``default``: when no version is asked; ``providers``: what each weight file's session reports.
    """

    manifest: Manifest
    card: str
    default: bool
    cascade: Cascade
    providers: Mapping[str, str]

    @property
    def provider(self) -> str:
        """What its sessions run on; all of it where they differ."""
        return ", ".join(sorted(set(self.providers.values())))

    def kept(self, request: Request) -> tuple[str, ...]:
        """The stages whose masks are needed beside that of the one asked for."""
        every = tuple(stage.name for stage in self.manifest.stages if stage.kind in ("segment", "prompt"))
        return every if request.masks else measured_stages(self.manifest)

    def asked(self, request: Request) -> Manifest:
        """The manifest with what a request chooses in it. Raises BadParameter for what is not offered."""
        return as_asked(self.manifest, request.roi, request.enhance)


@dataclass(frozen=True, eq=False)
class Engine:
    """Every pipeline, loaded, hash-checked and warmed. Safe to share between threads."""

    loaded: tuple[LoadedPipeline, ...]

    @staticmethod
    def open(
        folders: Sequence[Path] = (BUNDLED,), device: str = "auto", threads: int = 1, gpu_memory: int = GPU_MEMORY
    ) -> Engine:
        """Load every ``<folder>/<name>/<version>``; of two with the same name and version the later folder's is used.

        ``gpu_memory`` is the most that one network may take on a GPU, in bytes. Raises the SetupError tree: nothing is
        served unless everything is right.
        """
        where = Device.parse(device, threads, gpu_memory)
        return Engine(tuple(_load(path, where, default) for path, default in pipeline_folders(folders)))

    @property
    def provider(self) -> str:
        """What ONNX Runtime really runs on, as its sessions report; all of it where they differ."""
        return ", ".join(sorted({name for one in self.loaded for name in one.providers.values()}))

    def pipelines(self) -> tuple[LoadedPipeline, ...]:
        """All loaded versions, by name and version."""
        return self.loaded

    def pipeline(self, name: str, version: str | None = None) -> LoadedPipeline:
        """One version, the default one when ``version`` is None. Raises UnknownPipeline."""
        for one in self.loaded:
            if one.manifest.name == name and (one.default if version is None else one.manifest.version == version):
                return one
        known = ", ".join(f"{one.manifest.name} {one.manifest.version}" for one in self.loaded)
        wanted = name if version is None else f"{name} {version}"
        raise UnknownPipeline(f"pipeline {wanted!r:.80}", f"one of: {known}", "See GET /pipelines for what is loaded.")

    def chosen(self, image: Image, request: Request) -> LoadedPipeline:
        """The pipeline of a request: by name, else by the image's modality, else the only one there is.

        Raises UnknownPipeline, BadParameter where one must be named, UnusableImage for an image of another modality.
        """
        name = self._fitting(image) if request.pipeline is None else request.pipeline
        pipeline = self.pipeline(name, request.version)
        if not _fits(image, pipeline.manifest):
            raise _wrong_modality(image, [pipeline.manifest])
        return pipeline

    def raw_modalities(self, request: Request) -> frozenset[str | None]:
        """Modalities whose images must be read as measured for the pipeline that this request will get."""
        raw = [
            one.manifest
            for one in self.loaded
            if one.manifest.voxels == "raw"
            and (one.default if request.version is None else one.manifest.version == request.version)
            and request.pipeline in (None, one.manifest.name)
        ]
        untold = UNTOLD if request.pipeline is not None else ()
        return frozenset(modality for one in raw for modality in (*FITTING[one.modality], *untold))

    def around(self, request: Request) -> int:
        """How many slices on each side of one the pipeline that this request will get looks at beside it, at most."""
        possible = [one.manifest for one in self.loaded if request.pipeline in (None, one.manifest.name)]
        return max((stack_size(stage) // 2 for one in possible for stage in one.stages), default=0)

    def _fitting(self, image: Image) -> str:
        manifests = [one.manifest for one in self.loaded]
        names = sorted({manifest.name for manifest in manifests if _fits(image, manifest)})
        if not names:
            raise _wrong_modality(image, manifests)
        if len(names) > 1:
            raise BadParameter(
                "no pipeline", f"one of: {', '.join(names)}", "Name the pipeline in the parameter `pipeline`."
            )
        return names[0]

    def segment(self, image: Image, request: Request, watch: Watch = QUIET) -> Answer:
        """Run one image through its pipeline. Blocks; raises the InputError tree, and what ``watch`` raises."""
        pipeline = self.chosen(image, request)
        start = time.perf_counter()
        result = pipeline.cascade.run(image, replace(request.ask, masks=pipeline.kept(request)), watch)
        elapsed = 1000 * (time.perf_counter() - start)
        odd = oddness_flags(pipeline.manifest.oddness, image, pipeline.manifest.modality)
        measured, unmeasured = measurements_of(pipeline.manifest, image, result.masks)
        return Answer(
            manifest=pipeline.manifest,
            image=image,
            result=result,
            findings=Findings(result.mask, image, result.parts),
            measurements=measured,
            flags=(*image.flags, *odd, *result.flags, *unmeasured),
            provenance=provenance(pipeline.asked(request), result, image, pipeline.provider),
            timings_ms={"stages": elapsed},
        )


def _fits(image: Image, manifest: Manifest) -> bool:
    return image.modality in UNTOLD or image.modality in FITTING[manifest.modality]


def _wrong_modality(image: Image, manifests: Sequence[Manifest]) -> UnusableImage:
    fitting = sorted({one for manifest in manifests for one in FITTING[manifest.modality]})
    return UnusableImage(
        f"an image of modality {image.modality}",
        f"one of {', '.join(fitting)}",
        "Send an image of that modality, or name another pipeline in the parameter `pipeline`.",
        "wrong_modality",
    )


def pipeline_folders(folders: Sequence[Path] = (BUNDLED,)) -> list[tuple[Path, bool]]:
    """The folder of every pipeline version as `Engine.open` chooses it, and whether it is its name's default one.

    Raises ManifestError where there is none.
    """
    chosen = {(path.parent.name, path.name): path for folder in folders for path in _versions_in(folder)}
    newest = {name: max((v for n, v in chosen if n == name), key=_order) for name, _ in chosen}
    if not chosen:
        raise ManifestError(
            "no pipeline", "at least one <name>/<version>/manifest.yaml", "Set BREAST_CASCADE_PIPELINES_DIR."
        )
    return [(path, newest[name] == version) for (name, version), path in sorted(chosen.items())]


def _versions_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ManifestError(
            f"{folder}: no such folder", "a folder of pipelines", "Create it or mend BREAST_CASCADE_PIPELINES_DIR."
        )
    return [path.parent for path in sorted(folder.glob("*/*/manifest.yaml"))]


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else -1 for part in version.split("."))


def _load(folder: Path, device: Device, default: bool) -> LoadedPipeline:
    manifest = read_manifest(folder)
    check_measurements(manifest)
    try:
        card = (folder / "card.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{folder}: no readable card.md", "a card beside the manifest", "Write or restore it."
        ) from error
    networks = {stage.name: load_networks(folder, stage, device) for stage in manifest.stages}
    cascade = Cascade(manifest, tuple(build_stage(stage, networks[stage.name]) for stage in manifest.stages))
    providers = {
        stage.weights[role].file: network.provider
        for stage in manifest.stages
        for role, network in networks[stage.name].items()
    }
    return LoadedPipeline(manifest, card, default, cascade, providers)
