"""How much a file may ask for before anything of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image as Pillow

from service.errors import SetupError, TooLarge, UnusableImage

# Above this size Pillow warns and later refuses on its own; below it only our limits speak.
PILLOW_GUARD = int(Pillow.MAX_IMAGE_PIXELS or 89_478_485)
# Smaller pictures may be as empty as they like: a blank mammogram of 4096 x 3328 in 16 bit is.
EMPTY_UP_TO = 32 << 20
# Larger ones may grow to so many times their file. Measured pixels have noise: without loss they shrink to a tenth, and
# a JPEG of the lowest quality that anyone looks at takes a third of a bit a pixel, a 24th of grey, a 72nd of colours.
# The emptiest one in plain tables is an 85th.
GROWTH, GROWTH_OF_COLOUR = 50, 100
# Run lengths give 64 at most; half of that is a picture of which nearly everything is blank.
GROWTH_OF_RUNS = 32
# Phases that a series may have of the most slices looked at: each file costs a millisecond before that is known.
PHASES = 8


def check_growth(size: int, packed: int, most: int = GROWTH) -> None:
    """Raises TooLarge for ``packed`` bytes that a header declares to be ``size`` bytes of pixels."""
    if size > max(EMPTY_UP_TO, most * packed):
        raise TooLarge(
            f"{packed} bytes that grow to {size}",
            f"at most {EMPTY_UP_TO} bytes, or {most} for each one sent",
            "Send a picture that shows something, or one in a lower resolution.",
        )


@dataclass(frozen=True)
class Limits:
    """What one picture or volume may be.

    Attributes:
        max_bytes: of the file as sent.
        max_pixels: width x height as declared in the header, at most Pillow's own guard (89 million).
        min_side: shorter side in pixels; smaller pictures carry nothing to segment and are refused.
        max_volume_bytes: of all decoded voxels together, as the header declares them.
        max_slices: that one request may ask to be looked at.
        of_a_job: whether they are those of jobs, which nobody waits for; what they say then names other settings.

    Raises SetupError when a limit cannot be kept.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 60_000_000
    min_side: int = 8
    max_volume_bytes: int = 256 * 1024 * 1024
    max_slices: int = 256
    of_a_job: bool = False

    def __post_init__(self) -> None:
        least = min(self.max_bytes, self.min_side, self.max_volume_bytes, self.max_slices)
        if least < 1 or not 1 <= self.max_pixels <= PILLOW_GUARD:
            raise SetupError(
                f"limits of {self.max_bytes} bytes, {self.max_pixels} pixels and side {self.min_side}",
                f"positive limits and at most {PILLOW_GUARD} pixels",
                "Mend the limits in the settings.",
            )

    @property
    def max_unzipped(self) -> int:
        """Of the files of one zip together. In a job their headers may come on top of the voxels."""
        return max(self.max_bytes, self.max_volume_bytes) if self.of_a_job else self.max_volume_bytes

    def check_bytes(self, size: int) -> None:
        """Raises TooLarge for a file of ``size`` bytes over the limit."""
        if size > self.max_bytes:
            raise TooLarge(
                f"a file of {size} bytes",
                f"at most {self.max_bytes} bytes",
                self._remedy("Send a smaller or compressed file", "BYTES", "ITEM_BYTES"),
            )

    def check_pixels(self, width: int, height: int) -> None:
        """Raises TooLarge for a declared size over the limit."""
        if width * height > self.max_pixels:
            raise TooLarge(
                f"a declared size of {width} x {height} pixels",
                f"at most {self.max_pixels} pixels",
                "Send the picture in a lower resolution.",
            )

    def check_picture(self, size: int) -> None:
        """Raises TooLarge for a picture of ``size`` bytes once decoded."""
        if size > self.max_volume_bytes:
            raise TooLarge(
                f"a picture of {size} bytes",
                f"at most {self.max_volume_bytes} bytes",
                "Send it with fewer bits, without transparency or in a lower resolution.",
            )

    def check_sides(self, width: int, height: int) -> None:
        """Raises UnusableImage for a picture with a side under the limit."""
        if min(width, height) < self.min_side:
            raise UnusableImage(
                f"a picture of {width} x {height} pixels",
                f"at least {self.min_side} pixels on each side",
                "Send the picture in its full resolution.",
                "too_small",
            )

    def check_volume(self, size: int) -> None:
        """Raises TooLarge for ``size`` bytes of declared voxels over the limit."""
        if size > self.max_volume_bytes:
            raise TooLarge(
                f"declared voxels of {size} bytes",
                f"at most {self.max_volume_bytes} bytes",
                self._remedy("Send fewer slices, or those of one phase", "VOLUME_BYTES", "VOLUME_BYTES"),
            )

    def check_slices(self, count: int) -> None:
        """Raises TooLarge for more slices than one request may ask for."""
        if count > self.max_slices:
            raise TooLarge(
                f"{count} slices to look at",
                f"at most {self.max_slices} in one request",
                "Send the volume to POST /jobs, or ask for one slice.",
                "volume_too_large",
            )

    def check_files(self, count: int) -> None:
        """Raises TooLarge for more files of one series than slices in all their phases."""
        if count > PHASES * self.max_slices:
            raise TooLarge(
                f"{count} files of one series",
                f"at most {PHASES * self.max_slices} in one request",
                "Send the slices of one phase, or all of them to POST /jobs.",
                "volume_too_large",
            )

    def _remedy(self, less: str, setting: str, setting_of_jobs: str) -> str:
        """Jobs take larger files than a request: to send the file there is no advice for a file that comes from one."""
        if self.of_a_job:
            return f"{less}; BREAST_CASCADE_MAX_JOB_{setting_of_jobs} sets this limit."
        return f"{less}, or send the volume to POST /jobs; BREAST_CASCADE_MAX_{setting} sets this limit."


DEFAULT_LIMITS = Limits()
