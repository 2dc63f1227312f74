"""The one door: the bytes of a file to an `Image`, whatever the format, told by content and never by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from service.errors import BadParameter, UnknownFormat, UnusableImage, counted
from service.formats.archive import Archive, bundled, opened
from service.formats.dicom import read_instance
from service.formats.dicom_series import read_slices
from service.formats.lengths import bounded
from service.formats.nifti import read_nifti
from service.formats.nrrd import read_nrrd
from service.formats.options import Options
from service.formats.raster import read_raster
from service.formats.sniff import sniff
from service.image import Image

ONE_FILE: dict[str, Callable[[bytes, Options], Image]] = {
    "dicom": read_instance,
    "nifti": read_nifti,
    "nrrd": read_nrrd,
}
NO_OPTIONS = Options()


def read_image(content: bytes | Sequence[bytes], options: Options = NO_OPTIONS) -> Image:
    """One picture or volume of a file, of a zip that holds one series, or of the files of one series.

    What `options` asks for is done: phase and slice chosen, spacing replaced, the ultrasound region in focus.

    Raises TooLarge, UnknownFormat, UnusableImage, BadParameter: `service.formats` says which reader raises what.
    """
    if not isinstance(content, bytes):
        content = content[0] if len(content) == 1 else bundled(content)
    options.limits.check_bytes(len(content))
    kind = sniff(content)
    image = _from_archive(opened(content, options.limits), options) if kind == "zip" else _one(content, kind, options)
    return _as_asked(bounded(image), options)


def _one(content: bytes, kind: str | None, options: Options) -> Image:
    if kind in ONE_FILE:
        return ONE_FILE[kind](content, options)
    if options.phase:
        raise BadParameter(f"phase={options.phase}", "no phase for a picture", "Leave the parameter out.")
    return read_raster(content, options.limits)


def _from_archive(archive: Archive, options: Options) -> Image:
    """One series, or one file of another kind; what is no picture at all is passed over."""
    kinds = [sniff(archive.head(number)) for number in range(len(archive))]
    numbers = [number for number, kind in enumerate(kinds) if kind is not None]
    if not numbers:
        raise UnknownFormat("a zip without any picture", "the slices of one series", "Zip DICOM files of one series.")
    if all(kinds[number] == "dicom" for number in numbers):
        image = read_slices(len(numbers), lambda at: archive.file(numbers[at]), options)
    elif len(numbers) == 1 and kinds[numbers[0]] != "zip":
        image = _one(archive.file(numbers[0]), kinds[numbers[0]], options)
    else:
        raise _mixed(kinds)
    passed = len(archive) - len(numbers)
    return replace(image, notes=(*image.notes, f"{counted(passed, 'other file')} passed over")) if passed else image


def _mixed(kinds: Sequence[str | None]) -> UnusableImage:
    known = sorted({kind for kind in kinds if kind is not None})
    return UnusableImage(
        f"several files that are not one series ({', '.join(known)})",
        "one picture or volume, or the DICOM slices of one series",
        "Send each picture alone.",
        "mixed_series",
    )


def _as_asked(image: Image, options: Options) -> Image:
    if options.hide_outside:
        image = _hidden(image)
    if options.whole:
        image = replace(image, focus=None)
    image = _sliced(image, options)
    options.limits.check_slices(image.field.depth)
    return image if options.spacing is None else _respaced(image, options.spacing)


def _sliced(image: Image, options: Options) -> Image:
    options.held(image.depth)
    wanted = options.slice
    if wanted is None:
        return image
    return replace(image, focus=replace(image.field, z0=wanted, z1=wanted + 1)) if image.depth > 1 else image


def _respaced(image: Image, spacing: Sequence[float]) -> Image:
    z = spacing[0] if len(spacing) == 3 else image.spacing[0]
    return replace(image, spacing=(z, spacing[-2], spacing[-1]), spacing_source="user")


def _hidden(image: Image) -> Image:
    """Its reader, which alone knows all regions, has blacked out what lies outside of them. Raises where none is."""
    if image.focus is None:
        raise UnusableImage(
            "a picture in which no ultrasound region is marked",
            "a marked region, outside of which to black out",
            "Leave out mask_outside_region, or crop the picture yourself.",
            "no_region",
        )
    return replace(image, notes=(*image.notes, "outside of the region blacked out"))
