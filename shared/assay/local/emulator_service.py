"""The emulated service: judges model requests, chooses answers and faults, and sends them.

`openai_emulator` makes one for each server and routes requests to it.
"""

import hmac
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from aiohttp import web

from assay.local import emulator_bodies as bodies
from assay.local.emulated_embeddings import embeddings_body, read_embedding_request
from assay.local.emulated_faults import choose_fault, choose_scheduled_fault, latency_seconds
from assay.local.emulated_model import EmulatedModel, Match
from assay.local.emulated_schedule import Phase
from assay.local.emulator_config import Deployment, EmulatorConfig, EmulatorFile, Latency
from assay.local.emulator_log import Arrival, ArrivalLog
from assay.local.emulator_referee import Judgement, QuotaRules, Referee
from assay.local.emulator_replies import Reply, carry_out, with_fault
from assay.local.emulator_requests import (
    ChatRequest,
    check_context_length,
    count_tokens,
    parse_body,
    read_chat_request,
)


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


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What every step may need to know of the request at hand. `headers` go into the answer."""

    arrival: Arrival
    now: float
    phase: Phase
    headers: dict[str, str]
    api_version: str | None


class _Request(Protocol):
    """A checked request of either kind."""

    @property
    def deployment(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def charge(self) -> int: ...


_Answer = Callable[[dict[str, Any], str, Deployment, _Exchange], Reply]


class OpenAIEmulator:
    """Judges requests and sends replies. One instance holds the quotas, counts and log of one server."""

    def __init__(self, config: EmulatorConfig, settings: EmulatorSettings) -> None:
        self._settings = settings
        self._deployments = dict(config.deployments)
        self._model = EmulatedModel(config)
        self._default = config.scripts[0].content if config.scripts else EmulatorFile()
        self._admissions: Counter[str] = Counter()
        self.log = ArrivalLog(settings.log_path)
        schedule = [entry for script in config.scripts for entry in script.content.schedule]
        rules = QuotaRules(
            enforced=settings.quota,
            request_window_seconds=settings.request_window_seconds,
            count_rejected=settings.count_rejected,
        )
        self.clock = settings.clock
        self.referee = Referee(config.deployments, schedule, rules, self.clock())

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        """Both paths: the deployment is in the path, or in the body as `model`."""
        return await self._serve(request, self._answer_chat)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """Both paths, as for chat completions."""
        return await self._serve(request, self._answer_embeddings)

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
        now = self.clock()
        self.referee.phase(now)
        self.referee.judge_of(name, self._deployments[name], now).set_limits(now, *limits)
        return web.json_response({"deployment": name})

    async def not_found(self, request: web.Request) -> web.Response:
        refusal = bodies.resource_not_found()
        await request.read()
        return web.Response(status=refusal.status, body=refusal.body(), content_type="application/json")

    async def _serve(self, request: web.Request, answer: _Answer) -> web.StreamResponse:
        raw = await request.read()
        arrival = self.log.arrive()
        reply = self._judge(request, raw, arrival, answer)
        self.log.received(arrival)
        sent = False
        try:
            response, sent = await carry_out(request, reply, self._settings.hang_seconds)
            return response
        finally:
            self.log.answered(arrival, reply.sent_status, reply.verdict, sent)

    def _judge(self, request: web.Request, raw: bytes, arrival: Arrival, answer: _Answer) -> Reply:
        exchange = self._begin(request, arrival)
        try:
            body, deployment = self._read(request, raw, arrival)
            reply = answer(body, str(arrival.deployment), deployment, exchange)
        except bodies.Refusal as refusal:
            reply = Reply(refusal.status, refusal.verdict, refusal.body(), exchange.headers | refusal.headers)
        return replace(reply, verdict="down", ending="dropped", delay_seconds=0.0) if exchange.phase.down else reply

    def _begin(self, request: web.Request, arrival: Arrival) -> _Exchange:
        now = self.clock()
        headers = bodies.request_headers(str(uuid4()))
        arrival.client = request.headers.get("x-ms-client-request-id")
        if arrival.client is not None:
            headers["x-ms-client-request-id"] = arrival.client
        return _Exchange(arrival, now, self.referee.phase(now), headers, request.query.get("api-version"))

    def _read(self, request: web.Request, raw: bytes, arrival: Arrival) -> tuple[dict[str, Any], Deployment]:
        self._check_key(request)
        path_name = request.match_info.get("deployment")
        if path_name is not None and "api-version" not in request.query:
            raise bodies.resource_not_found()
        body = parse_body(raw)
        name = path_name or body.get("model")
        if not isinstance(name, str):
            raise bodies.invalid_request("you must provide a model parameter", "model")
        arrival.deployment = name
        return body, self._deployment(name)

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

    def _answer_chat(self, body: dict[str, Any], name: str, deployment: Deployment, exchange: _Exchange) -> Reply:
        chat = read_chat_request(body, name, deployment)
        match = self._model.match(chat)
        _note_match(exchange.arrival, match)
        judgement = self._charge(chat, deployment, exchange, "ChatCompletions_Create")
        check_context_length(chat, deployment)
        if self._model.is_filtered(chat):
            raise bodies.content_filtered()
        completion = _cut(match.answer(chat), chat, deployment)
        if chat.stream:
            events = bodies.stream_events(completion, chat.include_usage)
            reply = Reply(200, "answered", b"", exchange.headers, events=events)
        else:
            reply = Reply(200, "answered", bodies.completion_body(completion), exchange.headers)
        used = chat.prompt_tokens + completion.completion_tokens
        reply = self._settling(reply, deployment, exchange.arrival, judgement, used)
        return self._played(reply, match.script, deployment, chat, exchange)

    def _answer_embeddings(self, body: dict[str, Any], name: str, deployment: Deployment, exchange: _Exchange) -> Reply:
        wanted = read_embedding_request(body, name, deployment)
        judgement = self._charge(wanted, deployment, exchange, "Embeddings_Create")
        reply = Reply(200, "answered", embeddings_body(wanted, deployment.model), exchange.headers)
        reply = self._settling(reply, deployment, exchange.arrival, judgement, wanted.prompt_tokens)
        return self._played(reply, self._default, deployment, wanted, exchange)

    def _charge(self, asked: _Request, deployment: Deployment, exchange: _Exchange, operation: str) -> Judgement:
        """Ask the quota, add what its headers say to the exchange's, and raise Refusal (429) when it says no."""
        exchange.arrival.content, exchange.arrival.charge = asked.digest, asked.charge
        judge = self.referee.judge_of(asked.deployment, deployment, exchange.now)
        if exchange.phase.down:
            judge.turn_away(exchange.now, asked.charge)
            raise bodies.unavailable()
        judgement = judge.ask(exchange.now, asked.charge)
        verdict, headers = judgement.verdict, exchange.headers
        if self._settings.rate_limit_headers:
            headers.update(bodies.rate_limit_headers(verdict))
        if verdict.refused_by is None:
            return judgement
        if self._settings.retry_after_headers:
            headers.update(bodies.retry_after_headers(verdict.retry_after_seconds))
        raise bodies.rate_limited(verdict, exchange.api_version, operation)

    def _settling(self, reply: Reply, deployment: Deployment, arrival: Arrival, judged: Judgement, used: int) -> Reply:
        """The reply that corrects its charge when it is sent, where the deployment's accounting does so."""
        if deployment.accounting == "standard":
            return reply
        return replace(reply, before_sending=partial(self._settle, deployment, arrival, judged, used))

    def _settle(self, deployment: Deployment, arrival: Arrival, judged: Judgement, used: int) -> None:
        now = self.clock()
        self.referee.judge_of(str(arrival.deployment), deployment, now).settle(now, judged, used)
        arrival.charge = used

    def _played(
        self, reply: Reply, script: EmulatorFile, deployment: Deployment, asked: _Request, exchange: _Exchange
    ) -> Reply:
        """The reply with its delay, or what the faults of the file and of the schedule make of it."""
        self._admissions[asked.digest] += 1
        attempt = exchange.arrival.attempt = self._admissions[asked.digest]
        latency = deployment.latency_ms
        if self._settings.latency_ms is not None:
            latency = Latency(median=self._settings.latency_ms)
        reply = replace(reply, delay_seconds=latency_seconds(latency, script.seed, asked.digest, attempt))
        fault = choose_fault(script.faults, script.seed, asked.digest, attempt)
        if fault is None and exchange.phase.faults is not None:
            fault = choose_scheduled_fault(exchange.phase.faults, script.seed, asked.digest, attempt)
        return with_fault(reply, fault)


def _note_match(arrival: Arrival, match: Match) -> None:
    arrival.key = match.key
    arrival.task = None if match.task is None else match.task.task.name
    arrival.rule = None if match.rule is None else match.rule.name


def _cut(text: str, chat: ChatRequest, deployment: Deployment) -> bodies.Completion:
    tokens, limit = count_tokens(len(text)), chat.max_tokens
    if limit is None or tokens <= limit:
        return bodies.Completion(deployment.model, text, "stop", chat.prompt_tokens, tokens)
    return bodies.Completion(deployment.model, text[: limit * 4], "length", chat.prompt_tokens, limit)
