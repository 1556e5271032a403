"""The emulator speaks the wire protocol that the real `openai` client expects, and logs what a crash test needs."""

import asyncio
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import ClientSession
from emulator_caller import HELLO, calling, lines, one_deployment, post, report, wait_until_idle
from openai import AsyncOpenAI

from assay.local.emulator_config import (
    Deployment,
    EmulatorConfig,
    EmulatorFile,
    EmulatorScript,
    Latency,
    load_emulator_config,
)
from assay.local.openai_emulator import EmulatorSettings

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "emulator"
TICKET: Any = [{"role": "user", "content": "Ticket T-2: what the customer wants, as json"}]


@pytest.fixture
def triage() -> EmulatorConfig:
    return load_emulator_config([FIXTURES / "triage.yaml"])


async def test_an_answer_has_text_usage_and_filter_results(triage: EmulatorConfig) -> None:
    """The Azure client reads a 200 answer whole."""
    async with calling(triage) as caller:
        answer = await caller.ask(TICKET, response_format={"type": "json_object"}, temperature=0, max_tokens=60)

    assert json.loads(answer.choices[0].message.content) == {"queue": "access"}
    assert (answer.object, answer.model) == ("chat.completion", "gpt-4o-mini-2024-07-18")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.prompt_filter_results[0]["content_filter_results"]["hate"] == {"filtered": False, "severity": "safe"}
    assert answer.choices[0].content_filter_results["violence"]["filtered"] is False


async def test_both_paths_give_the_same_answer(triage: EmulatorConfig) -> None:
    """The v1 path takes the deployment from the body."""
    async with calling(triage) as caller:
        plain = AsyncOpenAI(base_url=f"{caller.address}/openai/v1/", api_key="any", max_retries=0)
        async with plain:
            other = await plain.chat.completions.create(model="mini", messages=TICKET)
        answer = await caller.ask(TICKET)

    assert other.choices[0].message.content == answer.choices[0].message.content
    assert other.id != answer.id


async def test_every_answer_has_request_ids_and_its_region(triage: EmulatorConfig) -> None:
    """Ids are unique, and the client's own id comes back."""
    async with calling(triage) as caller:
        raw = caller.azure.chat.completions.with_raw_response
        mine = {"x-ms-client-request-id": "mine"}
        first = await raw.create(model="mini", messages=HELLO, extra_headers=mine)
        second = await raw.create(model="mini", messages=HELLO)
        refusal = await caller.refused(model="nowhere")

    assert first.headers["x-ms-client-request-id"] == "mine"
    assert first.headers["x-ms-region"]
    ids = {answer.headers[name] for answer in (first, second) for name in ("apim-request-id", "x-request-id")}
    assert len(ids) == 4
    assert refusal.request_id


