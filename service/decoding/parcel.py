"""An image as JSON and bytes, and back: nothing of it is pickled, and nothing received is believed unchecked."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from service.decoding.channel import Broken, Buffer, Json
from service.image import Image, Region
from service.source import DicomSource, Flag, Source, Stored

if TYPE_CHECKING:
    from pydicom import Dataset

PLAIN = ("spacing", "spacing_source", "depth_axis", "modality", "laterality", "view", "notes")
KINDS = "?uif"


def packed(image: Image) -> tuple[Json, list[Buffer]]:
    """Head and pieces, the voxels first."""
    voxels = np.ascontiguousarray(image.slab(0, image.depth))
    pieces: list[Buffer] = [voxels.data.cast("B")]
    head = {
        **{name: getattr(image, name) for name in PLAIN},
        "dtype": voxels.dtype.str,
        "shape": voxels.shape,
        "focus": astuple(image.focus) if image.focus else None,
        "flags": [astuple(flag) for flag in image.flags],
        "source": _packed_source(image.source, pieces) if image.source else None,
    }
    return {**head, "sizes": [len(piece) for piece in pieces]}, pieces


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
    if dtype.kind not in KINDS or min(shape) < 1 or math.prod(shape) * dtype.itemsize != len(pieces[0]):
        raise Broken
    plain: dict[str, Any] = {name: head[name] for name in PLAIN}
    plain |= {"spacing": tuple(plain["spacing"]), "notes": tuple(plain["notes"])}
    return Image(
        np.frombuffer(pieces[0], dtype).reshape(shape),
        **plain,
        focus=Region(*head["focus"]) if head["focus"] else None,
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
        "facts": dict(source.facts) if source.facts is not None else None,
        "dicom": _packed_dicom(source.dicom, pieces) if source.dicom else None,
        "stored": _packed_stored(source.stored, pieces) if source.stored else None,
    }


def _unpacked_source(head: Json, pieces: list[memoryview]) -> Source:
    return Source(
        head["kind"],
        affine=_matrix(head["affine"]) if head["affine"] is not None else None,
        dicom=_unpacked_dicom(head["dicom"], pieces) if head["dicom"] else None,
        stored=_unpacked_stored(head["stored"], pieces) if head["stored"] else None,
        facts=head["facts"],
    )


def _matrix(rows: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    matrix = np.array(rows, np.float64)
    if matrix.shape != (4, 4):
        raise Broken
    return matrix


def _kept(piece: Buffer, pieces: list[Buffer]) -> int:
    """Number of the piece among all."""
    pieces.append(piece)
    return len(pieces) - 1


# ---- DICOM: each data set in its own encoding, so that elements nobody has looked at stay as they were --------------


def _packed_dicom(source: DicomSource, pieces: list[Buffer]) -> Json:
    headers = []
    for header in source.headers:
        implicit, little = _encoding(header)
        body = _kept(_written(header, implicit, little), pieces)
        meta = _kept(_written(header.file_meta, False, True), pieces) if hasattr(header, "file_meta") else None
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
    if not hasattr(header, "write_to"):
        return {"fields": header}
    stream = io.BytesIO()
    header.write_to(stream)
    return {"nifti": type(header).__name__, "at": _kept(stream.getvalue(), pieces)}


def _unpacked_header(head: Json, pieces: list[memoryview]) -> Any:
    if "fields" in head:
        return head["fields"]
    return _nifti_headers()[head["nifti"]](io.BytesIO(pieces[head["at"]]), check=False)


def _nifti_headers() -> dict[str, Callable[..., Any]]:
    from nibabel import nifti1, nifti2

    kinds = (nifti1.Nifti1Header, nifti1.Nifti1PairHeader, nifti2.Nifti2Header, nifti2.Nifti2PairHeader)
    return {kind.__name__: kind.from_fileobj for kind in kinds}
