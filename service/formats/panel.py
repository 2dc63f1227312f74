"""The combined picture of an answer, and the pictures it is made of as files of their own.

Side by side: the picture; what each earlier stage outlined or where it looked; the probability of the stage asked for;
the overlay. Below them the labels' colours, pipeline, level of evidence and the notice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from service.engine import Answer
from service.formats.mask_png import encode_mask
from service.formats.overlay import FONT, NOTICE, Picture, overlay_picture, shown
from service.formats.palette import colour_table
from service.formats.plane import only_slice
from service.formats.probability import TOP, encode_probability, probability_map
from service.image import Image, Mask, Region
from service.manifest import PanelPart, StageSpec
from service.preprocess import resize
from service.result import StageResult

# Pixels of the longer side of one picture, of the strips above and below, between pictures.
TILE, STRIP, GAP = 640, 28, 8
WHITE, SOFT, DARK, FRAME = (235, 235, 235), (160, 160, 160), (18, 18, 18), (143, 184, 232)
TEXT, SWATCH = 0.5, 12
MASKS = ("segment", "prompt")


@dataclass(frozen=True)
class _Line:
    """Text at a height, of a colour."""

    text: str
    y: int
    colour: tuple[int, int, int] = WHITE


def encode_panel(answer: Answer) -> bytes:
    """RGB PNG. Raises BadParameter for more than one slice."""
    tiles = [_titled(title, picture) for title, picture in _tiles(answer)]
    space = np.full((tiles[0].shape[0], GAP, 3), DARK, np.uint8)
    row = np.concatenate([part for tile in tiles for part in (space, tile)] + [space], axis=1)
    _, encoded = cv2.imencode(".png", cv2.cvtColor(_with_foot(row, answer), cv2.COLOR_RGB2BGR))
    return encoded.tobytes()


def panel_parts(answer: Answer) -> dict[str, bytes | None]:
    """PNG by name, as the manifest's ``panel`` says, on the source grid; None where the stage did not run.

    A mask has label ids as pixel values, some of its labels are 255 on 0, a probability has 16 bits. Probabilities are
    those of the stage asked for. Raises BadParameter for more than one slice.
    """
    return {name: _part(part, answer) for name, part in parts_of(answer).items()}


def parts_of(answer: Answer) -> Mapping[str, PanelPart]:
    """The manifest's own choice; else the mask of each stage and the probability of the one asked for."""
    manifest = answer.manifest
    if manifest.panel:
        return manifest.panel
    masks = {f"{one.name}_mask": PanelPart(stage=one.name) for one in manifest.stages if one.kind in MASKS}
    wanted = _wanted(answer).name
    return {**masks, f"{wanted}_prob": PanelPart(stage=wanted, probability=True)}


def _part(part: PanelPart, answer: Answer) -> bytes | None:
    if part.probability:
        return encode_probability(answer.result.patches, _slice(answer)) if _gave(part.stage, answer) else None
    mask = answer.result.masks.get(part.stage)
    if mask is None:
        return None
    plane = only_slice(mask.labels[answer.image.field.z0 : answer.image.field.z1])
    if not part.labels:
        return encode_mask(Mask(plane[np.newaxis], mask.names), answer.manifest.labels)
    ids = [id_ for id_, name in mask.names.items() if name in part.labels]
    _, encoded = cv2.imencode(".png", np.isin(plane, ids).astype(np.uint8) * np.uint8(255))
    return encoded.tobytes()


def _gave(stage: str, answer: Answer) -> bool:
    """Whether the stage is the one whose probabilities there are, and ran."""
    return stage == _wanted(answer).name and answer.result.status != "not_evaluated"


def _wanted(answer: Answer) -> StageSpec:
    """The stage whose mask is the answer's."""
    masks = [stage for stage in answer.manifest.stages if stage.kind in MASKS]
    return next((stage for stage in masks if stage.name == answer.result.stage), masks[-1])


def _slice(answer: Answer) -> Region:
    field, whole = answer.image.field, answer.image.region
    return replace(whole, z0=field.z0, z1=field.z1)


def _tiles(answer: Answer) -> Iterator[tuple[str, Picture]]:
    z = answer.image.field.z0
    only_slice(answer.result.mask.labels[z : answer.image.field.z1])
    small = _small_image(answer.image, z)
    wanted = _wanted(answer)
    yield "image", shown(small.slab(0, 1)[0])
    for stage in answer.manifest.stages[: answer.manifest.stages.index(wanted)]:
        if stage.kind in (*MASKS, "detect"):
            yield stage.name, _of_stage(stage, answer, small)
    yield f"{wanted.name} probability", _heat(answer, small)
    mask = _small_mask(answer.result.mask, z, small)
    yield "overlay", overlay_picture(small, mask, answer.manifest.labels)


