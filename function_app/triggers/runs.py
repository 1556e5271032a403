"""Runs: the orchestrator, its activities, and what can be asked of them over HTTP."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

import azure.durable_functions as df
import azure.functions as func

from assay.orchestration.run import conduct
from assay.runtime import runtime

RETRIES = df.RetryOptions(first_retry_interval_in_milliseconds=5_000, max_number_of_attempts=5)
# Ten minutes and more without storage do not fail a run.
PATIENCE = df.RetryOptions(first_retry_interval_in_milliseconds=15_000, max_number_of_attempts=40)

Taken = TypeVar("Taken")

blueprint = df.Blueprint()

# Activities take a bare `dict`: the worker refuses annotations such as `dict[str, Any]`.


@blueprint.orchestration_trigger(context_name="context", orchestration="run")
def run(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Drives one run; its id is the instance's id."""
    return (yield from conduct(context, RETRIES, PATIENCE))


@blueprint.activity_trigger(input_name="order")
async def plan(order: dict) -> dict:
    return await _step("plan", runtime().asking.plan, order)


@blueprint.activity_trigger(input_name="order")
async def watch(order: dict) -> dict:
    return await _step("watch", runtime().asking.watch, order)


@blueprint.activity_trigger(input_name="order")
async def dispatch(order: dict) -> int:
    return await _step("dispatch", runtime().asking.dispatch, order)


@blueprint.activity_trigger(input_name="order")
async def evaluate(order: dict) -> dict:
    return await _step("evaluate", runtime().finishing.evaluate, order)


@blueprint.activity_trigger(input_name="order")
async def report(order: dict) -> dict:
    return await _step("report", runtime().finishing.report, order)


@blueprint.activity_trigger(input_name="order")
async def seal(order: dict) -> dict:
    return await _step("seal", runtime().publishing.seal, order)


@blueprint.activity_trigger(input_name="order")
async def publish(order: dict) -> dict:
    return await _step("publish", runtime().publishing.publish, order)


@blueprint.activity_trigger(input_name="order")
async def stop(order: dict) -> bool:
    return await _step("stop", runtime().asking.stop, order)


@blueprint.activity_trigger(input_name="order")
async def fail(order: dict) -> None:
    await _step("fail", runtime().asking.fail, order)


@blueprint.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """200 when storage answers, else 503."""
    found = await runtime().health()
    return _json(found.model_dump_json(), 200 if found.ok else 503)


@blueprint.route(route="runs", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
async def list_runs(req: func.HttpRequest) -> func.HttpResponse:
    """Progress of every run, newest first."""
    found = await runtime().runs()
    return _json(f"[{','.join(progress.model_dump_json() for progress in found)}]")


@blueprint.route(route="runs/{id}", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
async def show_run(req: func.HttpRequest) -> func.HttpResponse:
    """Progress of one run, or 404."""
    found = await runtime().run(req.route_params["id"])
    return _json(found.model_dump_json()) if found else _json('{"error": "there is no such run"}', 404)


async def _step(name: str, take: Callable[..., Awaitable[Taken]], order: dict[str, Any]) -> Taken:
    return await runtime().step(name, take, order)


def _json(body: str, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(body, status_code=status, mimetype="application/json")
