"""The emulated service: judges model requests, chooses answers and faults, and sends them.

`openai_emulator` makes one for each server and routes requests to it.
"""

import hmac
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from aiohttp import web

from assay.local.emulated_bill import Billed
from assay.local.emulated_completion import finish
from assay.local.emulated_embeddings import embeddings_body, read_embedding_request
from assay.local.emulated_faults import choose_fault, choose_scheduled_fault, choose_told_fault, latency_seconds
from assay.local.emulated_model import EmulatedModel, Match
from assay.local.emulated_quota import CountRejected
from assay.local.emulator_bodies import completion_body, stream_events
from assay.local.emulator_config import DEFAULT_REGION, EmulatorConfig, EmulatorFile, Region
from assay.local.emulator_deployment import Deployment, Dialect, Latency
from assay.local.emulator_dialects import in_dialect
from assay.local.emulator_headers import rate_limit_headers, request_headers, retry_after_headers
from assay.local.emulator_log import Arrival, ArrivalLog
from assay.local.emulator_mishaps import Fault, Faults
from assay.local.emulator_referee import DeploymentReferee, Judgement, QuotaRules, Referee
from assay.local.emulator_refusals import (
    CAPACITY_RETRY_SECONDS,
    Refusal,
    deployment_not_found,
    invalid_request,
    rate_limited,
    refusal_of,
    resource_not_found,
    unavailable,
    wrong_key,
)
from assay.local.emulator_replies import PROMPT_BILLED, Reply, carry_out, with_fault
from assay.local.emulator_requests import check_context_length, parse_body, read_chat_request


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """Switches of one emulator that are not part of a suite.

    `key`: the only accepted key (None: any, or none). `latency_ms`: for every deployment, in place of its own.
    `quota`: whether limits are kept. `request_window_seconds`: 10, or 1 as some deployments have it. `count_rejected`:
    which windows rejected requests fill too; both are for deployments that do not say. `rate_limit_headers`,
    `retry_after_headers`: whether they are sent at all.
    `any_deployment`: serve names that no file defines. `hang_seconds`: how long a timeout fault holds a caller.
    """

    key: str | None = None
    latency_ms: float | None = None
    quota: bool = True
    request_window_seconds: float = 10.0
    count_rejected: CountRejected = "none"
    rate_limit_headers: bool = True
    retry_after_headers: bool = True
    any_deployment: bool = False
    hang_seconds: float = 600.0
    log_path: Path | None = None
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Exchange:
    """What every step may need to know of the request at hand. `headers` go into the answer.

    `is_plain`: it came below `/v1`, where OpenAI and other servers are asked, not Azure.
    """

    arrival: Arrival
    region: str
    now: float
    headers: dict[str, str]
    api_version: str | None
    is_plain: bool = False
    judge: DeploymentReferee | None = field(default=None)
    is_down: bool = False

    @property
    def dialect(self) -> Dialect:
        if not self.is_plain:
            return "azure"
        return self.judge.deployment.dialect if self.judge is not None else "openai"

    @property
    def place(self) -> str:
        """What the region adds to a draw: the same content fails in one region and not in another."""
        return "" if self.region == DEFAULT_REGION else f"{self.region}/"


