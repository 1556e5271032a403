"""The one place where Azure's errors become ours."""

from __future__ import annotations

import pytest
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError

from assay.errors import BlobExists, BlobMissing, LeaseBroken, LeaseHeld, LeaseLost, StorageError
from assay.storage.azure_errors import translate, translated


def answer(status: int, code: str = "", message: str = "No.\nRequestId:1\nTime:2") -> HttpResponseError:
    error = HttpResponseError(message)
    error.status_code = status
    if code:
        error.error_code = code
    return error


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "BlobNotFound", BlobMissing),
        (404, "ContainerNotFound", BlobMissing),
        (404, "", BlobMissing),
        (412, "ConditionNotMet", BlobMissing),
        (409, "BlobAlreadyExists", BlobExists),
        (409, "LeaseAlreadyPresent", LeaseHeld),
        (409, "LeaseIsBreakingAndCannotBeAcquired", LeaseHeld),
        (412, "LeaseIdMissing", LeaseLost),
        (412, "LeaseLost", LeaseLost),
        (412, "LeaseIdMismatchWithBlobOperation", LeaseLost),
        (409, "LeaseIdMismatchWithLeaseOperation", LeaseLost),
        (412, "LeaseNotPresentWithBlobOperation", LeaseLost),
        (409, "LeaseNotPresentWithLeaseOperation", LeaseLost),
        (409, "LeaseIsBrokenAndCannotBeRenewed", LeaseBroken),
        (503, "ServerBusy", StorageError),
        (409, "ContainerBeingDeleted", StorageError),
    ],
)
def test_a_code_has_its_class(status: int, code: str, expected: type[StorageError]) -> None:
    """What a caller can act on has a class of its own; the rest is a StorageError."""
    assert type(translate(answer(status, code), "reading runs/a")) is expected


def test_the_message_says_what_was_attempted_and_answered() -> None:
    """One line, without the service's request id and time."""
    error = translate(answer(503, "ServerBusy"), "reading runs/a")
    assert str(error) == "reading runs/a failed: ServerBusy (HTTP 503): No."


def test_a_refusal_says_which_role_is_needed() -> None:
    """The user can mend a 403 without looking up the code."""
    error = translate(answer(403, "AuthorizationPermissionMismatch"), "reading runs/a")
    assert "Storage Blob Data Contributor" in str(error)


def test_an_unreachable_service_says_what_to_check() -> None:
    """No answer at all: is it running, is it the right address?"""
    error = translate(ServiceRequestError("Cannot connect to host 127.0.0.1:1"), "reading runs/a")
    assert str(error).startswith("reading runs/a failed: ServiceRequestError: Cannot connect to host 127.0.0.1:1")
    assert "ASSAY_STORAGE" in str(error)


def test_the_original_is_the_cause() -> None:
    """A debugger finds the SDK's error behind ours."""
    original = ServiceResponseError("connection reset")
    with pytest.raises(StorageError) as caught, translated("reading runs/a"):
        raise original
    assert caught.value.__cause__ is original


def test_other_errors_pass() -> None:
    """A bug is no storage error."""
    with pytest.raises(KeyError), translated("reading runs/a"):
        raise KeyError("x")


def test_an_error_without_an_answer_is_translated() -> None:
    """The base class of the SDK's errors carries neither code nor status."""
    assert type(translate(AzureError("odd"), "reading runs/a")) is StorageError