def _of_stage(stage: StageSpec, answer: Answer, small: Image) -> Picture:
    mask = answer.result.masks.get(stage.name)
    if mask is not None:
        plane = _small_mask(mask, answer.image.field.z0, small).labels[0]
        return np.asarray(colour_table(answer.manifest.labels)[plane], np.uint8)
    picture = shown(small.slab(0, 1)[0]) // np.uint8(2)
    result = next((one for one in answer.result.stages if one.name == stage.name), None)
    _frames(picture, result, answer.image)
    return picture


def _frames(picture: Picture, result: StageResult | None, image: Image) -> None:
    """The regions of a stage; where there are none, that it gave nothing."""
    height, width = picture.shape[:2]
    across, down = width / image.width, height / image.height
    looks = [look for look in result.regions if look.region.z0 <= image.field.z0 < look.region.z1] if result else []
    for look in looks:
        left, top, right, bottom = look.region.box
        first = round(left * across), round(top * down)
        cv2.rectangle(picture, first, (round(right * across) - 1, round(bottom * down) - 1), FRAME, 2)
    if not looks:
        _write(picture, _Line("nothing", height // 2), 8)


def _heat(answer: Answer, small: Image) -> Picture:
    """Probability 0 to 1 from black over red and yellow to white; black, too, where nothing looked."""
    levels = probability_map(answer.result.patches, _slice(answer))[0]
    plane = resize(levels, small.height, small.width)
    eight_bit = np.rint(plane.astype(np.float32) / TOP * 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(eight_bit, cv2.COLORMAP_HOT), cv2.COLOR_BGR2RGB), np.uint8)


def _small_image(image: Image, z: int) -> Image:
    scale = TILE / max(image.height, image.width)
    size = max(1, round(image.height * scale)), max(1, round(image.width * scale))
    plane = image.slab(z, z + 1)[0]
    fitting = plane if plane.dtype in (np.uint8, np.uint16) else plane.astype(np.float32)
    return Image(resize(fitting, *size)[np.newaxis])


def _small_mask(mask: Mask, z: int, small: Image) -> Mask:
    """Each pixel the label that covers half of it; a label that covers half of none is shown where it is at all."""
    size, plane = (small.height, small.width), mask.labels[z]
    labels: NDArray[np.uint8] = np.zeros(size, np.uint8)
    for id_ in np.flatnonzero(np.bincount(plane.ravel(), minlength=256)[1:]) + 1:
        share = resize((plane == id_).astype(np.float32), *size)
        covered = share >= 0.5
        labels[covered if covered.any() else share > 0] = id_
    return Mask(labels[np.newaxis], mask.names)


def _titled(title: str, picture: Picture) -> Picture:
    strip = np.full((STRIP, picture.shape[1], 3), DARK, np.uint8)
    _write(strip, _Line(title.replace("_", " "), STRIP - 9), 2)
    return np.concatenate([strip, picture])


def _with_foot(row: Picture, answer: Answer) -> Picture:
    """Legend, then what made this, each on a strip; as wide as the text needs."""
    manifest = answer.manifest
    said = f"{NOTICE} - {manifest.name} {manifest.version} - {manifest.evidence.level} - {answer.result.status}"
    legend = [(label.name.replace("_", " "), label.color) for label in manifest.labels]
    width = max(row.shape[1], 2 * GAP + _length(said), 2 * GAP + sum(_length(name) + 3 * SWATCH for name, _ in legend))
    canvas = np.full((row.shape[0] + 2 * STRIP, width, 3), DARK, np.uint8)
    canvas[: row.shape[0], : row.shape[1]] = row
    x, base = GAP, row.shape[0] + STRIP - 9
    for name, colour in legend:
        cv2.rectangle(canvas, (x, base - SWATCH + 1), (x + SWATCH, base + 1), colour, -1)
        _write(canvas, _Line(name, base), x + SWATCH + 6)
        x += _length(name) + 3 * SWATCH
    _write(canvas, _Line(said, base + STRIP, SOFT), GAP)
    return canvas


def _write(picture: Picture, line: _Line, x: int) -> None:
    text = line.text.encode("ascii", "replace").decode()
    cv2.putText(picture, text, (x, line.y), FONT, TEXT, line.colour, 1, cv2.LINE_AA)


def _length(text: str) -> int:
    (width, _), _ = cv2.getTextSize(text, FONT, TEXT, 1)
    return int(width)
