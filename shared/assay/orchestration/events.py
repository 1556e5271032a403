"""Events as they arrive on the queue `ingest`: which dropped blobs, or which resumed run, are they about?"""

import json
from typing import Any

from assay.errors import MessageRefused
from assay.run_records import is_run_id
from assay.storage import layout
from assay.storage.queue_text import plain_text

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
RUN_RESUMED = "Assay.RunResumed"


def dropped_paths(body: str) -> list[str]:
    """Paths (`inbox/<suite>/<file>`) of the blobs that the message's events announce; other events give none.

    Takes one event or a list, in Event Grid's or the CloudEvents schema, as JSON or as Base64 of JSON.
    Raises MessageRefused for anything else.
    """
    found = _decoded(body)
    events = found if isinstance(found, list) else [found]
    return [path for event in events if (path := _path(event))]


def resumption(run: str) -> str:
    """The event that lets a stopped run go on, in the shape of Event Grid's."""
    return json.dumps({"eventType": RUN_RESUMED, "subject": run})


def resumed_run(body: str) -> str | None:
    """The run that the message lets go on, or None when it is about something else."""
    try:
        event = _decoded(body)
    except MessageRefused:
        return None
    if not isinstance(event, dict) or event.get("eventType") != RUN_RESUMED:
        return None
    run = event.get("subject")
    return run if isinstance(run, str) and is_run_id(run) else None


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
