"""Event Grid's messages: drops are found, everything else is let go or refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from assay.errors import MessageRefused
from assay.orchestration.events import dropped_paths

SUBJECT = "/blobServices/default/containers/inbox/blobs/triage/tickets.csv"
EVENT: dict[str, Any] = {
    "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
    "subject": SUBJECT,
    "eventType": "Microsoft.Storage.BlobCreated",
    "id": "831e1650-001e-001b-66ab-eeb76e069631",
    "data": {"api": "PutBlob", "url": "https://a.blob.core.windows.net/inbox/triage/tickets.csv", "contentLength": 9},
    "dataVersion": "",
    "metadataVersion": "1",
    "eventTime": "2026-11-20T09:30:00.0000000Z",
}
CLOUD_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "Microsoft.Storage.BlobCreated",
    "source": EVENT["topic"],
    "id": EVENT["id"],
    "time": EVENT["eventTime"],
    "subject": SUBJECT,
    "data": EVENT["data"],
}


def encoded(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize("event", [EVENT, CLOUD_EVENT], ids=["event grid", "cloud events"])
@pytest.mark.parametrize("write", [json.dumps, encoded], ids=["json", "base64"])
def test_a_created_blob_in_the_inbox_is_a_drop(event: dict[str, Any], write: Any) -> None:
    """In either schema, alone or in a list, as JSON or as Base64 of it."""
    assert dropped_paths(write(event)) == ["inbox/triage/tickets.csv"]
    assert dropped_paths(write([event])) == ["inbox/triage/tickets.csv"]


def test_a_list_gives_its_drops_in_order() -> None:
    """Events about anything else are let go."""
    other = EVENT | {"subject": SUBJECT.replace("tickets", "other")}
    deleted = EVENT | {"eventType": "Microsoft.Storage.BlobDeleted"}

    assert dropped_paths(json.dumps([EVENT, deleted, other])) == ["inbox/triage/tickets.csv", "inbox/triage/other.csv"]
    assert dropped_paths("[]") == []


@pytest.mark.parametrize(
    "change",
    [
        {"eventType": "Microsoft.Storage.BlobDeleted"},
        {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"},
        {"eventType": None},
        {"subject": SUBJECT.replace("/inbox/", "/runs/")},
        {"subject": SUBJECT.replace("/inbox/", "/inbox2/")},
        {"subject": SUBJECT.replace("/inbox/", "/INBOX/")},
        {"subject": "/blobServices/default/containers/inbox/blobs/"},
        {"subject": "/blobServices/default/containers/inbox"},
        {"subject": f"/x{SUBJECT}"},
        {"subject": ""},
    ],
)
def test_other_events_are_no_drops(change: dict[str, Any]) -> None:
    """Other types, other containers, and subjects that name no blob."""
    assert dropped_paths(json.dumps(EVENT | change)) == []


@pytest.mark.parametrize("name", ["Größe.csv", "日本.csv", "a b.csv", "100%.csv", "50%25.csv", "a%2Fb.csv", "#1?.csv"])
def test_a_subject_holds_the_name_as_it_is(name: str) -> None:
    """Subjects are not percent-encoded: what looks like an escape is part of the name."""
    body = json.dumps(EVENT | {"subject": f"/blobServices/default/containers/inbox/blobs/triage/{name}"})

    assert dropped_paths(body) == [f"inbox/triage/{name}"]


def test_a_name_that_repeats_the_prefix_is_kept_whole() -> None:
    """Only the beginning of a subject is the container."""
    name = "triage/blobServices/default/containers/inbox/blobs/x.csv"
    body = json.dumps(EVENT | {"subject": f"/blobServices/default/containers/inbox/blobs/{name}"})

    assert dropped_paths(body) == [f"inbox/{name}"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "ünïcode",
        "{",
        "12",
        "null",
        '"text"',
        "[1]",
        "[[]]",
        "{}",
        json.dumps({"eventType": "Microsoft.Storage.BlobCreated"}),
        json.dumps(EVENT | {"subject": 7}),
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"hello").decode(),
        "[" * 100_000,
        base64.b64encode(b"[" * 100_000).decode(),
    ],
    ids=range(16),
)
def test_garbage_is_refused(body: str) -> None:
    """The caller quarantines it; nothing else may be raised, whatever came."""
    with pytest.raises(MessageRefused, match="Event Grid event"):
        dropped_paths(body)
