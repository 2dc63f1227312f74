"""The slices of one DICOM series, out of as many files: checked to belong together before a pixel is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from service.errors import InputError, UnusableImage, counted
from service.formats.dicom import Material, Shot, image_of, laid_out, read_instance
from service.formats.dicom_geometry import Place, place_of
from service.formats.dicom_layout import GREY, Layout
from service.formats.dicom_parse import Parsed, parse
from service.formats.dicom_pixels import check_packed
from service.formats.dicom_walk import check_series
from service.formats.functional_groups import Frame
from service.formats.guard import decoding
from service.formats.options import Options
from service.image import Image
from service.source import Flag

Load = Callable[[int], bytes]
# What slices of one series share (PS3.3 A.1.2, C.7.3.1): what outputs say of all of them is read off the first.
SHARED = (
    ("SeriesInstanceUID", "", "series", "Send each series alone."),
    ("StudyInstanceUID", "slices of ", "studies", "Send those of each study alone."),
    ("PatientID", "slices of ", "patients", "Send those of each patient alone."),
    # Positions of two frames of reference do not compare (PS3.3 C.7.4.1.1.1).
    ("FrameOfReferenceUID", "slices in ", "frames of reference", "Send those of each frame of reference alone."),
)
SHARED_BY_A_VOLUME = (
    ("Modality", "slices of ", "modalities", "Send those of each modality alone."),
    ("SOPClassUID", "slices of ", "kinds of DICOM object", "Send those of each kind alone."),
)


def read_slices(count: int, load: Load, options: Options) -> Image:
    """One series; ``load(n)`` gives the n-th file. Of each the header is kept, the bytes are not.

    Raises what `service.formats.dicom.read_instance` raises, and UnusableImage with code ``mixed_series`` where the
    files are not slices of one series.
    """
    if count == 1:
        return read_instance(load(0), options)
    options.limits.check_files(count)
    headers = list(_headers(count, load))
    with decoding("DICOM"):
        kept = _without_copies(headers)
    chosen = tuple(headers[number] for number in kept)
    layouts = [laid_out(header, options) for header in chosen]
    with decoding("DICOM"):
        shots = tuple(_shot(header, at) for at, header in enumerate(chosen))
        _check_one_series(chosen, layouts, [shot.place for shot in shots])
    options.limits.check_volume(layouts[0].frame_bytes * len(kept))
    # Slices may each be small enough to be empty, and all of them together may not.
    check_packed(chosen[0].syntax, layouts[0], len(kept), sum(header.packed for header in chosen))
    flags = _copies(count - len(kept))
    return image_of(Material(chosen, tuple(layouts), lambda at: parse(load(kept[at])), shots, flags), options)


def series_of(head: bytes) -> str | None:
    """UID of the series that a file is a slice of, None for any other file. Needs all that stands before the pixels."""
    try:
        return series_in(parse(head))
    except InputError:
        return None


def series_in(parsed: Parsed) -> str | None:
    """UID of the series that an instance is a slice of, None for any other. Raises UnusableImage."""
    with decoding("DICOM"):
        single = int(parsed.dataset.get("NumberOfFrames") or 1) == 1
        placed = single and place_of(Frame(parsed.dataset, 1), 0) is not None
        uid = str(parsed.dataset.get("SeriesInstanceUID") or "")
    return uid if placed and uid else None


def _headers(count: int, load: Load) -> Iterator[Parsed]:
    counted = 0
    for number in range(count):
        parsed = parse(load(number))
        counted += parsed.counted
        check_series(counted)
        yield replace(parsed, body=b"")


def _without_copies(headers: Sequence[Parsed]) -> list[int]:
    """Numbers of the files that are no second copy of an instance.

    Raises UnusableImage where one UID stands before slices of several places or phases.
    """
    first: dict[str, int] = {}
    for number, header in enumerate(headers):
        before = first.setdefault(str(header.dataset.get("SOPInstanceUID") or number), number)
        if before != number and _where(header) != _where(headers[before]):
            raise _mixed("different slices under one SOPInstanceUID", "Export the series anew.")
    return list(first.values())


def _where(header: Parsed) -> str | None:
    """Where and when a slice lies, in words that compare."""
    place = place_of(Frame(header.dataset, 1), 0)
    if place is None:
        return None
    vectors = (place.position, place.rows_along, place.columns_along)
    return str(([one.tolist() for one in vectors], place.pixel, place.phases))


def _copies(count: int) -> tuple[Flag, ...]:
    if count == 0:
        return ()
    text = f"{counted(count, 'file')} held a slice that another one holds: it was used once."
    return (Flag("duplicate_slices", text),)


def _shot(header: Parsed, at: int) -> Shot:
    frame = Frame(header.dataset, 1)
    return Shot(at, frame, place_of(frame, at))


def _check_one_series(headers: Sequence[Parsed], layouts: Sequence[Layout], places: Sequence[Place | None]) -> None:
    _check_shared(headers, SHARED)
    loose = sum(place is None or one.frames > 1 for place, one in zip(places, layouts, strict=True))
    if len(headers) > 1 and loose:
        raise _mixed(
            f"{counted(loose, 'file')} of {len(headers)} that {'are' if loose > 1 else 'is'} no slice of a volume",
            "Send each picture alone.",
        )
    shapes = {_shape(one) for one in layouts}
    if len(shapes) > 1:
        raise _mixed(f"slices of {len(shapes)} sizes or kinds", "Take localisers and reports out of the series.")
    placed = [place for place in places if place is not None]
    if not all(one.parallel(placed[0]) for one in placed):
        raise _mixed("slices of several orientations or spacings", "Take localisers out of the series.")
    _check_shared(headers, SHARED_BY_A_VOLUME)


def _check_shared(headers: Sequence[Parsed], shared: Sequence[tuple[str, str, str, str]]) -> None:
    for keyword, before, many, remedy in shared:
        values = {str(header.dataset.get(keyword) or "").strip() for header in headers}
        if len(values) > 1:
            raise _mixed(f"{before}{len(values)} {many}", remedy)


def _shape(one: Layout) -> Layout:
    """What slices of one volume share: grey is read by each one's own bits, colour by those of all."""
    return replace(one, stored=0, high=0) if one.photometric in GREY else one


def _mixed(found: str, remedy: str) -> UnusableImage:
    return UnusableImage(f"files that are not one volume: {found}", "the slices of one series", remedy, "mixed_series")
