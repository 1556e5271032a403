"""The model side of a process: clients of endpoints, limiters and budgets, each made once. `runtime.py` asks here."""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assay.budget.base import Budget, NoBudget
from assay.budget.tranches import TrancheBudget
from assay.errors import UserError
from assay.execution.asking import Asker, Hook, unheard
from assay.execution.routes import Route, Server, ladder_of
from assay.execution.stop_bell import StopBell
from assay.llm.base import ChatModel
from assay.llm.failing import with_failures
from assay.llm.pricing import load_prices
from assay.middleware.context import ContentSafety
from assay.model_settings import Endpoint
from assay.quota.base import HasFacts, Limiter, Quota
from assay.quota.none import NoLimiter
from assay.settings import Settings
from assay.storage import layout
from assay.storage.base import Storage
from assay.suite.models import Experiment, Suite
from assay.telemetry import Telemetry
from assay.tokens.estimate import TokenEstimator
from assay.vault import KeyVaultSecrets, resolve

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from pydantic import SecretStr


class Deployments:
    """Makes askers. Routes are shared by all runs of the process, a budget by all experiments of its run.

    `learn` is told every secret that is read, so that it is redacted from then on.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        telemetry: Telemetry,
        worker: str,
        credential: "Callable[[], AsyncTokenCredential]",
        learn: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._telemetry = telemetry
        self._worker = worker
        self._credential = credential
        self._learn = learn
        self._models: dict[str, ChatModel] = {}
        self._shared: dict[str, Route] = {}
        self._routes: dict[tuple[str, Quota | None, str], Route] = {}
        self._budgets: dict[str, TrancheBudget] = {}
        self._stop_bells: dict[str, StopBell] = {}

    async def asker(self, run: str, suite: Suite, experiment: Experiment) -> Asker:
        """What asks the questions of one experiment of a run. Raises UserError when a setting is missing or wrong."""
        routes = {one: await self._route(one, suite) for one in experiment.model.deployments}
        return Asker(
            ladder=ladder_of(experiment.model, routes.__getitem__),
            prices=load_prices(self._settings.prices_file),
            priced_as=experiment.model.priced_as_of,
            budget=self._budget(run, suite),
            attempts_limit=suite.limits.attempts,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            random=random.random,
            telemetry=self._telemetry,
            on_exhausted=self._on_exhausted,
            stop_bell=self._stop_bells.setdefault(run, StopBell()),
            suite=suite.name,
        )

    def charged(self, suite: Suite) -> frozenset[str]:
        """The deployments of a suite that charge a request's tokens at arrival and never correct it."""
        asked = {one for model in suite.models for one in model.deployments}
        quotas = {one: self._quota(one, suite) for one in asked}
        return frozenset(one for one, quota in quotas.items() if quota and quota.accounting == "standard")

    def breakers(self) -> Mapping[str, str]:
        """The state of every deployment's breaker."""
        return {reference: route.breaker.state for reference, route in self._shared.items()}

    def quota_use(self) -> Mapping[tuple[str, str], float]:
        """By deployment and `requests` or `tokens`: the part of its quota that this process took in the last minute."""
        used: dict[tuple[str, str], float] = {}
        for (reference, quota, _), route in self._routes.items():
            facts = route.limiter.facts() if quota and isinstance(route.limiter, HasFacts) else {}
            for axis in ("requests", "tokens") if facts else ():
                part = float(facts[f"{axis}_last_minute"]) / max(1.0, float(facts[f"{axis}_per_minute"]))
                used[reference, axis] = used.get((reference, axis), 0.0) + part
        return used

    @cached_property
    def content_safety(self) -> ContentSafety | None:
        """The Content Safety resource of the settings, or None."""
        settings = self._settings
        if settings.content_safety_endpoint is None:
            return None
        key = settings.content_safety_key
        if key is not None:
            return ContentSafety(settings.content_safety_endpoint, key=_once(lambda: self._secret(key)))
        from assay.llm.azure_openai import EntraTokens

        return ContentSafety(settings.content_safety_endpoint, token=EntraTokens(self._credential()))

    async def close(self) -> None:
        """Gives leases and money back and closes connections, whichever of them fails; a second call does nothing."""
        async with AsyncExitStack() as ends:  # the last one ends first
            if "_secrets" in self.__dict__ and self._secrets is not None:
                ends.push_async_callback(self._secrets.close)
            ends.push_async_callback(_end_all, [one.close for one in self._models.values()])
            ends.push_async_callback(_end_all, [one.drain for one in self._budgets.values()])
            ends.push_async_callback(_end_all, [one.limiter.drain for one in self._routes.values()])

    @cached_property
    def _on_exhausted(self) -> Hook:
        """The callable of the settings. Raises UserError when it is not there."""
        named = self._settings.on_exhausted
        if named is None:
            return unheard
        module, _, name = named.partition(":")
        try:
            hook: Hook = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UserError(f"ASSAY_ON_EXHAUSTED is '{named}', which cannot be imported: {error}") from error
        return hook

    async def _route(self, reference: str, suite: Suite) -> Route:
        quota = self._quota(reference, suite)
        kind = suite.limits.limiter or self._settings.limiter
        key = (reference, quota, kind)
        if key not in self._routes:
            self._routes[key] = replace(
                await self._unlimited(reference),
                limiter=self._limiter(reference, quota, kind),
                is_provisioned=quota is not None and quota.accounting == "settled",
            )
        return self._routes[key]

    async def _unlimited(self, reference: str) -> Route:
        """What all routes to a deployment share, whatever suites say of its quota: client, breaker, what is learned."""
        if reference not in self._shared:
            name, _, endpoint = reference.partition("@")
            tokens = TokenEstimator(reference, self._telemetry)
            model, server = await self._chat_model(endpoint), _server(self._endpoint(endpoint))
            self._shared[reference] = Route(reference, name, model, NoLimiter(), tokens, server=server)
        return self._shared[reference]

    async def _chat_model(self, endpoint: str) -> ChatModel:
        """One client for all deployments of an endpoint; '' is the one of AZURE_OPENAI_ENDPOINT."""
        if endpoint not in self._models:
            client = await self._client(self._endpoint(endpoint))
            self._models[endpoint] = with_failures(client, self._settings.inject_failures, self._telemetry)
        return self._models[endpoint]

    async def _client(self, endpoint: Endpoint) -> ChatModel:
        """A client of the endpoint's kind; each SDK is loaded only where it is used. Raises UserError."""
        if endpoint.kind == "azure":
            return await self._azure_client(endpoint)
        key = await self._secret(endpoint.api_key) if endpoint.api_key else None
        if endpoint.kind == "litellm":
            from assay.llm.litellm_chat import LiteLLMChat

            return LiteLLMChat(str(endpoint.provider), url=endpoint.url, api_key=key)
        from assay.llm.llama_cpp import LlamaCppChat
        from assay.llm.openai_chat import OpenAIChat

        speaks = LlamaCppChat if endpoint.kind == "llama_cpp" else OpenAIChat
        return speaks(endpoint.address, key, connections=self._settings.worker_concurrency)

    async def _azure_client(self, endpoint: Endpoint) -> ChatModel:
        from assay.llm.azure_openai import AzureOpenAIChat

        settings = self._settings
        return AzureOpenAIChat(
            endpoint.address,
            endpoint.api_version or settings.azure_openai_api_version,
            connections=settings.worker_concurrency,
            **await self._model_access(endpoint.api_key or settings.azure_openai_api_key),
        )

    def _endpoint(self, name: str) -> Endpoint:
        settings = self._settings
        if name in settings.endpoints:
            return settings.endpoints[name]
        if name:
            known = ", ".join(settings.endpoints) or "none"
            raise UserError(f"there is no model endpoint '{name}'. ASSAY_ENDPOINTS has: {known}")
        if settings.azure_openai_endpoint is None:
            raise UserError("no model endpoint: set AZURE_OPENAI_ENDPOINT to the address of an Azure OpenAI resource")
        return Endpoint(url=settings.azure_openai_endpoint)

    async def _model_access(self, key: "SecretStr | None") -> dict[str, Any]:
        """A key where one is set, else tokens for this process's identity."""
        if key is not None:
            return {"api_key": await self._secret(key)}
        from assay.llm.azure_openai import EntraTokens

        tokens = EntraTokens(self._credential())
        return {"token_provider": tokens, "forget_token": tokens.forget}

    async def _secret(self, secret: "SecretStr") -> str:
        text = await resolve(secret, self._secrets)
        self._learn(text)
        return text

    @cached_property
    def _secrets(self) -> KeyVaultSecrets | None:
        vault = self._settings.key_vault_url
        return KeyVaultSecrets(vault, self._credential()) if vault else None

    def _budget(self, run: str, suite: Suite) -> Budget:
        """One per run that has an enforced budget, kept as long as the process."""
        limits = suite.limits
        if limits.budget_usd is None or limits.budget == "soft":
            return NoBudget()
        if run not in self._budgets:
            self._budgets[run] = TrancheBudget(
                self._storage,
                run,
                # Unique: what a process of the same number held before it died must stay counted.
                f"{self._worker}-{secrets.token_hex(4)}",
                limits.budget_usd,
                limits.budget,
                clock=time.monotonic,
                sleep=asyncio.sleep,
                telemetry=self._telemetry,
            )
        return self._budgets[run]

    def _quota(self, reference: str, suite: Suite) -> Quota | None:
        """What the suite says the deployment grants, else what the settings say."""
        stated = suite.quota.get(reference) or self._settings.quota.get(reference)
        if stated is None:
            return None
        return Quota(**stated.model_dump())

    def _limiter(self, reference: str, quota: Quota | None, kind: str) -> Limiter:
        from assay.quota.adaptive import AdaptiveLimiter
        from assay.quota.limiter import BlobLeaseLimiter
        from assay.quota.window import WindowLimiter

        deployment = layout.quota_of(reference)
        if kind == "adaptive":
            return AdaptiveLimiter(deployment, telemetry=self._telemetry)
        if quota is None or kind == "none":
            return NoLimiter()
        if kind == "window":
            return WindowLimiter(deployment, quota, telemetry=self._telemetry)
        # Suites that state other numbers get limiters of their own, which share the quota as two workers would.
        others = sum(known == reference for known, _, _ in self._routes)
        worker = f"{self._worker}-{others + 1}" if others else self._worker
        return BlobLeaseLimiter(self._storage, deployment, quota, worker, telemetry=self._telemetry)


async def _end_all(ends: list[Callable[[], Awaitable[None]]]) -> None:
    """Ends all at once; the first error is raised when all have ended."""
    for ended in await asyncio.gather(*(end() for end in ends), return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


_PROVIDERS = {"azure": "azure.ai.openai", "openai": "openai", "llama_cpp": "llama_cpp"}


def _server(endpoint: Endpoint) -> Server:
    """Who answers there, by the names of OpenTelemetry's conventions."""
    at = urlsplit(endpoint.url or "")
    return Server(_PROVIDERS.get(endpoint.kind) or str(endpoint.provider), at.hostname or "", at.port)


def _once(read: Callable[[], Any]) -> Callable[[], Any]:
    """Reads a secret at first use, and gives the same from then on."""
    known: list[str] = []

    async def secret() -> str:
        if not known:
            known.append(await read())
        return known[0]

    return secret
