"""Two ways in, one ingest: a blob trigger, and a queue trigger on Event Grid's BlobCreated events.

The app setting `AzureWebJobs.<function>.Disabled` turns one of them off; both at once start one run all the same.
"""

import azure.durable_functions as df
import azure.functions as func

from assay.runtime import runtime
from triggers.starting import resume_run, start_run
from triggers.texts import text_of

blueprint = df.Blueprint()


@blueprint.blob_trigger(arg_name="blob", path="inbox/{suite}/{name}", connection="ASSAY_STORAGE")
@blueprint.durable_client_input(client_name="client")
async def ingest_blob(blob: func.InputStream, client: df.DurableOrchestrationClient) -> None:
    """A file was dropped into the container `inbox`."""
    assay = runtime()
    await start_run(client, await assay.ingest.admit(blob.name))


@blueprint.queue_trigger(arg_name="event", queue_name="ingest", connection="ASSAY_STORAGE")
@blueprint.durable_client_input(client_name="client")
async def ingest_event(event: func.QueueMessage, client: df.DurableOrchestrationClient) -> None:
    """Event Grid says that a file was dropped, or `assay resume` that a run goes on."""
    assay, text = runtime(), text_of(event)
    await resume_run(client, await assay.ingest.resumed(text))
    for path in await assay.ingest.announced(text):
        await start_run(client, await assay.ingest.admit(path))
