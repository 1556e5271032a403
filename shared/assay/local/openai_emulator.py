"""An Azure OpenAI emulator: the chat completions wire protocol with quotas, latency, faults and scripted answers.

Called by `assay emulate openai`, the demo, tests and benchmarks; alone: `python -m assay.local.openai_emulator`.
"""

import argparse
import asyncio
import hmac
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

from assay.errors import EXIT_OK, EXIT_USER, AssayError
from assay.local import emulator_bodies as bodies
from assay.local.emulated_faults import choose_fault, latency_seconds
from assay.local.emulated_model import EmulatedModel, Match
from assay.local.emulated_quota import DeploymentQuota
from assay.local.emulator_config import Deployment, EmulatorConfig, Latency, load_emulator_config
from assay.local.emulator_log import Arrival, ArrivalLog
from assay.local.emulator_replies import Reply, carry_out, with_fault
from assay.local.emulator_requests import (
    ChatRequest,
    check_context_length,
    count_tokens,
    parse_body,
    read_chat_request,
)
from assay.local.files import write_whole

HOST = "127.0.0.1"
MAX_BODY_BYTES = 16 * 2**20
SHUTDOWN_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """Switches of one emulator that are not part of a suite.

    `key`: the only accepted key (None: any, or none). `latency_ms`: for every deployment, in place of its own.
    `quota`: whether limits are kept. `request_window_seconds`: 10, or 1 as some deployments have it. `count_rejected`:
    rejected requests fill the request window too. `rate_limit_headers`, `retry_after_headers`: whether they are sent.
    `any_deployment`: serve names that no file defines. `hang_seconds`: how long a timeout fault holds a caller.
    """

    key: str | None = None
    latency_ms: float | None = None
    quota: bool = True
    request_window_seconds: float = 10.0
    count_rejected: bool = False
    rate_limit_headers: bool = True
    retry_after_headers: bool = True
    any_deployment: bool = False
    hang_seconds: float = 600.0
    log_path: Path | None = None
    clock: Callable[[], float] = time.monotonic


