"""An image as JSON and bytes, and back: nothing of it is pickled, and nothing received is believed unchecked."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from service.decoding.channel import Broken, Buffer, Json
from service.formats.guard import decoding
from service.formats.mapped import part_of
from service.image import Image, Region
from service.source import DicomSource, Flag, Source, Stored

if TYPE_CHECKING:
    from pydicom import Dataset

PLAIN = ("spacing", "spacing_source", "depth_axis", "modality", "laterality", "view", "notes")
KINDS = "buif"


def packed(image: Image) -> tuple[Json, Iterator[Buffer]]:
    """Head, and the bytes it speaks of: voxels first, a slice at a time, so that a volume is never held twice."""
    dtype, shape = image.voxels.dtype, tuple(image.voxels.shape)
    pieces: list[Buffer] = []
    held = _held(image.held, image.depth)
    head = {
        **{name: getattr(image, name) for name in PLAIN},
        "dtype": dtype.str,
        "shape": shape,
        "held": image.held,
        "focus": astuple(image.focus) if image.focus else None,
        "flags": [astuple(flag) for flag in image.flags],
        "source": _packed_source(image.source, pieces) if image.source else None,
    }
    sizes = [len(held) * math.prod(shape[1:]) * dtype.itemsize, *(len(piece) for piece in pieces)]
    return {**head, "sizes": sizes}, chain(_slices(image, held), pieces)


def _held(held: Sequence[int] | None, depth: int) -> range:
    return range(depth) if held is None else range(*held)


def _slices(image: Image, held: range) -> Iterator[Buffer]:
    for z in held:
        yield np.ascontiguousarray(image.slab(z, z + 1), image.voxels.dtype).data.cast("B")


def unpacked(head: Json, memory: Buffer) -> Image:
    """The image whose voxels lie in ``memory``, not copied and not to be written. Raises Broken."""
    try:
        return _unpacked(head, memory)
    except Broken:
        raise
    except Exception as error:
        raise Broken from error


def _unpacked(head: Json, memory: Buffer) -> Image:
    pieces = _pieces(memory, head["sizes"])
    dtype, shape = np.dtype(head["dtype"]), tuple(head["shape"])
    held = _held(head["held"], shape[0])
    if dtype.kind not in KINDS or min(shape) < 1 or len(held) * math.prod(shape[1:]) * dtype.itemsize != len(pieces[0]):
        raise Broken
    focus = Region(*head["focus"]) if head["focus"] else None
    looked_at = range(focus.z0, focus.z1) if focus else range(shape[0])
    if not 0 <= held.start <= looked_at.start < looked_at.stop <= held.stop <= shape[0]:
        raise Broken
    voxels, part = part_of(np.frombuffer(pieces[0], dtype).reshape(len(held), *shape[1:]), held, shape[0])
    plain: dict[str, Any] = {name: head[name] for name in PLAIN}
    plain |= {"spacing": tuple(plain["spacing"]), "notes": tuple(plain["notes"])}
    return Image(
        voxels,
        **plain,
        focus=focus,
        held=part,
        flags=tuple(Flag(*flag) for flag in head["flags"]),
        source=_unpacked_source(head["source"], pieces) if head["source"] else None,
    )


def _pieces(memory: Buffer, sizes: Sequence[int]) -> list[memoryview]:
    if min(sizes) < 0 or sum(sizes) != len(memory):
        raise Broken
    ends = np.cumsum(sizes).tolist()
    return [memoryview(memory)[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _packed_source(source: Source, pieces: list[Buffer]) -> Json:
    return {
        "kind": source.kind,
        "affine": source.affine,
        "dicom": _packed_dicom(source.dicom, pieces) if source.dicom else None,
        "stored": _packed_stored(source.stored, pieces) if source.stored else None,
    }


def _unpacked_source(head: Json, pieces: list[memoryview]) -> Source:
    return Source(
        head["kind"],
        affine=_matrix(head["affine"]) if head["affine"] is not None else None,
        dicom=_unpacked_dicom(head["dicom"], pieces) if head["dicom"] else None,
        stored=_unpacked_stored(head["stored"], pieces) if head["stored"] else None,
    )


def _matrix(rows: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    matrix = np.array(rows, np.float64)
    if matrix.shape != (4, 4):
        raise Broken
    return matrix


def _kept(piece: Buffer, pieces: list[Buffer]) -> int:
    """Number of the piece among all; the voxels are number 0."""
    pieces.append(piece)
    return len(pieces)


# ---- DICOM: what outputs need of each data set, in its own encoding, so that elements not looked at stay as they were


def _packed_dicom(source: DicomSource, pieces: list[Buffer]) -> Json:
    from service.decoding.headers import handed_over, handed_over_meta

    headers, frames = [], defaultdict(set)
    for instance, frame in source.frames:
        frames[instance].add(frame)
    for number, header in enumerate(source.headers):
        implicit, little = _encoding(header)
        body = _kept(_written(handed_over(header, frames[number]), implicit, little), pieces)
        meta = None
        if hasattr(header, "file_meta"):
            meta = _kept(_written(handed_over_meta(header), False, True), pieces)
        headers.append((body, meta, implicit, little))
    return {"headers": headers, "frames": source.frames}


def _encoding(header: Dataset) -> tuple[bool, bool]:
    implicit, little = header.original_encoding
    return bool(implicit), True if little is None else bool(little)


def _written(header: Dataset, implicit: bool, little: bool) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, little
    write_dataset(stream, header)
    return stream.getvalue()


def _unpacked_dicom(head: Json, pieces: list[memoryview]) -> DicomSource:
    # What is odd about an attribute was dealt with by the reader; to say it again would quote it.
    with decoding("DICOM"):
        headers = tuple(_header(one, pieces) for one in head["headers"])
    frames = tuple((int(instance), int(frame)) for instance, frame in head["frames"])
    if any(not 0 <= instance < len(headers) for instance, _ in frames):
        raise Broken
    return DicomSource(headers, frames)


def _header(one: Sequence[Any], pieces: list[memoryview]) -> Dataset:
    from pydicom import FileDataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset

    body, meta, implicit, little = one
    found = read_dataset(io.BytesIO(pieces[body]), implicit, little)
    group_2 = FileMetaDataset()
    if meta is not None:
        group_2.update(read_dataset(io.BytesIO(pieces[meta]), False, True))
    header = FileDataset("", found, b"\0" * 128, group_2, implicit, little)
    header.set_original_encoding(implicit, little, found._character_set)
    return header


# ---- NIfTI and NRRD --------------------------------------------------------------------------------------------------


def _packed_stored(stored: Stored, pieces: list[Buffer]) -> Json:
    plain = {name: getattr(stored, name) for name in ("shape", "axes", "flips", "affine", "phase")}
    return {**plain, "header": _packed_header(stored.header, pieces)}


def _unpacked_stored(head: Json, pieces: list[memoryview]) -> Stored:
    if sorted(head["axes"]) != [0, 1, 2]:
        raise Broken
    plain = {name: tuple(head[name]) for name in ("shape", "axes", "flips")}
    header = _unpacked_header(head["header"], pieces)
    return Stored(**plain, affine=_matrix(head["affine"]), header=header, phase=head["phase"])


def _packed_header(header: Any, pieces: list[Buffer]) -> Json:
    """NIfTI's as the bytes of its file, NRRD's as the fields it is."""
    if not hasattr(header, "binaryblock"):
        return {"fields": header}
    return {"nifti": type(header).__name__, "order": header.endianness, "at": _kept(header.binaryblock, pieces)}


def _unpacked_header(head: Json, pieces: list[memoryview]) -> Any:
    if "fields" in head:
        return head["fields"]
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    kind: Any = {"Nifti1Header": Nifti1Header, "Nifti2Header": Nifti2Header}[head["nifti"]]
    return kind(bytes(pieces[head["at"]]), head["order"], check=False)
