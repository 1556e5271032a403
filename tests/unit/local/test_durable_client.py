"""What the real DurableOrchestrationClient sees of the task hub over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from azure.durable_functions import DurableOrchestrationClient, OrchestrationRuntimeStatus
from azure.durable_functions.models.utils import http_utils
from durable_harness import START, Bench, settle

from assay.local.durable_routes import DurableRoutes, client_binding, new_prefix


def wait_for_go(context: Any) -> Any:
    context.set_custom_status("waiting")
    answer = yield context.wait_for_external_event("go")
    return (yield context.call_activity("echo", [context.get_input(), answer]))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, wait_for_go, echo=lambda value: value)
    yield bench
    await bench.close()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[DurableOrchestrationClient]:
    prefix = new_prefix()
    async with TestServer(DurableRoutes(bench.hub, prefix).application) as server:
        yield DurableOrchestrationClient(client_binding(str(server.make_url(prefix))))
        await http_utils._close_session()


async def test_an_orchestration_is_started_told_and_read_back(client: DurableOrchestrationClient) -> None:
    """start_new, raise_event and get_status carry JSON both ways."""
    await client.start_new("main", "one", {"rows": 3})
    await settle()
    waiting = await client.get_status("one", show_input=True)
    await client.raise_event("one", "go", {"by": "ü"})
    await settle()
    done = await client.get_status("one")

    assert (waiting.runtime_status, waiting.custom_status) == (OrchestrationRuntimeStatus.Running, "waiting")
    assert waiting.input_ == '{"rows": 3}'
    assert (done.runtime_status, done.output) == (OrchestrationRuntimeStatus.Completed, [{"rows": 3}, {"by": "ü"}])
    assert (done.name, done.instance_id, done.created_time) == ("main", "one", START)


async def test_an_id_is_made_up_if_none_is_given(client: DurableOrchestrationClient) -> None:
    """Two starts without an id are two instances."""
    ids = {await client.start_new("main"), await client.start_new("main")}
    assert len(ids) == 2


async def test_an_id_that_runs_cannot_be_started_again(client: DurableOrchestrationClient) -> None:
    """409, and the running instance is left alone."""
    await client.start_new("main", "one", 1)
    await settle()

    with pytest.raises(Exception, match="An Orchestration instance with the status Running already exists"):
        await client.start_new("main", "one", 2)
    assert (await client.get_status("one")).input_ == "1"


async def test_an_id_that_has_ended_is_replaced(client: DurableOrchestrationClient) -> None:
    """A finished id can be used again; the old history is gone."""
    await client.start_new("main", "one", 1)
    await client.terminate("one", "enough")
    await client.start_new("main", "one", 2)
    await settle()

    status = await client.get_status("one")
    assert (status.runtime_status, status.input_) == (OrchestrationRuntimeStatus.Running, "2")


async def test_an_unknown_orchestrator_is_refused_by_name(client: DurableOrchestrationClient) -> None:
    """The message names the function and those that exist."""
    with pytest.raises(Exception, match=r"The function 'nope' doesn't exist .* Known: main"):
        await client.start_new("nope")


async def test_a_terminated_instance_shows_the_reason(client: DurableOrchestrationClient) -> None:
    """The reason becomes the output, and later events are refused."""
    await client.start_new("main", "one")
    await client.terminate("one", "no more money")

    status = await client.get_status("one")
    assert (status.runtime_status, status.output) == (OrchestrationRuntimeStatus.Terminated, "no more money")
    with pytest.raises(Exception, match="is gone"):
        await client.raise_event("one", "go")


async def test_an_unknown_instance_is_empty_and_cannot_be_told(client: DurableOrchestrationClient) -> None:
    """get_status gives a status that is false; raise_event and terminate raise."""
    assert not await client.get_status("nobody")
    with pytest.raises(Exception, match="No instance with ID nobody found"):
        await client.raise_event("nobody", "go")
    with pytest.raises(Exception, match="No instance with ID 'nobody' found"):
        await client.terminate("nobody", "x")


async def test_a_suspended_instance_keeps_events_until_it_is_resumed(client: DurableOrchestrationClient) -> None:
    """Nothing is shown to the orchestrator while it is suspended."""
    await client.start_new("main", "one")
    await settle()
    await client.suspend("one", "lunch")
    await client.raise_event("one", "go", 1)
    await settle()
    suspended = await client.get_status("one")
    await client.resume("one", "back")
    await settle()

    assert suspended.runtime_status == OrchestrationRuntimeStatus.Suspended
    assert (await client.get_status("one")).output == [None, 1]


async def test_the_history_is_shown_on_request(client: DurableOrchestrationClient) -> None:
    """Event types by name; payloads only with show_history_output; also after the end."""
    await client.start_new("main", "one")
    await settle()
    await client.raise_event("one", "go", "secret")
    await settle()

    short = (await client.get_status("one", show_history=True)).historyEvents
    full = (await client.get_status("one", show_history=True, show_history_output=True)).historyEvents

    assert [
        each["EventType"] for each in short if each["EventType"] not in ("OrchestratorStarted", "OrchestratorCompleted")
    ] == [
        "ExecutionStarted",
        "EventRaised",
        "TaskScheduled",
        "TaskCompleted",
    ]
    assert not any("Input" in each or "Result" in each for each in short)
    assert [each["Result"] for each in full if each["EventType"] == "TaskCompleted"] == ['[null, "secret"]']


async def test_instances_are_listed_and_filtered(bench: Bench, client: DurableOrchestrationClient) -> None:
    """By time, by status and by the beginning of the id."""
    await client.start_new("main", "run-1")
    await bench.clock.advance(hours=1)
    await client.start_new("main", "run-2")
    await client.start_new("main", "other")
    await client.terminate("run-2", "x")
    await settle()
    running = [OrchestrationRuntimeStatus.Running]

    assert [each.instance_id for each in await client.get_status_all()] == ["run-1", "run-2", "other"]
    assert [each.instance_id for each in await client.get_status_by(runtime_status=running)] == ["run-1", "other"]
    assert [each.instance_id for each in await client.get_status_by(instance_id_prefix="run")] == ["run-1", "run-2"]
    later = START + timedelta(minutes=1)
    assert [each.instance_id for each in await client.get_status_by(created_time_from=later)] == ["run-2", "other"]
    assert [each.instance_id for each in await client.get_status_by(created_time_to=later)] == ["run-1"]


async def test_only_instances_that_have_ended_are_purged(
    bench: Bench, client: DurableOrchestrationClient, tmp_path: Path
) -> None:
    """One by id, or all that match; the files go too."""
    for name in ("a", "b", "c", "d"):
        await client.start_new("main", name)
    for name in ("a", "b", "c"):
        await client.terminate(name, "x")
    await settle()

    one = await client.purge_instance_history("a")
    again = await client.purge_instance_history("a")
    running = await client.purge_instance_history("d")
    rest = await client.purge_instance_history_by(START, START, [OrchestrationRuntimeStatus.Terminated])

    assert [each.instances_deleted for each in (one, again, running, rest)] == [1, 0, 0, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["d.jsonl"]


async def test_what_is_not_supported_is_said(client: DurableOrchestrationClient) -> None:
    """rewind is not part of the local host."""
    await client.start_new("main", "one")
    with pytest.raises(Exception, match="The local host does not support POST instances/one/rewind"):
        await client.rewind("one", "x")


async def test_nobody_gets_in_without_the_token(bench: Bench) -> None:
    """Another program on this machine cannot guess the address."""
    routes = DurableRoutes(bench.hub, new_prefix())
    async with TestServer(routes.application) as server, ClientSession() as session:
        response = await session.get(server.make_url("/durabletask/instances/"))
        assert response.status == 501
    assert len(new_prefix()) > 30
    assert new_prefix() != new_prefix()