class OpenAIEmulator:
    """Judges requests and sends replies. One instance holds the quotas, counts and log of one server."""

    def __init__(self, config: EmulatorConfig, settings: EmulatorSettings) -> None:
        self._settings = settings
        self._deployments = dict(config.deployments)
        self._model = EmulatedModel(config)
        self._quotas: dict[str, DeploymentQuota] = {}
        self._admissions: Counter[str] = Counter()
        self.log = ArrivalLog(settings.log_path)

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        """Both paths: the deployment is in the path, or in the body as `model`."""
        raw = await request.read()
        arrival = self.log.arrive()
        reply = self._judge(request, raw, arrival)
        self.log.received(arrival)
        sent = False
        try:
            response, sent = await carry_out(request, reply, self._settings.hang_seconds)
            return response
        finally:
            self.log.answered(arrival, reply.sent_status, reply.verdict, sent)

    async def stats(self, _request: web.Request) -> web.Response:
        return web.json_response(self.log.stats())

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "deployments": sorted(self._deployments)})

    async def change_quota(self, request: web.Request) -> web.Response:
        """Set a deployment's limits while it runs, as a temporary adjustment of the service does."""
        wanted = await request.json()
        name = wanted.get("deployment")
        if name not in self._deployments:
            return web.json_response({"error": f"no deployment {name!r}"}, status=404)
        limits = wanted.get("requests_per_minute"), wanted.get("tokens_per_minute")
        self._quota_of(name, self._deployments[name]).set_limits(*limits)
        return web.json_response({"deployment": name})

    async def not_found(self, request: web.Request) -> web.Response:
        refusal = bodies.resource_not_found()
        await request.read()
        return web.Response(status=refusal.status, body=refusal.body(), content_type="application/json")

    def _judge(self, request: web.Request, raw: bytes, arrival: Arrival) -> Reply:
        request_id = str(uuid4())
        headers = bodies.request_headers(request_id)
        arrival.client = request.headers.get("x-ms-client-request-id")
        if arrival.client is not None:
            headers["x-ms-client-request-id"] = arrival.client
        try:
            chat, deployment = self._read(request, raw, arrival)
            return self._admit(chat, deployment, arrival, headers, request.query.get("api-version"))
        except bodies.Refusal as refusal:
            return Reply(refusal.status, refusal.verdict, refusal.body(), headers | refusal.headers)

    def _read(self, request: web.Request, raw: bytes, arrival: Arrival) -> tuple[ChatRequest, Deployment]:
        self._check_key(request)
        path_name = request.match_info.get("deployment")
        if path_name is not None and "api-version" not in request.query:
            raise bodies.resource_not_found()
        body = parse_body(raw)
        name = path_name or body.get("model")
        if not isinstance(name, str):
            raise bodies.invalid_request("you must provide a model parameter", "model")
        arrival.deployment = name
        deployment = self._deployment(name)
        return read_chat_request(body, name, deployment), deployment

    def _check_key(self, request: web.Request) -> None:
        if self._settings.key is None:
            return
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = request.headers.get("api-key", bearer)
        if not hmac.compare_digest(given.encode(errors="replace"), self._settings.key.encode()):
            raise bodies.wrong_key()

    def _deployment(self, name: str) -> Deployment:
        found = self._deployments.get(name)
        if found is None and self._settings.any_deployment:
            found = self._deployments[name] = Deployment(model=name)
        if found is None:
            raise bodies.deployment_not_found()
        return found

    def _admit(
        self,
        chat: ChatRequest,
        deployment: Deployment,
        arrival: Arrival,
        headers: dict[str, str],
        api_version: str | None,
    ) -> Reply:
        match = self._model.match(chat)
        _note(arrival, chat, match)
        self._charge(chat, deployment, headers, api_version)
        check_context_length(chat, deployment)
        if self._model.is_filtered(chat):
            raise bodies.content_filtered()
        self._admissions[chat.digest] += 1
        arrival.attempt = self._admissions[chat.digest]
        reply = self._complete(chat, deployment, match, arrival.attempt, headers)
        return with_fault(reply, choose_fault(match.script.faults, match.script.seed, chat.digest, arrival.attempt))

    def _charge(
        self, chat: ChatRequest, deployment: Deployment, headers: dict[str, str], api_version: str | None
    ) -> None:
        """Ask the quota, add what its headers say to `headers`, and raise Refusal (429) when it says no."""
        if not self._settings.quota:
            return
        verdict = self._quota_of(chat.deployment, deployment).ask(self._settings.clock(), chat.charge)
        if self._settings.rate_limit_headers:
            headers |= bodies.rate_limit_headers(verdict)
        if verdict.refused_by is None:
            return
        if self._settings.retry_after_headers:
            headers |= bodies.retry_after_headers(verdict.retry_after_seconds)
        raise bodies.rate_limited(verdict, api_version)

    def _quota_of(self, name: str, deployment: Deployment) -> DeploymentQuota:
        if name not in self._quotas:
            self._quotas[name] = DeploymentQuota(
                deployment.requests_per_minute,
                deployment.tokens_per_minute,
                request_window_seconds=self._settings.request_window_seconds,
                rejected_count=self._settings.count_rejected,
            )
        return self._quotas[name]

    def _complete(
        self, chat: ChatRequest, deployment: Deployment, match: Match, attempt: int, headers: dict[str, str]
    ) -> Reply:
        completion = _cut(match.answer(chat), chat, deployment)
        latency = deployment.latency_ms
        if self._settings.latency_ms is not None:
            latency = Latency(median=self._settings.latency_ms)
        delay = latency_seconds(latency, match.script.seed, chat.digest, attempt)
        if chat.stream:
            events = bodies.stream_events(completion, chat.include_usage)
            return Reply(200, "answered", b"", headers, delay, events)
        return Reply(200, "answered", bodies.completion_body(completion), headers, delay)


def _note(arrival: Arrival, chat: ChatRequest, match: Match) -> None:
    arrival.content, arrival.charge, arrival.key = chat.digest, chat.charge, match.key
    arrival.task = None if match.task is None else match.task.task.name
    arrival.rule = None if match.rule is None else match.rule.name


