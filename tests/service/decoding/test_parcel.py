"""What is known about an image crosses the process border whole: geometry, flags, DICOM elements and file headers."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from pydicom import Dataset, FileDataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from service.decoding.channel import Broken
from service.decoding.parcel import packed, unpacked
from service.formats.mapped import Part
from service.image import Image, Region
from service.source import DicomSource, Flag, Source, Stored

VOXELS = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4, 1)
AFFINE = np.array([[0.1, 0, 0, -3], [0, 0.2, 0, 4.5], [0, 0, 1 / 3, 7], [0, 0, 0, 1]])


def across(image: Image) -> Image:
    """The image on the other side."""
    head, pieces = packed(image)
    return unpacked(json.loads(json.dumps(head, default=lambda value: value.tolist())), b"".join(pieces))


def test_geometry_and_flags() -> None:
    image = Image(
        VOXELS,
        spacing=(None, 0.1, 1 / 3),
        spacing_source="imager_magnified",
        depth_axis="time",
        modality="MG",
        laterality="L",
        view="MLO",
        notes=("a", "b"),
        focus=Region(1, 0, 3, 2, 0, 2),
        flags=(Flag("code", "Text."),),
        source=Source("raster", AFFINE),
    )
    other = across(image)
    assert vars(replace(other, voxels=VOXELS, source=None)) == vars(replace(image, source=None))
    np.testing.assert_array_equal(np.asarray(other.voxels), VOXELS)
    assert other.source is not None
    np.testing.assert_array_equal(other.source.affine, AFFINE)
    assert other.source.kind == "raster"


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i4", "<f4", "<f8", "?"])
def test_numbers_keep_their_type(dtype: str) -> None:
    other = across(Image(VOXELS.astype(dtype)))
    assert other.voxels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(other.voxels), VOXELS.astype(dtype))


def test_any_layout_in_memory() -> None:
    for voxels in (np.asfortranarray(VOXELS), VOXELS[:, ::-1], VOXELS.transpose(0, 2, 1, 3)):
        np.testing.assert_array_equal(np.asarray(across(Image(voxels)).voxels), voxels)


class Lazy:
    """Slices that are computed when they are asked for."""

    shape, dtype = VOXELS.shape, VOXELS.dtype

    def __getitem__(self, key: slice) -> Any:
        return VOXELS[key] + 1


def test_a_lazy_volume_arrives_computed() -> None:
    np.testing.assert_array_equal(np.asarray(across(Image(Lazy())).voxels), VOXELS + 1)


@pytest.mark.parametrize("held", [(1, 2), (1, 4)])
def test_of_a_volume_the_slices_held_arrive_alone(held: tuple[int, int]) -> None:
    volume = np.arange(5 * 3 * 4, dtype=np.int16).reshape(5, 3, 4, 1)
    image = Image(Part(volume[slice(*held)], held[0], 5), focus=Region(0, 0, 4, 3, 1, 2), held=held)
    head, pieces = packed(image)
    assert sum(map(len, pieces)) == (held[1] - held[0]) * 24
    other = across(image)
    assert (other.held, other.voxels.shape, other.voxels.dtype) == (held, (5, 3, 4, 1), np.int16)
    np.testing.assert_array_equal(other.slab(*held), volume[slice(*held)])
    with pytest.raises(IndexError, match=f"slices 0 to 1 of a volume of which {held[0]} to {held[1]} are held"):
        other.slab(0, 1)
    for change in ({"focus": [0, 0, 4, 3, 0, 1]}, {"focus": None}, {"held": [1, 6]}, {"held": None}):
        with pytest.raises(Broken):
            unpacked({**head, **change}, b"".join(packed(image)[1]))


def instance(syntax: str) -> FileDataset:
    """A header with what is easily lost: private and unknown elements, sequences, other characters, lazy values."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Müller^Jürgen"
    dataset.SOPInstanceUID = generate_uid()
    dataset.PixelSpacing = ["0.100000", "0.2"]
    dataset.Rows = 512
    dataset.PixelRepresentation = 1
    dataset.SmallestImagePixelValue = -5
    dataset.add_new(0x00091001, "LO", "private")
    item = Dataset()
    item.CodeValue = "T-04000"
    dataset.AnatomicRegionSequence = [item]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    stream = io.BytesIO()
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    dataset.save_as(stream, implicit_vr=implicit, little_endian=little)
    return dcmread(io.BytesIO(stream.getvalue()), force=True)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_dicom_elements_are_the_same(syntax: str) -> None:
    header, looked_at = instance(syntax), instance(syntax)
    assert looked_at.PixelSpacing == [0.1, 0.2]
    source = Source("dicom", dicom=DicomSource((header, looked_at), ((1, 1), (0, 1))))
    other = across(Image(VOXELS, source=source)).source
    assert other is not None
    assert other.dicom is not None
    assert other.dicom.frames == ((1, 1), (0, 1))
    for here, there in zip((header, looked_at), other.dicom.headers, strict=True):
        assert "AnatomicRegionSequence" not in there
        assert 0x00091001 not in there
        assert all(here[element.tag] == element for element in there)
        assert len(there) == len(here) - 2
        assert there.file_meta.TransferSyntaxUID == syntax
        assert str(there.PatientName) == "Müller^Jürgen"
        assert there.SmallestImagePixelValue == -5
        assert (there.is_little_endian, there.is_implicit_VR) == (here.is_little_endian, here.is_implicit_VR)


