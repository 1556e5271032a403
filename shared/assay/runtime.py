"""Puts the rooms together: the only place that picks concrete classes. Function app and command line ask here.

`runtime()` is made on first use, once per process; nothing connects before it is used.
"""

import asyncio
import logging
import os
import platform
import random
import secrets
import socket
import time
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import __version__
from assay.errors import StorageError, UserError
from assay.execution.job import Jobs
from assay.execution.trial import Trial
from assay.execution.watchdog import Watchdog
from assay.execution.worker import Worker
from assay.orchestration.finishing import FinishingSteps
from assay.orchestration.ingest import Ingest
from assay.orchestration.progress import list_progress, read_progress
from assay.orchestration.steps import AskingSteps
from assay.planning.preflight import scorers_of
from assay.planning.prompts import compile_prompts
from assay.records import Progress, Record, RunHeader
from assay.settings import Endpoint, KeyVaultSecrets, Settings, resolve
from assay.storage import layout
from assay.suite.models import Experiment, ModelSettings, Suite
from assay.telemetry import LOGGER, LogTelemetry, Telemetry

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from pydantic import SecretStr

    from assay.execution.asking import Asker
    from assay.execution.routes import Route
    from assay.llm.base import ChatModel
    from assay.provenance.signing import Signer
    from assay.quota.base import Limiter, Quota
    from assay.quota.budget import Budget
    from assay.quota.tranches import TrancheBudget
    from assay.storage.base import Storage

DEFAULT_KEY_FILE = Path(".assay/keys/signing.pem")


class Health(Record):
    """Whether this instance can work, and what it is."""

    ok: bool
    version: str


