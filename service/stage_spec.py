"""One stage's block of a manifest: what it looks at, what goes into its network, how the output is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Method = Literal["none", "clahe", "median_clahe", "adaptive_clahe"]


class Frozen(BaseModel):
    """Read-only; an unknown field and a number that is not finite are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Window(Frozen):
    """How raw voxels become 0 to 1 before mean and std.

    ``percentile``: linear between the ``low`` and ``high`` percentile (0 to 100) of the array at hand, clipped;
    ``range``: linear between two raw values, clipped; ``full``: by the dtype's own range, integers only.
    ``ignore_zero`` leaves exact zeros (padding bars, area outside the fan) out of the percentiles.
    """

    kind: Literal["percentile", "range", "full"] = "percentile"
    low: float = 1.0
    high: float = 99.0
    ignore_zero: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.kind != "full" and self.low >= self.high:
            raise ValueError(f"window needs low < high, found {self.low} and {self.high}")
        if self.kind == "percentile" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"window needs percentiles from 0 to 100, found {self.low} and {self.high}")
        return self


class InputSpec(Frozen):
    """The input block: everything between source voxels and the network's tensor.

    ``size`` is (height, width) of the network. ``slices``: ``each`` slice alone, or ``stack:k``, k odd: the slice amid
    its neighbours as channels, those at the ends repeated; ``volume`` is kept for 3-D networks, which are not served
    yet. ``letterbox`` keeps the aspect ratio and pads with the window's zero. ``interpolation`` is for enlarging;
    shrinking averages over area, except with ``nearest``. ``enhance``: see `service.preprocess.prepare`.
    """

    size: tuple[Positive, Positive]
    channels: Literal[1, 3] = 1
    slices: Annotated[str, Field(pattern=r"^(each|volume|stack:[1-9][0-9]*)$")] = "each"
    window: Window = Window()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    letterbox: bool = False
    interpolation: Literal["linear", "nearest", "cubic"] = "linear"
    enhance: Method = "none"

    @model_validator(mode="after")
    def _served(self) -> InputSpec:
        kind, _, size = self.slices.partition(":")
        if kind == "volume":
            raise ValueError("slices volume is not served yet: use each or stack:k, with a network for slices")
        if kind == "stack" and int(size) % 2 == 0:
            raise ValueError(f"slices {self.slices} has no middle: the number of slices must be odd")
        return self

    @model_validator(mode="after")
    def _per_channel(self) -> InputSpec:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} values, wanted 1 or {self.channels}")
        return self


class Weights(Frozen):
    """One weight file: name beside the manifest, digest, licence of its use."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.onnx$")]
    sha256: Sha256
    licence: str


class Look(Frozen):
    """How a found box becomes the region a later stage sees.

    ``square`` first stretches the shorter side, then the box grows on each side by ``surround`` x the picture's side,
    by ``margin`` x its own, and to at least ``minimum`` pixels; what leaves the picture is clipped.
    """

    surround: Fraction = 0.0
    margin: Annotated[float, Field(ge=0)] = 0.0
    minimum: Positive = 1
    square: bool = False


class Decode(Frozen):
    """How a detector's raw output becomes boxes.

    ``components``: connected components of a probability map above ``threshold``, at least ``min_area`` of the map;
    ``yolo``: rows (x, y, width, height, score per class) in network pixels, suppressed at ``iou``. Regions scoring
    under ``min_score`` are dropped, the ``max_regions`` best are kept.
    """

    kind: Literal["components", "yolo"]
    threshold: Fraction = 0.5
    min_score: Fraction = 0.0
    min_area: Fraction = 0.0
    iou: Fraction = 0.5
    max_regions: Positive = 8


class StageSpec(Frozen):
    """One stage: what it looks at, what goes in, how its output is read.

    ``on`` is ``image`` or the name of an earlier stage, whose regions (of ``label``, enlarged as ``look`` says) are
    looked at one by one. In the place of one label ``regions`` gives choices by name: of each slice the largest
    connected component of these labels together is looked at, of an empty choice the whole picture; ``region`` is the
    choice where none is asked for. ``with`` names earlier ``map`` stages stacked behind the image.
    ``on_miss`` says what happens when that earlier stage found nothing. ``labels`` are the label names of the output in
    channel order. ``exclusive``: softmax with background as a channel before them, the likeliest wins; else each label
    has its own sigmoid and counts above ``threshold``, the likeliest where several do. Components smaller than
    ``min_component`` of the region, or whose highest probability stays below ``keep``, are dropped.
    """

    name: Name
    kind: Literal["detect", "segment", "prompt", "classify", "map"]
    on: Name = "image"
    with_: Annotated[tuple[Name, ...], Field(alias="with")] = ()
    label: Name | None = None
    regions: dict[Name, tuple[Name, ...]] = {}
    region: Name | None = None
    look: Look = Look()
    on_miss: Literal["whole_image", "empty", "stop"] | None = None
    input: InputSpec
    labels: tuple[Name, ...] = ()
    exclusive: bool = False
    threshold: Fraction = 0.5
    min_component: Fraction = 0.0
    keep: Fraction = 0.0
    decode: Decode | None = None
    weights: dict[Name, Weights]
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _complete(self) -> StageSpec:
        if self.kind == "detect" and self.decode is None:
            raise ValueError(f"stage {self.name} detects and needs a decode block")
        if self.kind != "map" and not self.labels:
            raise ValueError(f"stage {self.name} needs the labels of its output")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"stage {self.name} names a label twice: {self.labels}")
        if self.on != "image" and self.on_miss is None:
            raise ValueError(f"stage {self.name} looks at {self.on} and needs on_miss")
        self._check_regions()
        wanted = {"encoder", "decoder"} if self.kind == "prompt" else {"network"}
        if set(self.weights) != wanted:
            raise ValueError(f"stage {self.name} needs weights for {sorted(wanted)}, found {sorted(self.weights)}")
        return self

    def _check_regions(self) -> None:
        if self.region is not None and self.region not in self.regions:
            raise ValueError(f"stage {self.name} has no region {self.region}, wanted one of {sorted(self.regions)}")
        if not self.regions:
            return
        if self.region is None:
            raise ValueError(f"stage {self.name} has regions and needs region, the one where none is asked for")
        if self.on == "image" or self.label is not None:
            raise ValueError(f"stage {self.name} has regions: it must look at an earlier stage, at no label of it")