def framed(count: int) -> Dataset:
    """A header with functional groups, of which the reader uses more than outputs do."""
    groups = []
    for number in range(count):
        group, place, voi = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, voi.WindowCenter = [0, 0, number], 5
        group.PlanePositionSequence, group.FrameVOILUTSequence = [place], [voi]
        groups.append(group)
    made = Dataset()
    made.NumberOfFrames, made.PerFrameFunctionalGroupsSequence = count, groups
    return made


def test_of_functional_groups_the_places_of_the_wanted_frames_cross() -> None:
    other = across(Image(VOXELS, source=Source("dicom", dicom=DicomSource((framed(5),), ((0, 2), (0, 4)))))).source
    assert other is not None
    assert other.dicom is not None
    groups = other.dicom.headers[0].PerFrameFunctionalGroupsSequence
    assert [len(group) for group in groups] == [0, 1, 0, 1, 0]
    assert groups[3].PlanePositionSequence[0].ImagePositionPatient == [0, 0, 3]


def test_long_values_stay_behind() -> None:
    made = Dataset()
    made.PatientID, made.ImageComments, made.ReferencedFileID = "17", "x" * 5000, ["A"] * 65
    other = across(Image(VOXELS, source=Source("dicom", dicom=DicomSource((made,), ((0, 1), (0, 1)))))).source
    assert other is not None
    assert other.dicom is not None
    assert [element.keyword for element in other.dicom.headers[0]] == ["PatientID"]


def test_an_attribute_against_the_rules_arrives_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Pydicom warns, and quotes what it can."""
    made = instance(ExplicitVRLittleEndian)
    with disable_value_validation():
        made.PatientSex = "Jane Doe"
        made.add_new(0x00100030, "DA", "Jane Doe")
    with warnings.catch_warnings(action="ignore"):
        head, pieces = packed(Image(VOXELS, source=Source("dicom", dicom=DicomSource((made,), ((0, 1),)))))
    caplog.clear()
    assert unpacked(json.loads(json.dumps(head)), b"".join(pieces)).source is not None
    assert caplog.text == ""


def test_a_header_made_by_hand_has_no_encoding_of_its_own() -> None:
    made = Dataset()
    made.PatientID = "17"
    other = across(Image(VOXELS, source=Source("dicom", dicom=DicomSource((made,), ((0, 1), (0, 2)))))).source
    assert other is not None
    assert other.dicom is not None
    assert other.dicom.headers[0].PatientID == "17"


@pytest.mark.parametrize("kind", [Nifti1Header, Nifti2Header])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_headers_are_the_same(kind: Any, order: str) -> None:
    header = kind(endianness=order)
    header["descrip"] = b"scanner"
    header["scl_slope"] = np.nan
    header["dim"] = [3, 4, 3, 2, 1, 1, 1, 1]
    stored = Stored((4, 3, 2), (2, 1, 0), (False, True, False), AFFINE, header, phase=3)
    other = across(Image(VOXELS, source=Source("nifti", AFFINE, stored=stored))).source
    assert other is not None
    assert other.stored is not None
    assert type(other.stored.header) is kind
    assert (other.stored.header.binaryblock, other.stored.header.endianness) == (header.binaryblock, order)
    assert (other.stored.shape, other.stored.axes, other.stored.flips, other.stored.phase) == (
        (4, 3, 2), (2, 1, 0), (False, True, False), 3,
    )  # fmt: skip
    np.testing.assert_array_equal(other.stored.affine, AFFINE)


def test_nrrd_fields_are_the_same() -> None:
    fields = {"type": "short", "space directions": "(1,0,0) (0,1,0) (0,0,1)"}
    stored = Stored((4, 3, 2), (2, 1, 0), (False, False, False), AFFINE, fields)
    other = across(Image(VOXELS, source=Source("nrrd", stored=stored))).source
    assert other is not None
    assert other.stored is not None
    assert (other.stored.header, other.stored.phase, other.affine) == (fields, None, None)
