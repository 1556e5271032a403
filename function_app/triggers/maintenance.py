"""Housekeeping: the history of orchestrations that ended long ago is purged. A run's blobs are not touched."""

from datetime import UTC, datetime, timedelta

import azure.durable_functions as df
import azure.functions as func

from assay.runtime import runtime

ENDED = [
    df.OrchestrationRuntimeStatus.Completed,
    df.OrchestrationRuntimeStatus.Failed,
    df.OrchestrationRuntimeStatus.Terminated,
]
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)

blueprint = df.Blueprint()


@blueprint.timer_trigger(arg_name="timer", schedule="0 17 3 * * *", run_on_startup=False)
@blueprint.durable_client_input(client_name="client")
async def purge_history(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Daily at 03:17 UTC."""
    assay = runtime()
    before = datetime.now(UTC) - timedelta(days=assay.settings.history_days)
    purged = await client.purge_instance_history_by(BEGINNING, before, ENDED)
    assay.telemetry.event("history_purged", instances=purged.instances_deleted)
