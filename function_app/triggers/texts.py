"""Reads queue messages. `host.json` leaves them as they are, because a host that expects Base64 poisons plain ones."""

import azure.functions as func

from assay.storage.queue_text import plain_text


def text_of(message: func.QueueMessage) -> str:
    """What the message says, Base64 or plain."""
    return plain_text(message.get_body().decode("utf-8", "replace"))
