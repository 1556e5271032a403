"""Starts the orchestrator of a run, once, however often its file is announced."""

import azure.durable_functions as df

LIVE = (
    df.OrchestrationRuntimeStatus.Running,
    df.OrchestrationRuntimeStatus.Pending,
    df.OrchestrationRuntimeStatus.ContinuedAsNew,
)


async def start_run(client: df.DurableOrchestrationClient, run: str | None) -> None:
    """Starts the run unless there is none or it is under way; one that had failed goes on where it stopped."""
    if run is None:
        return
    status = await client.get_status(run)
    if status.runtime_status not in LIVE:
        await client.start_new("run", run, {"run": run})
