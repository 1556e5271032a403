"""Starts the orchestrator of a run, once, however often its file is announced."""

import asyncio

import azure.durable_functions as df

LIVE = (
    df.OrchestrationRuntimeStatus.Running,
    df.OrchestrationRuntimeStatus.Pending,
    df.OrchestrationRuntimeStatus.ContinuedAsNew,
)

LOOKS, LOOK_SECONDS = 20, 0.5


async def start_run(client: df.DurableOrchestrationClient, run: str | None) -> None:
    """Starts the run unless there is none or it is under way; one that had failed goes on where it stopped."""
    if run is None:
        return
    status = await client.get_status(run)
    if status.runtime_status not in LIVE:
        await client.start_new("run", run, {"run": run})


async def resume_run(client: df.DurableOrchestrationClient, run: str | None) -> None:
    """Starts a run that was stopped; its last orchestrator may still be about to end, which is waited for."""
    for _ in range(LOOKS if run else 0):
        status = await client.get_status(run)
        if status.runtime_status not in LIVE:
            await client.start_new("run", run, {"run": run})
            return
        await asyncio.sleep(LOOK_SECONDS)
