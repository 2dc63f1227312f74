"""Real DICOM files made by code, in every transfer syntax that something here can encode."""

from __future__ import annotations

import base64
import io
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom import Dataset, dcmwrite
from pydicom import uid as uids
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.valuerep import DSfloat

CANARY = "ZZPHI^CANARY"
# Lossless, 24 rows by 40 columns of x * 50 + y * 85. Made by OpenJPH: nothing that is installed here encodes HTJ2K.
HTJ2K_RAMP = (
    "/0//UQApQAAAAAAoAAAAGAAAAAAAAAAAAAAAKAAAABgAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
    "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAM8AAf+TwAAqAJn6w+0BQjQAwAASwAATgPcA"
    "B3QAYAu2AMI0AMAAE0AAFQD3/gACdADf7/sA5PY1AMAAFTAABXDGjY3Rj+GLdgAGG2ywwQbgIP5CAb64AMAAFZAABa5gMBgMBu/K"
    "enECdwB8+fj4+Pj4+Pj4/vyGPYxge/Yxgey8AMAALUgABdSAoiiKoiiKoiiK/H8Kenp6enCCewCoKBQKhUKhUCgUCoVCoVAoFOr/"
    "doAhAe/YhAe/YhAe/YhAe/YhAey3Af/Z"
)
# Lossless, 24 rows by 40 columns of RGB (x * 6, y * 10, (x + y) * 4) in 8 bits.
HTJ2K_COLOUR = (
    "/0//UQAvQAAAAAAoAAAAGAAAAAAAAAAAAAAAKAAAABgAAAAAAAAAAAADBwEBBwEBBwEB/1AACAACAAAAA/9SAAwAAgABAQUEBEAB"
    "/1wAEyBQWFhYWFhYWFhYWFhYUFBQ/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAa8AAf+TwBMAGcUBAXQAwBMAY6IA"
    "QjQAwBMAp+IAQjQAwAjgBMAAYwDMzABCNADACOAEwBdzAM3NAEI0AMAI4ATgJ3MAVav+AGI0AMAI4ASgAeMArUr2NADACOAEoBJz"
    "ANZK9jQAwAkgBMD1InMAKv0D9jQAwAngBWDW7Nz+y3UAtm3b9uAA/gABvrgAwAqIAViiENAP4At2AHVd1/XgAP4AAb64AMAKiAFa"
    "trXQD+ALdgDZbDab/eAI/hCBvrgAwAqoAV6SJP3vwKenQncAWlVVVVX8gz3ye/fJ7LoAwAqoAV4AAADvwKenwncAOTMzMzP8gz3y"
    "e/fJ7LoAwAqoAWmAqqqq78Cnp8J3AOtaa6211vr8gD2AAHv2AAHsvADAFZAFtADw/H8U9PT09PJ6ACpJkiRJkiTp/3aASe/ZJ79k"
    "nv2Se/ZJ7LIBwBWwBbSqqqr8fynp6enp4noAu23btm3btu3/doBJ79knv2Se/ZJ79knssgHAFfAFupIkSZL0/H+np6enp0J6AHNm"
    "ZmZmZmZmZmb+/3aBye/fJ798nv3ye/fJ7LIB/9k="
)
GDCM_SYNTAXES = {
    uids.JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    uids.JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}


def ramp(height: int = 48, width: int = 80) -> NDArray[np.uint16]:
    """12-bit values without any symmetry, large enough for every encoder."""
    y, x = np.mgrid[:height, :width]
    return (x * 30 + y * 35).astype(np.uint16)


