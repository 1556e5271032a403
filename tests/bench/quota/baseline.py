"""One worker of the bench with a public client or limiter instead of Assay's. `fleet.py` runs it as a process.

It runs in an environment of its own (see `environment.py`), in which there is no Assay.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .journal import Journal, read_orders
from .loads import API_VERSION, DEPLOYMENT, LOADS, MODEL, QUOTAS, BenchQuota, Load, Prompt, Prompts
from .loads import content_digest as digest

GRACE_SECONDS = 5.0
LITELLM_RETRIES = 10

Ask = Callable[[Prompt], Awaitable[object]]


def share_of(quota: BenchQuota, options: dict[str, Any]) -> tuple[float, float]:
    """Requests and tokens per minute that this process takes for its own: all, or its part of the processes."""
    parts = options["workers"] if options["limiter"].endswith("-share") else 1
    return quota.requests / parts, quota.tokens / parts


def make_asking(options: dict[str, Any]) -> Ask:
    """How this baseline asks, by the name of its limiter."""
    quota, load = QUOTAS[options["quota"]], LOADS[options["load"]]
    name = options["limiter"]
    if name.startswith("litellm-budget"):
        return _litellm_budget(options, load)
    if name.startswith("litellm"):
        return _litellm(options, load, *share_of(quota, options))
    if name.startswith("aiolimiter"):
        return _aiolimiter(options, load, *share_of(quota, options))
    retries = int(name.partition("-")[2] or 2)
    return _sdk(options, load, retries)


def _sdk(options: dict[str, Any], load: Load, retries: int) -> Ask:
    """The SDK with its own retries; the slots of the worker are the semaphore."""
    import openai

    client = openai.AsyncAzureOpenAI(
        azure_endpoint=options["endpoint"], api_version=API_VERSION, api_key="bench", max_retries=retries
    )

    async def ask(prompt: Prompt) -> object:
        return await client.chat.completions.create(
            model=DEPLOYMENT, messages=prompt.messages, max_tokens=load.max_tokens
        )

    return ask


def _aiolimiter(options: dict[str, Any], load: Load, requests: float, tokens: float) -> Ask:
    """A leaky bucket per axis and process in front of the SDK with its own retries."""
    from aiolimiter import AsyncLimiter

    request_limiter, token_limiter = AsyncLimiter(requests, 60), AsyncLimiter(tokens, 60)
    send = _sdk(options, load, 2)

    async def ask(prompt: Prompt) -> object:
        await token_limiter.acquire(prompt.tokens + load.max_tokens)
        await request_limiter.acquire()
        return await send(prompt)

    return ask


def _litellm(options: dict[str, Any], load: Load, requests: float, tokens: float) -> Ask:
    """LiteLLM's router with the limits that it was told, per process, as without Redis."""
    import litellm

    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    parameters = {
        "model": f"azure/{DEPLOYMENT}",
        "api_base": options["endpoint"],
        "api_key": "bench",
        "api_version": API_VERSION,
        "rpm": int(requests),
        "tpm": int(tokens),
    }
    router = litellm.Router(
        model_list=[{"model_name": DEPLOYMENT, "litellm_params": parameters}],
        routing_strategy="usage-based-routing-v2",
        num_retries=LITELLM_RETRIES,
    )

    async def ask(prompt: Prompt) -> object:
        return await router.acompletion(model=DEPLOYMENT, messages=prompt.messages, max_tokens=load.max_tokens)

    return ask


def _litellm_budget(options: dict[str, Any], load: Load) -> Ask:
    """LiteLLM's router with a budget for its only provider, kept per process, as without Redis."""
    import litellm

    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    parts = options["workers"] if options["limiter"].endswith("-share") else 1
    parameters = {
        "model": f"azure/{DEPLOYMENT}",
        "api_base": options["endpoint"],
        "api_key": "bench",
        "api_version": API_VERSION,
    }
    router = litellm.Router(
        model_list=[
            {"model_name": DEPLOYMENT, "litellm_params": parameters, "model_info": {"base_model": f"azure/{MODEL}"}}
        ],
        provider_budget_config={"azure": {"budget_limit": float(options["budget_usd"]) / parts, "time_period": "1d"}},
        num_retries=0,
    )

    async def ask(prompt: Prompt) -> object:
        return await router.acompletion(model=DEPLOYMENT, messages=prompt.messages, max_tokens=load.max_tokens)

    return ask


class Worker:
    """Slots that each take up one request after another, or requests that arrive by themselves."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._journal = Journal(Path(options["log"]))
        self._prompts = Prompts(LOADS[options["load"]], options["worker"], options["seed"])
        self._random = random.Random(options["worker"])
        self._send = make_asking(options)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._is_budget_used_up = False

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        orders = asyncio.create_task(read_orders(self._obey, self._stopping))
        print("ready", flush=True)
        await self._stopping.wait()
        orders.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        self._journal.write("end", cpu_seconds=time.process_time())
        os._exit(0)  # the clients' own background tasks would complain of the end

    def _obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "saturate":
            for _ in range(self._options["slots"]):
                self._start(self._slot(order["at"] + 0.2 * self._random.random()))
        elif order["do"] == "arrive":
            self._start(self._arrivals(order["at"], order["per_second"]))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._is_budget_used_up and not self._tasks:
            self._journal.write("stopped")

    async def _slot(self, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        while not self._stopping.is_set() and not self._is_budget_used_up:
            await self._ask(self._prompts.next())

    async def _arrivals(self, at: float, per_second: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        while not self._stopping.is_set():
            await asyncio.sleep(self._random.expovariate(per_second))
            self._start(self._ask(self._prompts.next()))

    async def _ask(self, prompt: Prompt) -> None:
        """A row whose request fails in the end is lost, and the slot takes up the next one."""
        began = time.monotonic()
        outcome = "answered"
        try:
            await self._send(prompt)
        except Exception as error:  # every client has errors of its own
            outcome = type(error).__name__
            self._is_budget_used_up = self._options["budget_usd"] is not None and "budget" in str(error).lower()
            self._journal.write("lost", error=repr(error)[:300])
        content = digest(DEPLOYMENT, prompt.messages)
        self._journal.write("row", content=content, asked=began, outcome=outcome, flow="")


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run())


async def _run() -> None:
    await Worker(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    main()