def _cut(text: str, chat: ChatRequest, deployment: Deployment) -> bodies.Completion:
    tokens, limit = count_tokens(len(text)), chat.max_tokens
    if limit is None or tokens <= limit:
        return bodies.Completion(deployment.model, text, "stop", chat.prompt_tokens, tokens)
    return bodies.Completion(deployment.model, text[: limit * 4], "length", chat.prompt_tokens, limit)


def create_app(config: EmulatorConfig, settings: EmulatorSettings | None = None) -> web.Application:
    """The emulator as an aiohttp application; each call has quotas, counts and a log of its own.

    Raises SuiteError when an answer file is unusable.
    """
    emulator = OpenAIEmulator(config, settings or EmulatorSettings())
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/openai/deployments/{deployment}/chat/completions", emulator.chat_completions)
    app.router.add_post("/openai/v1/chat/completions", emulator.chat_completions)
    app.router.add_get("/health", emulator.health)
    app.router.add_get("/emulator/stats", emulator.stats)
    app.router.add_post("/emulator/quota", emulator.change_quota)
    app.router.add_route("*", "/{path:.*}", emulator.not_found)

    async def close_log(_app: web.Application) -> None:
        emulator.log.close()

    app.on_cleanup.append(close_log)
    return app


@asynccontextmanager
async def running_emulator(
    config: EmulatorConfig, settings: EmulatorSettings | None = None, port: int = 0
) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 within the block and give the address, such as `http://127.0.0.1:40123`. Port 0: a free one.

    Leaving the block ends open requests within half a second. Raises OSError when the port is taken.
    """
    runner = web.AppRunner(create_app(config, settings), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, backlog=1024).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT, then return 0; an AssayError is told on standard error and gives its exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_emulator_config(options.config)
        asyncio.run(_serve(config, _settings(options), options.port, options.ready_file))
    except AssayError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        # The port is taken, or the log or ready file cannot be written: the text names it.
        sys.stderr.write(f"The emulator cannot start: {error}\n")
        return EXIT_USER
    return EXIT_OK


async def _serve(config: EmulatorConfig, settings: EmulatorSettings, port: int, ready_file: Path | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: Any) -> None:
        loop.call_soon_threadsafe(stopped.set)

    # signal.signal and not loop.add_signal_handler, which Windows lacks.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    async with running_emulator(config, settings, port) as address:
        if ready_file is not None:
            write_whole(ready_file, address.rpartition(":")[2] + "\n")
        sys.stdout.write(f"Azure OpenAI emulator listening on {address}\n")
        sys.stdout.flush()
        await stopped.wait()


def _settings(options: argparse.Namespace) -> EmulatorSettings:
    return EmulatorSettings(
        key=options.key,
        latency_ms=options.latency_ms,
        quota=not options.no_quota,
        request_window_seconds=options.request_window_seconds,
        count_rejected=options.count_rejected,
        rate_limit_headers=not options.no_rate_limit_headers,
        retry_after_headers=not options.no_retry_after,
        any_deployment=options.any_deployment,
        hang_seconds=options.hang_seconds,
        log_path=options.log,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m assay.local.openai_emulator", description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, action="append", default=[], metavar="FILE", help="an emulator.yaml; may be repeated")
    add("--port", type=int, default=0, help="0, the default, takes a free one")
    add("--log", type=Path, metavar="FILE", help="append a JSON line for each arrival and each answer")
    add("--ready-file", type=Path, metavar="FILE", help="gets the port when requests are accepted")
    add("--key", help="the only key that is accepted; without it any is")
    add("--latency-ms", type=float, metavar="N", help="answer time in place of the deployments' own")
    add("--no-quota", action="store_true", help="admit every request")
    add("--any-deployment", action="store_true", help="serve deployments that no file defines")
    add("--request-window-seconds", type=float, default=10.0, metavar="N", help="10, the default, or 1")
    add("--count-rejected", action="store_true", help="rejected requests fill the request window too")
    add("--no-rate-limit-headers", action="store_true", help="leave x-ratelimit-* headers out")
    add("--no-retry-after", action="store_true", help="leave retry-after headers out of 429 answers")
    add("--hang-seconds", type=float, default=600.0, metavar="N", help="longest hold of a timeout fault")
    return parser


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        raise SystemExit(main())