def instance(pixels: NDArray[Any], **about: Any) -> Dataset:
    """A data set of ``pixels``: (rows, columns), (frames, rows, columns) or either with 3 samples behind.

    ``about`` sets any attribute; one that is None is left out. Every text names the patient.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = uids.SecondaryCaptureImageStorage, uids.generate_uid()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    made.PatientName, made.PatientID, made.Modality = CANARY, CANARY, "MG"
    made.StudyDescription = made.SeriesDescription = made.InstitutionName = made.StationName = CANARY
    _describe(made, pixels)
    # What is wrong is wrong on purpose.
    with disable_value_validation():
        for name, value in about.items():
            # An element remembers how strictly it was checked when it was made.
            if name in made:
                delattr(made, name)
            if value is not None:
                setattr(made, name, value)
    return made


def _describe(made: Dataset, pixels: NDArray[Any]) -> None:
    colour = pixels.ndim >= 3 and pixels.shape[-1] == 3
    plane = pixels.shape[:-1] if colour else pixels.shape
    if len(plane) == 3:
        made.NumberOfFrames = plane[0]
    made.Rows, made.Columns = plane[-2:]
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = 1 if pixels.dtype.kind == "i" else 0
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    made.PixelData = content + b"\0" * (len(content) % 2)
    made["PixelData"].VR = "OB" if made.BitsAllocated == 8 else "OW"


def saved(made: Dataset, syntax: str = uids.ExplicitVRLittleEndian) -> bytes:
    """The file in a transfer syntax; ``made`` is changed and must not be used again."""
    if syntax in GDCM_SYNTAXES:
        return _by_gdcm(saved(made), syntax)
    if syntax == uids.ExplicitVRBigEndian:
        return _big_endian(made)
    if syntax == uids.JPEGBaseline8Bit:
        return encapsulated(made, syntax, [_jpeg(frame) for frame in _frames(made)])
    if syntax in (uids.RLELossless, uids.JPEGLSLossless, uids.JPEG2000Lossless):
        made.compress(syntax, generate_instance_uid=False)
    made.file_meta.TransferSyntaxUID = uids.UID(syntax)
    return written(made)


def encapsulated(made: Dataset, syntax: str, frames: Sequence[bytes]) -> bytes:
    """The file with its frames as given."""
    made.PixelData = encapsulate(list(frames))
    made["PixelData"].VR = "OB"
    made.file_meta.TransferSyntaxUID = uids.UID(syntax)
    return written(made)


def htj2k(*, colour: bool = False) -> tuple[bytes, NDArray[Any]]:
    """A codestream in HTJ2K, and its pixels."""
    y, x = np.mgrid[:24, :40]
    if colour:
        return base64.b64decode(HTJ2K_COLOUR), np.stack([x * 6, y * 10, (x + y) * 4], -1).astype(np.uint8)
    return base64.b64decode(HTJ2K_RAMP), (x * 50 + y * 85).astype(np.uint16)


def written(made: Dataset) -> bytes:
    """The file as it stands."""
    stream = io.BytesIO()
    with disable_value_validation():
        dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def _big_endian(made: Dataset) -> bytes:
    kind = np.dtype(f"u{made.BitsAllocated // 8}")
    made.PixelData = np.frombuffer(made.PixelData, kind.newbyteorder("<")).astype(kind.newbyteorder(">")).tobytes()
    made.file_meta.TransferSyntaxUID = uids.ExplicitVRBigEndian
    return written(made)


def _frames(made: Dataset) -> NDArray[np.uint8]:
    shape = (int(made.get("NumberOfFrames", 1)), made.Rows, made.Columns, made.SamplesPerPixel)
    return np.frombuffer(made.PixelData, np.uint8)[: int(np.prod(shape))].reshape(shape)


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame).save(stream, "JPEG", quality=100, subsampling=0)
    return stream.getvalue()


def _by_gdcm(content: bytes, syntax: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.dcm"), Path(folder, "b.dcm")
        source.write_bytes(content)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(source))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(GDCM_SYNTAXES[syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return target.read_bytes()


def decimal(*values: float) -> list[DSfloat]:
    """Numbers as DICOM's decimal strings hold them."""
    return [DSfloat(float(value), auto_format=True) for value in values]


def placed(position: Sequence[float], axes: Sequence[float], pixel: Sequence[float] = (0.7, 0.5)) -> dict[str, Any]:
    """Attributes of a slice at ``position`` with direction cosines ``axes`` and mm between (rows, columns)."""
    return {
        "ImagePositionPatient": decimal(*position),
        "ImageOrientationPatient": decimal(*axes),
        "PixelSpacing": decimal(*pixel),
    }


def mr_slices(
    volume: NDArray[Any], step: float = 2.0, axes: Sequence[float] = (1, 0, 0, 0, 1, 0), **about: Any
) -> list[bytes]:
    """A classic MR series, slice by slice along its normal."""
    normal = np.cross(axes[:3], axes[3:])
    origin = np.array([12.5, -40.25, 7.0])
    kind = {"SOPClassUID": uids.MRImageStorage, "Modality": "MR"}
    files = []
    for z, plane in enumerate(volume):
        where = placed(origin + normal * step * z, axes)
        files.append(saved(instance(plane, **{**kind, **where, **about})))
    return files


def enhanced_mr(volume: NDArray[Any], positions: Sequence[Sequence[float]], **per_frame: Sequence[Any]) -> Dataset:
    """An enhanced MR instance; ``per_frame`` gives one value of FrameContent attributes for each frame."""
    shared, groups = Dataset(), []
    shared.PlaneOrientationSequence = [item(ImageOrientationPatient=decimal(1, 0, 0, 0, 1, 0))]
    shared.PixelMeasuresSequence = [item(PixelSpacing=decimal(0.7, 0.5), SliceThickness=decimal(2)[0])]
    for number, position in enumerate(positions):
        content = {name: values[number] for name, values in per_frame.items()}
        group = item(PlanePositionSequence=[item(ImagePositionPatient=decimal(*position))])
        group.FrameContentSequence = [item(**content)]
        groups.append(group)
    return instance(
        volume,
        SOPClassUID=uids.EnhancedMRImageStorage,
        Modality="MR",
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=groups,
    )


def item(**about: Any) -> Dataset:
    """One item of a sequence."""
    made = Dataset()
    for name, value in about.items():
        setattr(made, name, value)
    return made


def lut(entries: Sequence[int], first: int, bits: int) -> Dataset:
    """Item of a modality or VOI LUT sequence."""
    made = Dataset()
    made.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    made.add_new("LUTData", "OW", struct.pack(f"<{len(entries)}H", *entries))
    return made


def region(box: Sequence[int], delta: Sequence[float] = (0.02, 0.03), units: int = 3, data: int = 1) -> Dataset:
    """Item of ultrasound regions; ``delta`` is (x, y)."""
    left, top, right, bottom = box
    return item(
        RegionSpatialFormat=1, RegionDataType=data, RegionFlags=0,
        RegionLocationMinX0=left, RegionLocationMinY0=top, RegionLocationMaxX1=right, RegionLocationMaxY1=bottom,
        PhysicalUnitsXDirection=units, PhysicalUnitsYDirection=units,
        PhysicalDeltaX=delta[0], PhysicalDeltaY=delta[1],
    )  # fmt: skip
