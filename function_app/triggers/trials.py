"""The workers' queue: one message is one chunk of trials."""

import azure.durable_functions as df
import azure.functions as func

from assay.execution.worker import Handled
from assay.orchestration.run import HINT
from assay.runtime import runtime
from assay.storage import layout
from triggers.texts import text_of

blueprint = df.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name="trials", connection="ASSAY_STORAGE")
@blueprint.durable_client_input(client_name="client")
async def trial_worker(message: func.QueueMessage, client: df.DurableOrchestrationClient) -> None:
    """Works on one chunk."""
    assay = runtime()
    assay.tell_queue_age(layout.TRIALS_QUEUE, message.insertion_time)
    await _hint(client, await assay.worker.handle(text_of(message)))


@blueprint.queue_trigger(arg_name="message", queue_name="trials-poison", connection="ASSAY_STORAGE")
@blueprint.durable_client_input(client_name="client")
async def trial_poison(message: func.QueueMessage, client: df.DurableOrchestrationClient) -> None:
    """Quarantines a message whose every delivery failed, so that its run can end."""
    await _hint(client, await runtime().worker.bury(text_of(message)))


async def _hint(client: df.DurableOrchestrationClient, handled: Handled | None) -> None:
    """Wakes the orchestrator when its run is probably over; without the hint it looks by itself a little later."""
    if handled is None or not handled.ends_run:
        return
    try:
        await client.raise_event(handled.run, HINT)
    except Exception as error:  # the library raises bare exceptions, also for a run that has ended meanwhile
        runtime().telemetry.event("hint_lost", run=handled.run, reason=str(error)[:200])
