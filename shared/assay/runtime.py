"""Puts the rooms together: the only place that picks concrete classes. Function app and command line ask here.

`runtime()` is made on first use, once per process; nothing connects before it is used.
"""

import asyncio
import logging
import os
import platform
import random
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
from assay.execution.worker import Worker
from assay.orchestration.finishing import FinishingSteps
from assay.orchestration.ingest import Ingest
from assay.orchestration.progress import list_progress, read_progress
from assay.orchestration.steps import AskingSteps
from assay.planning.preflight import scorers_of
from assay.planning.prompts import compile_prompts
from assay.records import Progress, Record, RunHeader
from assay.settings import KeyVaultSecrets, Settings, resolve
from assay.storage import layout
from assay.suite.models import Experiment, QuotaSettings, Suite
from assay.telemetry import LOGGER, LogTelemetry, Telemetry

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

    from assay.llm.base import ChatModel
    from assay.middleware.base import Ask
    from assay.provenance.signing import Signer
    from assay.quota.base import Limiter
    from assay.storage.base import Storage

MODEL_SCOPE = "https://cognitiveservices.azure.com/.default"
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
        self._model: ChatModel | None = None
        self._limiters: dict[tuple[str, QuotaSettings], Limiter] = {}

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
        return AskingSteps(self.storage, self.settings.queue_depth, now, self.telemetry)

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
        await asyncio.gather(*(limiter.drain() for limiter in self._limiters.values()))
        if self._model is not None:
            await self._model.close()
        for name in ("storage", "_secrets", "_credential"):
            if (made := self.__dict__.get(name)) is not None:
                await made.close()

    async def _trials_of(self, header: RunHeader) -> dict[str, Trial]:
        suite, model = Suite.model_validate(header.suite), await self._chat_model()
        return {one.name: self._trial(header.run, suite, one, model) for one in suite.experiments}

    def _trial(self, run: str, suite: Suite, experiment: Experiment, model: "ChatModel") -> Trial:
        return Trial(
            run_id=run,
            experiment=experiment,
            prompts=compile_prompts(experiment),
            scorers=scorers_of(suite),
            request_timeout_seconds=suite.limits.request_timeout_seconds,
            ask=self._ask(suite, experiment, model),
        )

    def _ask(self, suite: Suite, experiment: Experiment, model: "ChatModel") -> "Ask":
        from assay.execution.asking import Asker
        from assay.execution.routes import Route
        from assay.llm.pricing import load_prices

        deployment = experiment.model.deployment
        return Asker(
            route=Route(deployment, deployment, model, self._limiter(deployment, suite)),
            prices=load_prices(),
            attempts_limit=suite.limits.attempts,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            random=random.random,
            telemetry=self.telemetry,
        )

    async def _chat_model(self) -> "ChatModel":
        """One client for all deployments of the endpoint."""
        if self._model is None:
            from assay.llm.azure_openai import AzureOpenAIChat

            settings = self.settings
            if settings.azure_openai_endpoint is None:
                raise UserError(
                    "no model endpoint: set AZURE_OPENAI_ENDPOINT to the address of an Azure OpenAI resource"
                )
            self._model = AzureOpenAIChat(
                settings.azure_openai_endpoint,
                settings.azure_openai_api_version,
                connections=settings.worker_concurrency,
                **await self._model_access(),
            )
        return self._model

    async def _model_access(self) -> dict[str, Any]:
        """A key where one is set, else tokens for this process's identity."""
        key = self.settings.azure_openai_api_key
        if key is not None:
            return {"api_key": await resolve(key, self._secrets)}
        from azure.identity.aio import get_bearer_token_provider

        return {"token_provider": get_bearer_token_provider(self._credential, MODEL_SCOPE)}

    @cached_property
    def _credential(self) -> "AsyncTokenCredential":
        return self.settings.credential()

    @cached_property
    def _secrets(self) -> KeyVaultSecrets | None:
        vault = self.settings.key_vault_url
        return KeyVaultSecrets(vault, self._credential) if vault else None

    def _limiter(self, deployment: str, suite: Suite) -> "Limiter":
        """One limiter per deployment and quota, shared by all runs of this process."""
        from assay.quota.none import NoLimiter

        quota = suite.quota.get(deployment)
        if quota is None or self.settings.limiter == "none":
            return NoLimiter()
        key = (deployment, quota)
        if key not in self._limiters:
            self._limiters[key] = self._leased(deployment, quota)
        return self._limiters[key]

    def _leased(self, deployment: str, quota: QuotaSettings) -> "Limiter":
        from assay.quota.base import Quota
        from assay.quota.limiter import BlobLeaseLimiter

        return BlobLeaseLimiter(
            storage=self.storage,
            deployment=deployment,
            quota=Quota(quota.requests_per_minute, quota.tokens_per_minute),
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
