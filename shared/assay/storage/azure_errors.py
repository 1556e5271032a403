"""Turns the errors of the Azure SDKs into Assay's: the one place where storage's error codes are understood."""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError

from assay.errors import BlobExists, BlobMissing, LeaseBroken, LeaseHeld, LeaseLost, StorageError

CONTAINER_NOT_FOUND = "ContainerNotFound"
CONDITION_NOT_MET = "ConditionNotMet"
INVALID_RANGE = "InvalidRange"
LEASE_ID_MISSING = "LeaseIdMissing"

# Codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_BY_CODE: dict[str, type[StorageError]] = {
    "BlobNotFound": BlobMissing,
    CONTAINER_NOT_FOUND: BlobMissing,
    # Reads are conditional on an etag only, so the version that was asked for is gone.
    CONDITION_NOT_MET: BlobMissing,
    "BlobAlreadyExists": BlobExists,
    "LeaseAlreadyPresent": LeaseHeld,
    "LeaseIsBreakingAndCannotBeAcquired": LeaseHeld,
    LEASE_ID_MISSING: LeaseLost,
    "LeaseLost": LeaseLost,
    "LeaseIdMismatchWithBlobOperation": LeaseLost,
    "LeaseIdMismatchWithLeaseOperation": LeaseLost,
    "LeaseNotPresentWithBlobOperation": LeaseLost,
    "LeaseNotPresentWithLeaseOperation": LeaseLost,
    "LeaseIsBrokenAndCannotBeRenewed": LeaseBroken,
    "LeaseAlreadyBroken": LeaseBroken,
}
_ADVICE = {
    401: "Check the credential of ASSAY_STORAGE.",
    403: "Give the identity the roles Storage Blob Data Contributor and Storage Queue Data Contributor.",
}
_NO_CONNECTION = "Is the storage account (or `assay up`) running, and does ASSAY_STORAGE name it?"


@contextmanager
def translated(attempted: str) -> Iterator[None]:
    """Raises what `translate` makes of an Azure error inside the block, with the original as its cause."""
    try:
        yield
    except AzureError as error:
        raise translate(error, attempted) from error


def translate(error: AzureError, attempted: str) -> StorageError:
    """The error of our tree: its message says what was attempted and how the service answered."""
    if not isinstance(error, HttpResponseError):
        advice = _NO_CONNECTION if isinstance(error, ServiceRequestError) else ""
        return StorageError(_sentence(attempted, type(error).__name__, _first_line(error.message), advice))
    code = service_code(error)
    missing = BlobMissing if error.status_code == 404 else StorageError
    answer = f"{code or type(error).__name__} (HTTP {error.status_code})"
    advice = _ADVICE.get(error.status_code or 0, "")
    return _BY_CODE.get(code, missing)(_sentence(attempted, answer, _first_line(error.message), advice))


def service_code(error: AzureError) -> str:
    """The service's own name for the error, such as `BlobNotFound`, or nothing."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _sentence(attempted: str, answer: str, message: str, advice: str) -> str:
    return f"{attempted} failed: {answer}: {message} {advice}".rstrip()


def _first_line(message: str) -> str:
    """What follows are the request's id and time, and for a refused signature all that was signed."""
    return message.strip().partition("\n")[0].strip()
