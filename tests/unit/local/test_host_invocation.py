"""How one function is called."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
from azure.functions.meta import Datum
from function_bench import invoker, only_function

from assay.local.functions import Binding, Function
from assay.local.invocation import FunctionTimeout, UnexpectedReturn, as_json, text
from assay.telemetry import RecordingTelemetry

place = contextvars.ContextVar("place", default="nowhere")


def activity(call: Any) -> Function:
    return Function("work", call, Binding("activityTrigger", "value", {}))


async def test_a_synchronous_function_runs_in_a_thread_with_the_callers_context() -> None:
    """The event loop stays free, and context variables are seen."""

    def work(value: str) -> list[str]:
        return [value, place.get(), threading.current_thread().name]

    place.set("here")
    value, seen, thread = await invoker().invoke(activity(work), as_json("x"))

    assert (value, seen) == ("x", "here")
    assert thread != threading.current_thread().name


async def test_an_asynchronous_function_runs_on_the_loop() -> None:
    """Of the host itself."""

    async def work(value: str) -> bool:
        return asyncio.get_running_loop() is loop

    loop = asyncio.get_running_loop()
    assert await invoker().invoke(activity(work), as_json("x"))


async def test_a_function_gets_its_context_if_it_asks_for_it() -> None:
    """Name, folder and an id that is new each time."""

    async def work(value: str, context: func.Context) -> tuple[str, str, str]:
        return context.function_name, context.function_directory, context.invocation_id

    first = await invoker().invoke(activity(work), as_json("x"))
    second = await invoker().invoke(activity(work), as_json("x"))

    assert first[:2] == ("work", "/app")
    assert first[2] != second[2]


async def test_a_durable_client_is_built_from_the_hosts_binding() -> None:
    """The decorator of the Durable library turns the text into a client."""
    app = df.DFApp()

    seen: list[Any] = []

    @app.queue_trigger(arg_name="msg", queue_name="q", connection="S")
    @app.durable_client_input(client_name="client")
    async def work(msg: func.QueueMessage, client: df.DurableOrchestrationClient) -> None:
        seen.append(client)

    await invoker().invoke(only_function(app), text("hi"))
    assert [type(each) for each in seen] == [df.DurableOrchestrationClient]


async def test_a_function_that_takes_too_long_is_cancelled() -> None:
    """functionTimeout; the error says what to do."""
    cancelled: list[bool] = []

    async def work(value: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(FunctionTimeout, match=r"Function 'work' ran longer than functionTimeout \(0.01 s\)"):
        await invoker(timeout_seconds=0.01).invoke(activity(work), as_json("x"))
    assert cancelled == [True]


async def test_a_timeout_error_of_the_function_itself_is_not_the_hosts() -> None:
    """It is passed on as it is."""

    async def work(value: str) -> None:
        raise TimeoutError("the model did not answer")

    with pytest.raises(TimeoutError, match="the model did not answer"):
        await invoker(timeout_seconds=5).invoke(activity(work), as_json("x"))


async def test_a_thread_that_does_not_end_is_known_at_the_close() -> None:
    """So that the process can end without it."""
    release, begun = threading.Event(), threading.Event()

    def work(value: str) -> None:
        begun.set()
        release.wait()

    stuck = invoker(timeout_seconds=0.01)
    with pytest.raises(FunctionTimeout):
        await stuck.invoke(activity(work), as_json("x"))
    assert begun.is_set()
    is_idle = stuck.close()
    release.set()

    assert not is_idle
    assert invoker().close()


async def test_how_a_call_ended_is_reported() -> None:
    """One event per call, with the error and its traceback if it failed."""
    telemetry = RecordingTelemetry()

    async def work(value: str) -> None:
        if value == "bad":
            raise ValueError("no luck")

    await invoker(telemetry).invoke(activity(work), as_json("good"))
    with pytest.raises(ValueError, match="no luck"):
        await invoker(telemetry).invoke(activity(work), as_json("bad"))

    assert [name for name, _ in telemetry.events] == ["function_succeeded", "function_failed"]
    failure = telemetry.events[1][1]
    assert (failure["function"], failure["error"]) == ("work", "ValueError: no luck")
    assert "in work" in failure["traceback"]


async def test_bytes_that_are_not_text_reach_a_queue_function_as_they_are() -> None:
    """A message may carry anything."""

    seen: list[bytes] = []

    async def work(msg: func.QueueMessage) -> None:
        seen.append(msg.get_body())

    await invoker().invoke(Function("work", work, Binding("queueTrigger", "msg", {})), Datum(b"\xff\x00", "bytes"))
    assert seen == [b"\xff\x00"]


async def test_a_value_that_goes_nowhere_is_an_error() -> None:
    """As in the Functions worker: a queue function has no $return unless it is bound."""

    async def work(msg: func.QueueMessage) -> str:
        return "lost"

    with pytest.raises(UnexpectedReturn, match=r"Function 'work' has no \$return binding and returned 'lost'"):
        await invoker().invoke(Function("work", work, Binding("queueTrigger", "msg", {})), text("hi"))
