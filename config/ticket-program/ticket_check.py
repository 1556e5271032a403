"""A program of two steps: sorts a ticket, then has the model check its own answer."""

import json
from collections.abc import Mapping
from typing import Any

from assay.programs.model import AsyncModel

QUEUES = ("billing", "delivery", "technical", "account", "cancellation", "feedback")

SYSTEM = (
    "You sort support tickets for Lindenpost, which delivers parcels, sells shipping software (Desk, app, API) and a "
    f"subscription with free deliveries (the Pass). Choose the queue that has to act: {', '.join(QUEUES)}. "
    'Answer with JSON only: {"queue": "<one of the six>"}'
)
CHECK = (
    "You chose {queue}. Check that: what does the customer want to be able to do, and which queue can make that "
    "happen? "
    'Answer with JSON only, corrected or as it was: {{"queue": "<one of the six>"}}'
)


async def triage(row: Mapping[str, Any], model: AsyncModel) -> dict[str, Any]:
    """The queue, what the first step said, and whether the second changed it."""
    conversation = [
        {"role": "system", "content": SYSTEM},
        {
            "role": "user",
            "content": f"Ticket {row['ticket_id']} by {row['channel']}: {row['subject']}\n\n{row['body']}",
        },
    ]
    first = await model.ask(conversation)
    check = {"role": "user", "content": CHECK.format(queue=queue_in(first) or "no queue")}
    second = await model.ask([*conversation, {"role": "assistant", "content": first}, check])
    queue = queue_in(second) or queue_in(first)
    return {"queue": queue, "first": queue_in(first), "changed": queue != queue_in(first)}


def queue_in(answer: str) -> str:
    """The queue that an answer names; nothing when it names none of the six."""
    try:
        queue = json.loads(answer)["queue"]
    except (ValueError, KeyError, TypeError):
        return ""
    return queue if queue in QUEUES else ""
