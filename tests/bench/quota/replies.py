"""A8: how long the same request waits after each form of retry-after, against a server that gives exactly that."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from assay.budget.base import NoBudget
from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.base import ChatMessage, ChatRequest
from assay.middleware.base import Question, Unanswered
from assay.quota.none import NoLimiter
from assay.telemetry import RecordingTelemetry

from .loads import API_VERSION, DEPLOYMENT
from .options import Options
from .questions import make_asker
from .results import Bound, Result

STRETCH, STRETCH_SECONDS = 1.1, 0.2
SLACK_SECONDS = 0.1
FIRST_BACK_OFF_SECONDS = 1.0
DATE_SECONDS = 5
TOO_MANY = 429

_ANSWER = {
    "id": "one",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}


@dataclass(frozen=True)
class Form:
    """What the server says with the first 429, and when the next attempt may come; `latest` None: never."""

    name: str
    headers: Mapping[str, str]
    earliest: float
    latest: float | None


def _forms(now: datetime) -> list[Form]:
    date = format_datetime(now + timedelta(seconds=DATE_SECONDS), usegmt=True)

    def asked(seconds: float, earliest: float | None = None) -> tuple[float, float]:
        return seconds if earliest is None else earliest, STRETCH * seconds + STRETCH_SECONDS + SLACK_SECONDS

    own = (0.0, FIRST_BACK_OFF_SECONDS + SLACK_SECONDS)
    return [
        Form("retry-after-ms: 1500", {"retry-after-ms": "1500"}, *asked(1.5)),
        Form("retry-after: 7", {"retry-after": "7"}, *asked(7.0)),
        # A date has whole seconds, so it may be almost one second nearer than it was meant.
        Form("retry-after: an HTTP date", {"retry-after": date}, *asked(DATE_SECONDS, DATE_SECONDS - 1.0)),
        Form("retry-after: 86400", {"retry-after": "86400"}, 0.0, None),
        Form("retry-after: -1", {"retry-after": "-1"}, *own),
        Form("no header", {}, *own),
    ]


def retry_after(options: Options) -> Iterator[Result]:
    """A8: the wait before the next attempt of the same request, by what the service asked for."""
    attempts = asyncio.run(_ask_all())
    for form, times in attempts:
        waited = times[1] - times[0] if len(times) > 1 else None
        if form.latest is None:
            bounds = [Bound("further attempts", len(times) - 1, most=0)]
        else:
            bounds = [Bound("seconds to the next attempt", waited, least=form.earliest, most=form.latest)]
        yield Result("A8", {"case": form.name}, bounds)


async def _ask_all() -> list[tuple[Form, list[float]]]:
    forms = _forms(datetime.now(UTC))
    seen: dict[str, list[float]] = defaultdict(list)
    async with _server({form.name: form for form in forms}, seen) as endpoint:
        model = AzureOpenAIChat(endpoint, API_VERSION, api_key="bench")
        try:
            await asyncio.gather(*(_ask(model, form.name) for form in forms))
        finally:
            await model.close()
    return [(form, seen[form.name]) for form in forms]


async def _ask(model: AzureOpenAIChat, text: str) -> None:
    asker = make_asker(model, NoLimiter(), RecordingTelemetry(), NoBudget())
    request = ChatRequest(DEPLOYMENT, (ChatMessage("user", text),), 10)
    try:
        await asker(Question("bench", "one", "answer", "row", request))
    except Unanswered:
        return


@asynccontextmanager
async def _server(forms: Mapping[str, Form], seen: dict[str, list[float]]) -> AsyncIterator[str]:
    """Refuses the first attempt at each text as its form says, and answers the second one."""

    async def answer(request: web.Request) -> web.Response:
        text = json.loads(await request.read())["messages"][0]["content"]
        seen[text].append(time.monotonic())
        if len(seen[text]) > 1:
            return web.json_response(_ANSWER)
        error: dict[str, Any] = {"error": {"code": "429", "message": "The call rate limit is exceeded."}}
        return web.json_response(error, status=TOO_MANY, headers=dict(forms[text].headers))

    app = web.Application()
    app.router.add_post("/openai/deployments/{deployment}/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