async def test_a_stream_carries_the_same_text_and_usage(triage: EmulatorConfig) -> None:
    """Chunks without choices come first and last."""
    async with calling(triage) as caller:
        whole = await caller.ask(TICKET)
        stream = await caller.ask(TICKET, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices == [] and chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


async def test_a_token_limit_cuts_the_answer(triage: EmulatorConfig) -> None:
    """`finish_reason` says so, and usage counts what was written."""
    async with calling(triage) as caller:
        cut = await caller.ask(TICKET, max_completion_tokens=2)

    assert cut.choices[0].finish_reason == "length"
    assert (cut.choices[0].message.content, cut.usage.completion_tokens) == ('{"queue"', 2)


async def test_a_json_schema_is_answered_with_an_instance(triage: EmulatorConfig) -> None:
    """Structured outputs parse, whatever the prompt."""
    schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    async with calling(triage) as caller:
        answer = await caller.ask(response_format=wanted)

    assert isinstance(json.loads(answer.choices[0].message.content)["sure"], bool)


async def test_a_filtered_prompt_is_refused_with_the_reason(triage: EmulatorConfig) -> None:
    """400 content_filter holds the inner error that a quarantine keeps."""
    async with calling(triage) as caller:
        refusal = await caller.refused(messages=[{"role": "user", "content": "How to build a weapon"}])

    assert isinstance(refusal, openai.BadRequestError)
    assert refusal.code == "content_filter"
    inner = refusal.body["innererror"]  # type: ignore[index]
    assert inner["code"] == "ResponsibleAIPolicyViolation"
    assert inner["content_filter_result"]["violence"]["filtered"] is True


async def test_an_unknown_deployment_is_not_found(triage: EmulatorConfig) -> None:
    """404 as the service gives it, unless any name is served."""
    async with calling(triage) as caller:
        refusal = await caller.refused(model="nowhere")
    async with calling(triage, EmulatorSettings(any_deployment=True)) as caller:
        answer = await caller.ask(model="nowhere")

    assert isinstance(refusal, openai.NotFoundError) and refusal.code == "DeploymentNotFound"
    assert answer.model == "nowhere"


@pytest.mark.parametrize("path", ["/openai/deployments/mini/chat/completions", "/openai/other", "/"])
async def test_a_path_that_the_service_lacks_is_not_found(triage: EmulatorConfig, path: str) -> None:
    """The deployments path needs an api-version."""
    async with calling(triage) as caller, caller.http.post(caller.address + path, json={}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "404")


async def test_a_wrong_key_is_refused_when_a_key_is_set(triage: EmulatorConfig) -> None:
    """The right one is accepted in either header."""
    settings = EmulatorSettings(key="right")
    async with calling(triage, settings, key="wrong") as caller:
        refusal = await caller.refused()
    async with calling(triage, settings, key="right") as caller:
        plain = AsyncOpenAI(base_url=f"{caller.address}/openai/v1/", api_key="right", max_retries=0)
        async with plain:
            await plain.chat.completions.create(model="mini", messages=HELLO)
        await caller.ask()

    assert isinstance(refusal, openai.AuthenticationError) and refusal.code == "401"


async def test_an_invalid_request_is_refused(triage: EmulatorConfig) -> None:
    """A request that is too long for the model has a code of its own."""
    short = dataclasses.replace(triage, deployments={"mini": Deployment(model="m", context_tokens=20)})
    async with calling(short) as caller:
        invalid = await caller.refused(temperature=3)
        too_long = await caller.refused(max_tokens=20)

    assert isinstance(invalid, openai.BadRequestError) and invalid.code == "decimal_above_max_value"
    assert isinstance(too_long, openai.BadRequestError) and too_long.code == "context_length_exceeded"


async def test_the_request_quota_refuses_with_headers_that_tell_the_wait() -> None:
    """6 a minute are one in ten seconds, and the next may come when that one is ten seconds old."""
    now = [100.0]
    settings = EmulatorSettings(clock=lambda: now[0])
    async with calling(one_deployment(requests_per_minute=6), settings) as caller:
        admitted = await caller.azure.chat.completions.with_raw_response.create(
            model="mini",
            messages=HELLO,
        )
        now[0] = 103.5
        refusal = await caller.refused()
        now[0] = 110.0
        await caller.ask()

    assert admitted.headers["x-ratelimit-limit-requests"] == "6"
    assert admitted.headers["x-ratelimit-remaining-requests"] == "0"
    assert isinstance(refusal, openai.RateLimitError) and refusal.code == "429"
    assert "call rate limit" in refusal.message and "2024-10-21" in refusal.message
    headers = refusal.response.headers
    assert (headers["retry-after-ms"], headers["retry-after"]) == ("6500", "7")
    assert (headers["x-ratelimit-type"], headers["x-ratelimit-reset-requests"]) == ("Requests", "7")


async def test_the_token_quota_charges_the_prompt_and_the_whole_limit() -> None:
    """The unused part of max_tokens is not given back."""
    async with calling(one_deployment(tokens_per_minute=200)) as caller:
        await caller.ask(max_tokens=100)
        refusal = await caller.refused(max_tokens=100)
        hopeless = await caller.refused(max_tokens=201)

    assert "token rate limit" in refusal.message
    assert refusal.response.headers["x-ratelimit-remaining-tokens"] == str(200 - 100 - 6)
    assert hopeless.response.headers["retry-after"] == "86400"


async def test_quota_and_headers_can_be_switched_off() -> None:
    """Every header is optional on the service, so a caller must do without."""
    bare = EmulatorSettings(rate_limit_headers=False, retry_after_headers=False)
    async with calling(one_deployment(requests_per_minute=1), bare) as caller:
        await caller.ask()
        refusal = await caller.refused()
    async with calling(one_deployment(requests_per_minute=1), EmulatorSettings(quota=False)) as caller:
        await caller.ask()
        await caller.ask()

    names = [name for name in refusal.response.headers if name.startswith(("x-ratelimit", "retry-after"))]
    assert refusal.status_code == 429 and names == []


async def test_limits_can_be_cut_while_it_runs() -> None:
    """A benchmark can play a temporary adjustment."""
    async with calling(one_deployment()) as caller:
        await caller.ask()
        cut = {"deployment": "mini", "tokens_per_minute": 10}
        async with caller.http.post(f"{caller.address}/emulator/quota", json=cut) as response:
            assert response.status == 200
        refusal = await caller.refused()

    assert refusal.response.headers["x-ratelimit-limit-tokens"] == "10"


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_error_is_over_at_the_next_attempt(status: int) -> None:
    """The client maps it to InternalServerError; a retry of the same content succeeds."""
    faults = {f"error_{status}": 1.0, "first_attempts": 1}
    async with calling(one_deployment(faults)) as caller:
        refusal = await caller.refused()
        await caller.ask()

    assert isinstance(refusal, openai.InternalServerError) and refusal.status_code == status


async def test_a_dropped_connection_is_a_connection_error() -> None:
    """No byte of an answer is sent."""
    async with calling(one_deployment({"dropped": 1.0, "first_attempts": 1})) as caller:
        with pytest.raises(openai.APIConnectionError):
            await caller.ask()
        await caller.ask()
        stats = await caller.stats()

    assert stats["by_verdict"] == {"answered": 1, "dropped": 1}
    assert stats["by_status"] == {"200": 1, "none": 1}


async def test_a_timeout_holds_the_caller_until_it_leaves() -> None:
    """The client gives up by its own timeout; the emulator then forgets the request."""
    config = one_deployment({"timeout": 1.0, "first_attempts": 1})
    async with calling(config, timeout_seconds=0.2) as caller:
        with pytest.raises(openai.APITimeoutError):
            await caller.ask()
        await wait_until_idle(caller)
        await caller.ask()
        stats = await caller.stats()

    assert stats["by_verdict"] == {"answered": 1, "timeout": 1}


async def test_a_timeout_is_bounded() -> None:
    """A caller without a timeout gets its connection dropped in the end."""
    settings = EmulatorSettings(hang_seconds=0.05)
    async with calling(one_deployment({"timeout": 1.0}), settings) as caller:
        with pytest.raises(openai.APIConnectionError) as failure:
            await caller.ask()

    assert not isinstance(failure.value, openai.APITimeoutError)


async def test_a_malformed_answer_is_half_an_answer() -> None:
    """Status 200 and a body, or a stream, that breaks off."""
    async with calling(one_deployment({"malformed": 1.0})) as caller:
        with pytest.raises(json.JSONDecodeError):
            await caller.ask()
        chunks = [chunk async for chunk in await caller.ask(stream=True)]

    assert not any(chunk.choices and chunk.choices[0].finish_reason for chunk in chunks)


async def test_every_request_is_logged_on_arrival_and_on_answer(triage: EmulatorConfig, tmp_path: Path) -> None:
    """The log tells row, content, charge and outcome."""
    log = tmp_path / "log.jsonl"
    async with calling(triage, EmulatorSettings(log_path=log)) as caller:
        await caller.ask(TICKET, max_tokens=60)
        await caller.ask(TICKET, max_tokens=60)
        await caller.refused(model="nowhere")
        stats = await caller.stats()

    received, answered = lines(log)[:2]
    assert (received["event"], received["key"], received["task"], received["rule"]) == (
        "received",
        "T-2",
        "triage",
        "think-first",
    )
    assert (answered["event"], answered["id"], answered["content"]) == ("answered", received["id"], received["content"])
    assert (answered["status"], answered["verdict"], answered["sent"]) == (200, "answered", True)
    assert answered["received_t"] == received["t"] <= answered["t"] <= time.monotonic()
    assert received["charge"] == stats["charged_tokens"] / 2
    assert [line["status"] for line in lines(log) if line["event"] == "answered"] == [200, 200, 404]
    assert (stats["distinct_completions"], stats["repeated_completions"]) == (1, 1)


async def test_a_request_that_waits_has_only_its_line_of_arrival(tmp_path: Path) -> None:
    """What is in flight when a worker is killed can be counted, and a caller that left is told apart."""
    log = tmp_path / "log.jsonl"
    config = one_deployment(latency_ms=Latency(median=300))
    async with calling(config, EmulatorSettings(log_path=log), timeout_seconds=0.1) as caller:
        with pytest.raises(openai.APITimeoutError):
            await caller.ask()
        waiting, in_flight = lines(log), (await caller.stats())["in_flight"]
        await wait_until_idle(caller)
        stats = await caller.stats()

    assert [line["event"] for line in waiting] == ["received"] and in_flight == 1
    assert lines(log)[-1]["sent"] is False
    assert (stats["unsent"], stats["max_in_flight"]) == (1, 1)


async def test_answers_do_not_depend_on_arrival_order() -> None:
    """Two emulators asked in opposite order, with faults, say the same to the same content."""
    faults = {"error_500": 0.3}
    forward = await ask_all(one_deployment(faults), range(40))
    backward = await ask_all(one_deployment(faults), range(39, -1, -1))

    assert forward == backward
    assert 2 < sum(answer == "500" for answer in forward.values()) < 25


async def ask_all(config: EmulatorConfig, numbers: Any) -> dict[int, str]:
    answers: dict[int, str] = {}
    async with calling(config) as caller:
        for number in numbers:
            try:
                answer = await caller.ask([{"role": "user", "content": f"Question {number}"}])
                answers[number] = answer.choices[0].message.content
            except openai.InternalServerError as error:
                answers[number] = str(error.status_code)
    return answers


def scheduled(*entries: dict[str, Any], **fields: Any) -> EmulatorConfig:
    content = EmulatorFile.model_validate({"seed": 3, "schedule": list(entries)})
    deployment = Deployment(model="gpt-4o-mini-2024-07-18", **fields)
    return EmulatorConfig({"mini": deployment}, (EmulatorScript(Path("emulator.yaml"), content),))


async def test_the_referee_reports_offered_and_admitted_load() -> None:
    """Counts, the 429 share, worst windows and utilisation, until they are reset."""
    now = [100.0]
    config = one_deployment(requests_per_minute=6, tokens_per_minute=1000)
    async with calling(config, EmulatorSettings(clock=lambda: now[0])) as caller:
        await caller.ask(max_tokens=94)
        now[0] = 105.0
        await caller.refused(max_tokens=94)
        now[0] = 110.0
        await caller.ask(max_tokens=94)
        now[0] = 130.0
        whole, later = await report(caller), await report(caller, "?since=105&until=120")
        await post(caller, "/_emulator/reset")
        cleared = await report(caller)

    figures = whole["deployments"]["mini"]
    assert (figures["offered"], figures["admitted"], figures["rejected"]["requests"]) == (3, 2, 1)
    assert figures["share_429"] == pytest.approx(1 / 3)
    assert figures["windows"]["offered"]["requests"]["10"]["overrun_percent"] == pytest.approx(100)
    assert figures["windows"]["admitted"]["requests"]["10"]["overrun_percent"] == pytest.approx(0)
    assert figures["windows"]["offered"]["tokens"]["60"]["amount"] == 300
    assert (figures["utilisation"]["binding_axis"], figures["utilisation"]["binding"]) == ("requests", 2 / 3)
    assert later["deployments"]["mini"]["offered"] == 2
    assert later["deployments"]["mini"]["utilisation"]["requests"] == pytest.approx(1 / 1.5)
    assert cleared["deployments"]["mini"]["offered"] == 0


async def test_the_page_shows_the_report_and_a_bad_time_is_refused(triage: EmulatorConfig) -> None:
    """For a browser, without other files."""
    async with calling(triage) as caller:
        async with caller.http.get(f"{caller.address}/_emulator/page") as response:
            text, kind = await response.text(), response.content_type
        async with caller.http.get(f"{caller.address}/_emulator?since=nan") as response:
            status = response.status

    assert kind == "text/html" and "<h2>mini</h2>" in text and "src=" not in text
    assert status == 400


async def test_without_enforcement_the_load_is_still_measured_against_the_limits() -> None:
    """What a limiter would have done to the quota can be seen without one 429."""
    async with calling(one_deployment(requests_per_minute=6), EmulatorSettings(quota=False)) as caller:
        await caller.ask()
        await caller.ask()
        figures = (await report(caller))["deployments"]["mini"]

    assert (figures["enforced"], figures["admitted"], figures["share_429"]) == (False, 2, 0.0)
    assert figures["windows"]["admitted"]["requests"]["60"]["amount"] == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_settled_charge_is_corrected_when_the_answer_is_sent(stream: bool, tmp_path: Path) -> None:
    """The limit of 900 tokens is given back, apart from what was written."""
    log = tmp_path / "log.jsonl"
    config = one_deployment(tokens_per_minute=1000, accounting="settled")
    async with calling(config, EmulatorSettings(log_path=log)) as caller:
        first = await caller.ask(max_tokens=900, stream=stream)
        if stream:
            assert [chunk async for chunk in first]
        await caller.ask(max_tokens=900)
        figures = (await report(caller))["deployments"]["mini"]
        too_large = await caller.refused(max_tokens=1000)

    assert figures["admitted_tokens"] < 100
    assert [line["charge"] for line in lines(log) if line["event"] == "answered"][:2] == [
        figures["admitted_tokens"] / 2
    ] * 2
    assert too_large.status_code == 429


async def test_a_settled_charge_stays_while_the_answer_is_not_sent() -> None:
    """What is in flight holds its whole reservation, and so does what failed."""
    async with calling(one_deployment({"error_500": 1.0}, tokens_per_minute=1000, accounting="settled")) as caller:
        assert (await caller.refused(max_tokens=900)).status_code == 500
        assert (await caller.refused(max_tokens=900)).status_code == 429


async def test_a_server_that_is_down_drops_every_request_until_it_is_up_again() -> None:
    """20 seconds from the start, and again when the schedule is started again; nothing is charged."""
    now = [100.0]
    config = scheduled({"to_seconds": 20, "down": True}, tokens_per_minute=1000)
    async with calling(config, EmulatorSettings(clock=lambda: now[0])) as caller:
        with pytest.raises(openai.APIConnectionError):
            await caller.ask(max_tokens=900)
        now[0] = 120.0
        await caller.ask(max_tokens=900)
        await post(caller, "/_emulator/start")
        with pytest.raises(openai.APIConnectionError):
            await caller.ask(max_tokens=900)
        figures, stats = (await report(caller))["deployments"]["mini"], await caller.stats()

    assert (figures["offered"], figures["admitted"], figures["rejected"]["down"]) == (3, 1, 2)
    assert (figures["share_429"], stats["by_verdict"]["down"]) == (0.0, 2)


@pytest.mark.parametrize(("headers_tell", "limit"), [(True, "600"), (False, "1000")])
async def test_a_cut_quota_is_kept_whether_or_not_the_headers_tell_it(headers_tell: bool, limit: str) -> None:
    """60 % for 120 seconds, then all of it again."""
    now = [100.0]
    cut = {"from_seconds": 10, "to_seconds": 130, "quota_factor": 0.6, "headers_tell": headers_tell}
    async with calling(scheduled(cut, tokens_per_minute=1000), EmulatorSettings(clock=lambda: now[0])) as caller:
        now[0] = 110.0
        refusal = await caller.refused(max_tokens=700)
        now[0] = 230.0
        await caller.ask(max_tokens=700)
        figures = (await report(caller, "?since=100"))["deployments"]["mini"]

    assert refusal.response.headers["x-ratelimit-limit-tokens"] == limit
    assert figures["utilisation"]["tokens"] == pytest.approx(706 / (1000 / 6 + 120 * 10))


async def test_scheduled_faults_end_with_their_phase() -> None:
    """All requests fail for ten seconds, none before or after."""
    now = [100.0]
    config = scheduled({"from_seconds": 10, "to_seconds": 20, "error_503": 1.0})
    async with calling(config, EmulatorSettings(clock=lambda: now[0])) as caller:
        await caller.ask()
        now[0] = 110.0
        refusal = await caller.refused()
        now[0] = 120.0
        await caller.ask()

    assert refusal.status_code == 503


async def test_embeddings_come_by_both_paths_and_use_the_quota() -> None:
    """The real client reads them; the same text gets the same vector."""
    async with calling(one_deployment(tokens_per_minute=10, embedding_dimensions=32)) as caller:
        azure = await caller.azure.embeddings.create(model="mini", input=["one", "x" * 16])
        async with AsyncOpenAI(base_url=f"{caller.address}/openai/v1/", api_key="any", max_retries=0) as plain:
            other = await plain.embeddings.create(model="mini", input="one", dimensions=32, encoding_format="float")
            with pytest.raises(openai.RateLimitError, match="Embeddings_Create"):
                await plain.embeddings.create(model="mini", input="x" * 20)

    assert azure.data[0].embedding == pytest.approx(other.data[0].embedding)
    assert (len(azure.data), len(azure.data[1].embedding), azure.usage.total_tokens) == (2, 32, 5)


async def wait_for_text(path: Path) -> None:
    for _ in range(1000):
        if path.read_text():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path.name} is still empty after ten seconds")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The emulator as a process of its own; stopped after the test if it still runs."""
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "assay.local.openai_emulator", "--port", "0", "--latency-ms", "60000"]
    command += ["--config", str(FIXTURES / "triage.yaml"), "--config", str(FIXTURES / "ratings.yaml")]
    command += ["--log", str(tmp_path / "log.jsonl"), "--ready-file", str(ready)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_at_once(
    process: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    """It tells its address and port when ready, and exits with 0 even while a caller waits for an answer."""
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    assert address.endswith(":" + (tmp_path / "ready").read_text().strip())
    async with ClientSession() as http, http.get(f"{address}/health") as response:
        assert (await response.json())["deployments"] == ["large", "mini"]
    client = AsyncOpenAI(base_url=f"{address}/openai/v1/", api_key="any", max_retries=0, timeout=20)
    async with client:
        call = asyncio.create_task(client.chat.completions.create(model="mini", messages=HELLO))
        await wait_for_text(tmp_path / "log.jsonl")
        process.send_signal(number)
        with pytest.raises(openai.APIConnectionError):
            await call

    assert await asyncio.to_thread(process.wait, 10) == 0
    assert [line["event"] for line in lines(tmp_path / "log.jsonl")] == ["received", "answered"]
    assert lines(tmp_path / "log.jsonl")[1]["sent"] is False


def test_a_bad_file_is_told_on_standard_error(tmp_path: Path) -> None:
    """The exit code says that the user can fix it."""
    path = tmp_path / "emulator.yaml"
    path.write_text("seeds: 1\n")
    command = [sys.executable, "-m", "assay.local.openai_emulator", "--config", str(path)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{path}:1: seeds: ")


def test_a_taken_port_is_told_on_standard_error() -> None:
    """No traceback for what the user can fix."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "assay.local.openai_emulator", "--port", str(taken.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert ended.returncode == 2
    assert ended.stderr.startswith("The emulator cannot start: ")
