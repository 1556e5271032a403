"""Event Grid events as they arrive on the queue `ingest`: which dropped blobs are they about?"""

import json
from typing import Any

from assay.errors import MessageRefused
from assay.storage import layout
from assay.storage.queue_text import plain_text

BLOB_CREATED = "Microsoft.Storage.BlobCreated"


def dropped_paths(body: str) -> list[str]:
    """Paths (`inbox/<suite>/<file>`) of the blobs that the message's events announce; other events give none.

    Takes one event or a list, in Event Grid's or the CloudEvents schema, as JSON or as Base64 of JSON.
    Raises MessageRefused for anything else.
    """
    found = _decoded(body)
    events = found if isinstance(found, list) else [found]
    return [path for event in events if (path := _path(event))]


def _decoded(body: str) -> Any:
    try:
        return json.loads(plain_text(body))
    except (ValueError, RecursionError):
        raise MessageRefused("neither JSON nor Base64 of JSON; expected an Event Grid event") from None


def _path(event: Any) -> str | None:
    if not isinstance(event, dict) or not isinstance(event.get("subject"), str):
        raise MessageRefused("expected an Event Grid event: an object with a subject")
    if event.get("eventType", event.get("type")) != BLOB_CREATED:
        return None
    start = f"/blobServices/default/containers/{layout.INBOX}/blobs/"
    before, _, name = event["subject"].partition(start)
    return f"{layout.INBOX}/{name}" if name and not before else None