class Runtime:
    """Everything one process needs, made when first asked for and shared from then on."""

    def __init__(self, settings: Settings, telemetry: Telemetry | None = None) -> None:
        self.settings = settings
        self.telemetry: Telemetry = telemetry or LogTelemetry()
        self._models: dict[str, ChatModel] = {}
        self._routes: dict[tuple[str, Quota | None, str], Route] = {}
        self._budgets: dict[str, TrancheBudget] = {}

    @cached_property
    def storage(self) -> "Storage":
        from assay.storage.azure import AzureStorage

        settings = self.settings
        if settings.storage_connection_string:
            return AzureStorage.from_connection_string(settings.storage_connection_string.get_secret_value())
        return AzureStorage.from_urls(settings.blob_url, settings.queue_url, self._credential)

    @cached_property
    def ingest(self) -> Ingest:
        return Ingest(self.storage, self.settings.max_file_bytes, self._versions(), now, self.telemetry)

    @cached_property
    def asking(self) -> AskingSteps:
        from assay.llm.pricing import load_prices

        prices = load_prices(self.settings.prices_file)
        return AskingSteps(self.storage, self.settings.queue_depth, now, self.telemetry, prices=prices)

    @cached_property
    def finishing(self) -> FinishingSteps:
        from assay.sinks.storage import BlobSink

        return FinishingSteps(self.storage, self.signer, (BlobSink(self.storage),), now, self.telemetry)

    @cached_property
    def worker(self) -> Worker:
        settings = self.settings
        return Worker(
            storage=self.storage,
            jobs=Jobs(self.storage, self._trials_of),
            slots=asyncio.Semaphore(settings.worker_concurrency),
            linger_seconds=settings.checkpoint_seconds,
            now=now,
            telemetry=self.telemetry,
        )

    def signer(self) -> "Signer":
        """The local signing key, made on first use."""
        from assay.provenance.signing import LocalKeySigner

        return LocalKeySigner.load_or_create(self.settings.signing_key_file or DEFAULT_KEY_FILE)

    async def health(self) -> Health:
        """Whether storage answers."""
        try:
            await self.storage.find(layout.suite_file("health"))
        except StorageError as error:
            self.telemetry.problem("storage_silent", reason=str(error))
            return Health(ok=False, version=__version__)
        return Health(ok=True, version=__version__)

    async def run(self, run: str) -> Progress | None:
        """What was last seen of a run, or None."""
        return await read_progress(self.storage, run)

    async def runs(self) -> list[Progress]:
        """What was last seen of every run, newest first."""
        return await list_progress(self.storage)

    async def close(self) -> None:
        """Gives leases back and closes connections."""
        await asyncio.gather(*(route.limiter.drain() for route in self._routes.values()))
        await asyncio.gather(*(budget.drain() for budget in self._budgets.values()))
        await asyncio.gather(*(model.close() for model in self._models.values()))
        for name in ("storage", "_secrets", "_credential"):
            if (made := self.__dict__.get(name)) is not None:
                await made.close()

    async def _trials_of(self, header: RunHeader) -> dict[str, Trial]:
        suite = Suite.model_validate(header.suite)
        return {one.name: await self._trial(header.run, suite, one) for one in suite.experiments}

    async def _trial(self, run: str, suite: Suite, experiment: Experiment) -> Trial:
        return Trial(
            run_id=run,
            experiment=experiment,
            prompts=compile_prompts(experiment),
            scorers=scorers_of(suite),
            limits=suite.limits,
            ask=await self._asker(run, suite, experiment),
            watchdog=self._watchdog,
        )

    async def _asker(self, run: str, suite: Suite, experiment: Experiment) -> "Asker":
        from assay.execution.asking import Asker
        from assay.execution.routes import ladder_of
        from assay.llm.pricing import load_prices

        routes = {one: await self._route(one, suite, experiment.model) for one in experiment.model.deployments}
        return Asker(
            ladder=ladder_of(experiment.model, routes.__getitem__),
            prices=load_prices(self.settings.prices_file),
            budget=self._budget(run, suite),
            attempts_limit=suite.limits.attempts,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            random=random.random,
            telemetry=self.telemetry,
        )

    def _budget(self, run: str, suite: Suite) -> "Budget":
        """One per run that has an enforced budget, shared by all its experiments and kept as long as the process."""
        from assay.quota.budget import NoBudget
        from assay.quota.tranches import TrancheBudget

        limits = suite.limits
        if limits.budget_usd is None or limits.budget == "soft":
            return NoBudget()
        if run not in self._budgets:
            self._budgets[run] = TrancheBudget(
                self.storage,
                run,
                # Unique: what a process of the same number held before it died must stay counted.
                f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
                limits.budget_usd,
                limits.budget,
                clock=time.monotonic,
                sleep=asyncio.sleep,
                telemetry=self.telemetry,
            )
        return self._budgets[run]

    @cached_property
    def _watchdog(self) -> Watchdog:
        return Watchdog(self.telemetry)

    async def _route(self, reference: str, suite: Suite, settings: ModelSettings) -> "Route":
        """One route per deployment, quota and kind of limiter, shared by all runs of this process."""
        from assay.execution.routes import Route
        from assay.quota.estimate import TokenEstimator

        quota = self._quota(reference, suite)
        key = (reference, quota, suite.limits.limiter or self.settings.limiter)
        if key not in self._routes:
            name, _, endpoint = reference.partition("@")
            self._routes[key] = Route(
                reference,
                name,
                await self._chat_model(endpoint),
                self._limiter(f"{endpoint}/{name}" if endpoint else name, quota, key[2]),
                TokenEstimator(reference, self.telemetry),
                is_provisioned=quota is not None and quota.accounting == "settled",
                priced_as=settings.priced_as_of(reference) or "",
            )
        return self._routes[key]

    async def _chat_model(self, endpoint: str) -> "ChatModel":
        """One client for all deployments of an endpoint; '' is the one of AZURE_OPENAI_ENDPOINT."""
        if endpoint not in self._models:
            from assay.llm.azure_openai import AzureOpenAIChat

            settings, one = self.settings, self._endpoint(endpoint)
            self._models[endpoint] = AzureOpenAIChat(
                one.url,
                one.api_version or settings.azure_openai_api_version,
                connections=settings.worker_concurrency,
                **await self._model_access(one.api_key or settings.azure_openai_api_key),
            )
        return self._models[endpoint]

    def _endpoint(self, name: str) -> Endpoint:
        settings = self.settings
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
            return {"api_key": await resolve(key, self._secrets)}
        from assay.llm.azure_openai import EntraTokens

        tokens = EntraTokens(self._credential)
        return {"token_provider": tokens, "forget_token": tokens.forget}

    @cached_property
    def _credential(self) -> "AsyncTokenCredential":
        return self.settings.credential()

    @cached_property
    def _secrets(self) -> KeyVaultSecrets | None:
        vault = self.settings.key_vault_url
        return KeyVaultSecrets(vault, self._credential) if vault else None

    def _quota(self, reference: str, suite: Suite) -> "Quota | None":
        """What the suite says the deployment grants, else what the settings say."""
        from assay.quota.base import Quota

        stated = suite.quota.get(reference) or self.settings.quota.get(reference)
        if stated is None:
            return None
        return Quota(stated.requests_per_minute, stated.tokens_per_minute, stated.accounting)

    def _limiter(self, deployment: str, quota: "Quota | None", kind: str) -> "Limiter":
        from assay.quota.limiter import BlobLeaseLimiter
        from assay.quota.none import NoLimiter

        if quota is None or kind == "none":
            return NoLimiter()
        return BlobLeaseLimiter(
            storage=self.storage,
            deployment=deployment,
            quota=quota,
            worker=f"{socket.gethostname()}-{os.getpid()}",
            clock=time.monotonic,
            sleep=asyncio.sleep,
            random=random.random,
            telemetry=self.telemetry,
        )

    def _versions(self) -> dict[str, str]:
        known = {
            "assay": __version__,
            "python": platform.python_version(),
            "openai": version("openai"),
            "git": self.settings.git_sha,
            "image": self.settings.image_digest,
        }
        return {name: value for name, value in known.items() if value}


@cache
def runtime() -> Runtime:
    """This process's runtime, from its environment. Raises UserError when a setting is missing or wrong."""
    settings = Settings.load()
    logging.getLogger(LOGGER).setLevel(settings.log_level)
    return Runtime(settings)


def now() -> datetime:
    return datetime.now(UTC)
