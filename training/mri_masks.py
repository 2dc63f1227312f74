"""Tumour masks that come beside a DICOM series: DICOM-SEG and MATLAB 7.3. NIfTI is read by `training.volume`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dicom_series import Series
from training.volume import Volume


def read_seg(path: Path, series: Series, segment: str | None = None) -> Volume:
    """A DICOM segmentation on the grid of ``series``; frames find their slices by SOP instance UID, never by index.

    Args:
        path: the file.
        series: the slices it was drawn on.
        segment: label of the segment wanted; may be left out where there is one.

    Raises:
        ValueError: it is no segmentation, has several segments and none is named, refers to no or to lost slices of
            the series, or has another size.
    """
    import highdicom

    try:
        seg = highdicom.seg.segread(path)
    except Exception as error:  # pydicom and highdicom raise a dozen kinds on a file that is something else
        raise ValueError(f"Found no DICOM segmentation in {path} ({error}); wanted one. Download it again.") from error
    _check_references(seg, path, series)
    if (seg.Rows, seg.Columns) != series.volume.voxels.shape[1:]:
        raise ValueError(
            f"Found {seg.Rows} x {seg.Columns} pixels in {path}; wanted {series.volume.voxels.shape[1:]}, as in "
            f"{series.volume.source}. Give the segmentation of this series."
        )
    planes = seg.get_pixels_by_source_instance(
        source_sop_instance_uids=list(series.instances),
        segment_numbers=[_segment(seg, path, segment)],
        # Many writers leave the attribute out; the sizes are compared above.
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    return Volume((planes[..., 0] > 0.5).astype(np.uint8), series.volume.affine, path)


def referenced_series(path: Path) -> frozenset[str]:
    """UIDs of the series that a DICOM segmentation says it was drawn on. Raises what pydicom raises."""
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    return frozenset(str(item.SeriesInstanceUID) for item in header.get("ReferencedSeriesSequence", ()))


def _check_references(seg: Any, path: Path, series: Series) -> None:
    here = set(series.instances)
    referenced = {str(instance): str(parent) for _, parent, instance in seg.get_source_image_uids()}
    if not here & set(referenced):
        raise ValueError(
            f"Found no slice of {series.volume.source} among the {len(referenced)} that {path} refers to; wanted the "
            "series it was drawn on. Give that series, or the segmentation of this one."
        )
    own = str(series.header.get("SeriesInstanceUID", ""))
    lost = [instance for instance, parent in referenced.items() if parent == own and instance not in here]
    if lost:
        raise ValueError(
            f"Found {len(lost)} slices missing in {series.volume.source} to which {path} refers; wanted all. "
            "Download the series again."
        )


def _segment(seg: Any, path: Path, wanted: str | None) -> int:
    labels = {int(item.SegmentNumber): str(item.SegmentLabel) for item in seg.SegmentSequence}
    numbers = [number for number, label in labels.items() if wanted in (None, label)]
    if len(numbers) != 1:
        raise ValueError(
            f"Found the segments {', '.join(labels.values())} in {path}; wanted one, here {wanted or 'the only one'}. "
            "Name the tumour's by its label."
        )
    return numbers[0]


def read_mat(path: Path, series: Series, name: str | None = None, *, from_last: bool = False) -> Volume:
    """A mask of a MATLAB 7.3 file (HDF5) on the grid of ``series``.

    The file knows nothing of the patient: its array (rows, columns, slices) is laid on the series with the first slice
    at the lowest place along the normal, or ``from_last`` at the highest.

    Args:
        path: the file.
        series: the slices it was drawn on.
        name: path of the array inside the file; may be left out where one array of three axes has only two values.
        from_last: count the slices from the other end.

    Raises:
        ValueError: no MATLAB 7.3 file, no or several arrays that could be the mask, or another shape.
    """
    arrays = _arrays(path, name)
    if len(arrays) != 1:
        raise ValueError(
            f"Found {len(arrays)} arrays that could be a mask in {path} ({', '.join(arrays) or 'none'}); wanted one of "
            "three axes with two values. Name it."
        )
    # HDF5 turns MATLAB's order of axes round.
    mask = next(iter(arrays.values())).transpose(0, 2, 1)[:: -1 if from_last else 1]
    if mask.shape != series.volume.voxels.shape:
        raise ValueError(
            f"Found shape {mask.shape} in {path}; wanted {series.volume.voxels.shape}, as in {series.volume.source}. "
            "Give the mask of this series."
        )
    return Volume((mask != 0).astype(np.uint8), series.volume.affine, path)


def _arrays(path: Path, name: str | None) -> dict[str, NDArray[Any]]:
    import h5py

    found: dict[str, NDArray[Any]] = {}

    def look(key: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 3 and item.dtype.kind in "biuf" and name in (None, key):
            values = np.asarray(item[()])
            if len(np.unique(values[values != 0])) == 1:
                found[key] = values

    try:
        with h5py.File(path) as file:
            file.visititems(look)
    except OSError as error:
        raise ValueError(
            f"Found no HDF5 in {path} ({error}); wanted MATLAB 7.3. Save it in MATLAB with -v7.3."
        ) from error
    return found