class _Request(Protocol):
    """A checked request of either kind."""

    @property
    def deployment(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def charge(self) -> int: ...


_Answer = Callable[[dict[str, Any], str, DeploymentReferee, _Exchange], Reply]


class OpenAIEmulator:
    """Judges requests and sends replies. One instance holds the quotas, counts and log of one server."""

    def __init__(self, config: EmulatorConfig, settings: EmulatorSettings) -> None:
        self._settings = settings
        self._regions = {DEFAULT_REGION: Region(), **config.regions}
        self._deployments = {name: dict(region.deployments) for name, region in self._regions.items()}
        self._deployments[DEFAULT_REGION] = dict(config.deployments)
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
        self.referee = Referee(config.deployments, schedule, rules, self.clock(), config.regions)

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        """Both paths: the deployment is in the path, or in the body as `model`."""
        return await self._serve(request, self._answer_chat)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """Both paths, as for chat completions."""
        return await self._serve(request, self._answer_embeddings)

    async def stats(self, _request: web.Request) -> web.Response:
        return web.json_response(self.log.stats())

    async def health(self, _request: web.Request) -> web.Response:
        regions = {name: sorted(there) for name, there in self._deployments.items() if name != DEFAULT_REGION}
        names = sorted(self._deployments[DEFAULT_REGION])
        return web.json_response({"status": "ok", "deployments": names, "regions": regions})

    async def change_quota(self, request: web.Request) -> web.Response:
        """Set a deployment's limits while it runs. The older way; `POST /_emulator/quota` can do more."""
        wanted = await request.json()
        name = wanted.get("deployment")
        known = self._deployments[DEFAULT_REGION]
        if name not in known:
            return web.json_response({"error": f"no deployment {name!r}"}, status=404)
        limits = wanted.get("requests_per_minute"), wanted.get("tokens_per_minute")
        now = self.clock()
        self.referee.judge_of(name, known[name], now).set_limits(now, *limits)
        return web.json_response({"deployment": name})

    async def not_found(self, request: web.Request) -> web.Response:
        refusal = resource_not_found()
        await request.read()
        return web.Response(status=refusal.status, body=refusal.body(), content_type="application/json")

    async def _serve(self, request: web.Request, answer: _Answer) -> web.StreamResponse:
        raw = await request.read()
        arrival = self.log.arrive()
        exchange = self._begin(request, arrival)
        reply = self._judge(request, raw, exchange, answer)
        reply = in_dialect(reply, exchange.dialect, str(arrival.deployment))
        self.log.received(arrival)
        sent = False
        try:
            response, sent = await carry_out(request, reply, self._settings.hang_seconds)
            return response
        finally:
            if arrival.billed is not None and exchange.judge is not None and not (sent and _tells_usage(reply)):
                exchange.judge.bill.unseen.add(arrival.billed)
            self.log.answered(arrival, reply.sent_status, reply.verdict, sent)

    def _judge(self, request: web.Request, raw: bytes, exchange: _Exchange, answer: _Answer) -> Reply:
        try:
            body, judge = self._read(request, raw, exchange)
            reply = answer(body, str(exchange.arrival.deployment), judge, exchange)
        except Refusal as refusal:
            reply = Reply(refusal.status, refusal.verdict, refusal.body(), exchange.headers | refusal.headers)
            if refusal.verdict in PROMPT_BILLED:
                reply = replace(reply, when_made=partial(_bill, exchange, Billed(exchange.arrival.prompt_tokens)))
        if exchange.is_down:
            return replace(reply, verdict="down", ending="dropped", delay_seconds=0.0, when_made=None)
        return reply

    def _begin(self, request: web.Request, arrival: Arrival) -> _Exchange:
        now = self.clock()
        region = request.match_info.get("region", DEFAULT_REGION)
        arrival.region = None if region == DEFAULT_REGION else region
        headers = request_headers(str(uuid4()), arrival.region or "Emulated")
        arrival.worker = request.headers.get("x-assay-worker")
        arrival.client = request.headers.get("x-ms-client-request-id")
        if arrival.client is not None:
            headers["x-ms-client-request-id"] = arrival.client
        exchange = _Exchange(arrival, region, now, headers, request.query.get("api-version"))
        exchange.is_plain = "/openai/" not in request.path
        exchange.is_down = region in self.referee.regions and self.referee.regions[region].is_down(now)
        return exchange

    def _read(self, request: web.Request, raw: bytes, exchange: _Exchange) -> tuple[dict[str, Any], DeploymentReferee]:
        if exchange.region not in self._regions:
            raise resource_not_found()
        check_key(request, self._regions[exchange.region].key or self._settings.key)
        path_name = request.match_info.get("deployment")
        if path_name is not None and exchange.api_version is None:
            raise resource_not_found()
        body = parse_body(raw)
        name = path_name or body.get("model")
        if not isinstance(name, str):
            raise invalid_request("you must provide a model parameter", "model")
        exchange.arrival.deployment = name
        deployment = self._deployment(exchange.region, name)
        exchange.judge = self.referee.judge_of(name, deployment, exchange.now, exchange.region)
        return body, exchange.judge

    def _deployment(self, region: str, name: str) -> Deployment:
        found = self._deployments[region].get(name)
        if found is None and self._settings.any_deployment:
            found = self._deployments[region][name] = Deployment(model=name)
        if found is None:
            raise deployment_not_found()
        return found

    def _answer_chat(self, body: dict[str, Any], name: str, judge: DeploymentReferee, exchange: _Exchange) -> Reply:
        deployment = judge.deployment
        chat = read_chat_request(body, name, deployment)
        match = self._model.match(chat)
        _note_match(exchange.arrival, match)
        judgement = self._charge(chat, judge, exchange, "ChatCompletions_Create")
        check_context_length(chat, deployment)
        fault = self._fault(chat, match.script, judge, exchange)
        fault = self._model.verdict(chat, match) or fault
        cached = judge.cache.see(chat.texts) if deployment.prompt_cache and fault != "prompt_filtered" else 0
        text = match.answer(chat, deployment.answer_tokens, exchange.arrival.attempt or 1)
        completion = finish(text, chat, deployment, match.script.seed, flaw=fault, cached_tokens=cached)
        if chat.stream:
            reply = Reply(200, "answered", b"", exchange.headers, events=stream_events(completion, chat.include_usage))
        else:
            reply = Reply(200, "answered", completion_body(completion), exchange.headers)
        billed = Billed(chat.prompt_tokens, cached, completion.completion_tokens)
        return self._played(reply, fault, match.script.seed, judgement, billed, exchange)

    def _answer_embeddings(
        self, body: dict[str, Any], name: str, judge: DeploymentReferee, exchange: _Exchange
    ) -> Reply:
        wanted = read_embedding_request(body, name, judge.deployment)
        judgement = self._charge(wanted, judge, exchange, "Embeddings_Create")
        fault = self._fault(wanted, self._default, judge, exchange)
        reply = Reply(200, "answered", embeddings_body(wanted, judge.deployment.model), exchange.headers)
        return self._played(reply, fault, self._default.seed, judgement, Billed(wanted.prompt_tokens), exchange)

    def _charge(self, asked: _Request, judge: DeploymentReferee, exchange: _Exchange, operation: str) -> Judgement:
        """Ask the quota, add what its headers say to the exchange's, and raise Refusal when it or an order says no."""
        arrival, now = exchange.arrival, exchange.now
        arrival.content, arrival.charge, arrival.prompt_tokens = asked.digest, asked.charge, asked.prompt_tokens
        exchange.is_down = exchange.is_down or judge.phase(now).down or judge.switches.down
        if exchange.is_down:
            judge.turn_away(now, asked.charge)
            raise unavailable()
        if judge.switches.refusal is not None:
            raise self._ordered_refusal(judge, exchange)
        judgement = judge.ask(now, asked.charge)
        verdict, headers = judgement.verdict, exchange.headers
        if self._settings.rate_limit_headers:
            headers.update(rate_limit_headers(verdict, judge.headers, asked.deployment))
        if verdict.refused_by is None:
            return judgement
        if self._settings.retry_after_headers:
            headers.update(retry_after_headers(verdict.retry_after_seconds, judge.headers))
        raise rate_limited(verdict, exchange.api_version, operation)

    def _ordered_refusal(self, judge: DeploymentReferee, exchange: _Exchange) -> Refusal:
        """Nothing is charged: the request does not get as far as the quota."""
        refusal = refusal_of(judge.switches.refusal or "unavailable", exchange.headers["apim-request-id"])
        if refusal.verdict == "capacity" and self._settings.retry_after_headers:
            refusal.headers = retry_after_headers(CAPACITY_RETRY_SECONDS, judge.headers)
        return refusal

    def _fault(
        self, asked: _Request, script: EmulatorFile, judge: DeploymentReferee, exchange: _Exchange
    ) -> Fault | None:
        """Counts the attempt and draws its fault: the region's or file's own, then a scheduled one, then a told one."""
        content = exchange.place + asked.digest
        self._admissions[content] += 1
        attempt = exchange.arrival.attempt = self._admissions[content]
        own: Faults = self._regions[exchange.region].faults or script.faults
        fault = choose_fault(own, script.seed, content, attempt)
        scheduled, told = judge.schedule.phase.faults, judge.switches.faults
        if fault is None and scheduled is not None:
            fault = choose_scheduled_fault(scheduled, script.seed, content, attempt)
        if fault is None and told is not None:
            fault = choose_told_fault(told, script.seed, content, attempt)
        return fault

    def _played(
        self, reply: Reply, fault: Fault | None, seed: int, judged: Judgement, billed: Billed, exchange: _Exchange
    ) -> Reply:
        """The reply with its delay, bill and settlement, or what the fault makes of it."""
        judge, arrival = exchange.judge, exchange.arrival
        assert judge is not None
        latency = judge.deployment.latency_ms
        if self._settings.latency_ms is not None:
            latency = Latency(median=self._settings.latency_ms)
        content = f"{exchange.place}{arrival.content}"
        settles = judge.deployment.accounting == "settled"
        seconds = latency_seconds(latency, seed, content, arrival.attempt or 1)
        begins = 1.0 if reply.events is None else judge.deployment.first_token_share
        reply = replace(
            reply,
            delay_seconds=seconds * begins,
            stream_seconds=seconds * (1 - begins),
            before_sending=partial(self._settle, exchange, judged, billed) if settles else None,
            when_made=partial(_bill, exchange, billed),
        )
        return with_fault(reply, fault, partial(_bill, exchange, Billed(billed.prompt_tokens)))

    def _settle(self, exchange: _Exchange, judged: Judgement, billed: Billed) -> None:
        used = billed.prompt_tokens + billed.completion_tokens
        if exchange.judge is not None and exchange.judge.settle(self.clock(), judged, used):
            exchange.arrival.charge = used


def check_key(request: web.Request, key: str | None) -> None:
    """Raises Refusal (401) when there is a key and the request does not bring it, in any of the service's headers."""
    if key is None:
        return
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    given = request.headers.get("api-key", request.headers.get("Ocp-Apim-Subscription-Key", bearer))
    if not hmac.compare_digest(given.encode(errors="replace"), key.encode()):
        raise wrong_key()


def _bill(exchange: _Exchange, billed: Billed) -> None:
    if exchange.judge is not None:
        exchange.arrival.billed = billed
        exchange.judge.bill.whole.add(billed)


def _tells_usage(reply: Reply) -> bool:
    """Whether who got the reply knows what it costs: a refusal tells no usage, a stream only when asked to."""
    if reply.status != 200 or reply.verdict in ("malformed", "cut", "stream_error"):
        return False
    return reply.events is None or _tells_usage_at_end(reply.events)


def _tells_usage_at_end(events: Sequence[bytes]) -> bool:
    return len(events) > 1 and b'"usage": {' in events[-2]


def _note_match(arrival: Arrival, match: Match) -> None:
    arrival.key = match.key
    arrival.task = None if match.task is None else match.task.task.name
    arrival.rule = None if match.rule is None else match.rule.name
