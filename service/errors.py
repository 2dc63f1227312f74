"""Every way this service can fail, drawn once.

    BreastCascadeError
    ├── InputError              what the caller sent is at fault
    │   ├── TooLarge            over a limit on bytes, pixels or slices
    │   ├── UnknownFormat       the content is none of the formats read here
    │   ├── UnusableImage       the format is known, the content cannot be used
    │   ├── BadParameter        a request parameter has a value that cannot be served
    │   ├── UnknownPipeline     no pipeline, version or stage of that name
    │   ├── UnknownJob          no job or item of that name, or a stranger's
    │   └── Conflict            the request does not fit what the job or its key has come to
    ├── SetupError              the installation is at fault: the service must not start
    │   ├── ManifestError       a manifest does not say what it must
    │   ├── WeightsError        a weight file is missing, altered or does not fit its manifest
    │   └── DeviceError         the compute device asked for is not there or not used
    ├── CapacityError           nothing is at fault, but not now
    │   ├── Busy                the waiting line for inference is full
    │   ├── Draining            the service is stopping
    │   ├── QueueFull           too many items of jobs wait
    │   ├── DiskFull            no room left for what jobs take and make
    │   ├── DatabaseAway        the database does not answer, or not in time
    │   └── StoreAway           the store of jobs' files does not answer
    ├── DamagedFile             a stored file of a job is gone or not what was written
    ├── LeaseLost               a worker's item is no longer its own (never told to clients)
    └── Cancelled               a worker's job has been cancelled (never told to clients)

Each error says what was found, what was wanted and what to do. Codes are stable: clients may branch on them. The core
knows no HTTP; the skins (api, jobs, cli) translate by class.
"""


def counted(number: int, noun: str) -> str:
    """``1 file``, but ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class BreastCascadeError(Exception):
    """Root of the tree.

    Args:
        found: what was there, in words that carry no path, patient data or file content.
        wanted: what would have been accepted.
        remedy: what the reader should do now, as an imperative sentence.
        code: stable machine-readable name; the class's own code when left out.
    """

    code = "internal_error"

    def __init__(self, found: str, wanted: str, remedy: str, code: str | None = None) -> None:
        super().__init__(f"Found {found}; wanted {wanted}. {remedy}")
        self.found = found
        self.wanted = wanted
        self.remedy = remedy
        self.code = code or type(self).code


class InputError(BreastCascadeError):
    """What the caller sent is at fault."""

    code = "bad_input"


class TooLarge(InputError):
    """Over a limit on bytes, pixels or slices."""

    code = "too_large"


class UnknownFormat(InputError):
    """The content is none of the formats read here."""

    code = "unknown_format"


class UnusableImage(InputError):
    """The format is known, the content cannot be used."""

    code = "unusable_image"


class BadParameter(InputError):
    """A request parameter has a value that cannot be served."""

    code = "bad_parameter"


class UnknownPipeline(InputError):
    """No pipeline, version or stage of that name."""

    code = "unknown_pipeline"


class UnknownJob(InputError):
    """No job or item of that name, or a stranger's: nobody learns which of the two."""

    code = "unknown_job"


class Conflict(InputError):
    """The request does not fit what the job or its key has come to.

    Codes: ``job_finished``, ``results_not_ready``, ``idempotency_receiving``, ``idempotency_mismatch``.
    """

    code = "conflict"


class SetupError(BreastCascadeError):
    """The installation is at fault: the service must not start."""

    code = "setup_error"


class ManifestError(SetupError):
    """A manifest does not say what it must."""

    code = "bad_manifest"


class WeightsError(SetupError):
    """A weight file is missing, altered or does not fit its manifest."""

    code = "bad_weights"


class DeviceError(SetupError):
    """The compute device asked for is not there or not used."""

    code = "device_unavailable"


class CapacityError(BreastCascadeError):
    """Nothing is at fault, but not now.

    ``retry_after`` is the number of whole seconds after which another try makes sense: given, or the class's own.
    """

    code = "no_capacity"
    retry_after = 1

    def __init__(
        self, found: str, wanted: str, remedy: str, code: str | None = None, *, retry_after: int | None = None
    ) -> None:
        super().__init__(found, wanted, remedy, code)
        if retry_after is not None:
            self.retry_after = retry_after


class Busy(CapacityError):
    """The waiting line for inference is full."""

    code = "busy"


class Draining(CapacityError):
    """The service is stopping."""

    code = "draining"
    retry_after = 5


class QueueFull(CapacityError):
    """Too many items of jobs wait."""

    code = "queue_full"
    retry_after = 30


class DiskFull(CapacityError):
    """No room left for what jobs take and make."""

    code = "disk_full"
    retry_after = 300


class DatabaseAway(CapacityError):
    """The database does not answer, or not in time."""

    code = "database_away"
    retry_after = 5


class StoreAway(CapacityError):
    """The store of jobs' files does not answer."""

    code = "store_away"
    retry_after = 5


class DamagedFile(BreastCascadeError):
    """A stored file of a job is gone or not what was written."""

    code = "damaged_file"


class LeaseLost(BreastCascadeError):
    """A worker's item is no longer its own: it stops there and deletes what it wrote."""

    code = "lease_lost"


class Cancelled(BreastCascadeError):
    """A worker's job has been cancelled or erased: it stops there and deletes what it wrote."""

    code = "cancelled"
