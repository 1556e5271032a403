"""Puts the rooms together: the only place that picks concrete classes. Function app and command line ask here.

`runtime()` is made on first use, once per process; nothing connects before it is used.
"""

import asyncio
import logging
import os
import platform
import secrets
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from assay import __version__
from assay.errors import StorageError, UserError
from assay.execution.heartbeat import Heartbeat
from assay.execution.job import ChunkTrial, Jobs
from assay.execution.judging import judgings_of
from assay.execution.program_threads import ProgramThreads
from assay.execution.programs import ProgramRunner
from assay.execution.trial import Trial
from assay.execution.watchdog import Watchdog
from assay.execution.worker import Worker
from assay.installed import installed_plugins
from assay.llm.pricing import load_prices
from assay.middleware.redaction import redactor_of
from assay.orchestration.finishing import FinishingSteps
from assay.orchestration.ingest import Ingest
from assay.orchestration.progress import list_progress, read_progress
from assay.orchestration.publishing import PublishingSteps
from assay.orchestration.steps import AskingSteps
from assay.planning.judges.base import Judge
from assay.planning.judges.prompts import judging_experiments
from assay.planning.preflight import scorers_of
from assay.planning.programs import load_program, open_code
from assay.planning.prompts import RowPrompt, compile_prompts
from assay.records import Record
from assay.registry import did_you_mean
from assay.run_records import Progress, RunHeader
from assay.scoring.base import Scorer
from assay.settings import Settings
from assay.storage import layout
from assay.suite.models import Experiment, Suite
from assay.telemetry import LOGGER, Telemetry, bound, redact_logs
from assay.telemetry_export.opening import close_opened, open_telemetry
from assay.telemetry_names import QUEUE, QUEUE_AGE, STEP, STEP_SPAN
from assay.vault import read_secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from azure.core.credentials_async import AsyncTokenCredential

    from assay.deployments import Deployments
    from assay.destinations import Destinations
    from assay.middleware.base import Ask
    from assay.middleware.chain import Chains
    from assay.storage.base import Storage

Taken = TypeVar("Taken")


class Health(Record):
    """Whether this instance can work, and what it is."""

    ok: bool
    version: str


class Runtime:
    """Everything one process needs, made when first asked for and shared from then on."""

    def __init__(self, settings: Settings, telemetry: Telemetry | None = None) -> None:
        self.settings = settings
        self.redactor = redactor_of(settings)
        self._worker_name = _worker_name()
        self.telemetry: Telemetry = telemetry or open_telemetry(settings, self.redactor.redact, self._worker_name)

    @cached_property
    def storage(self) -> "Storage":
        from assay.storage.azure import AzureStorage

        settings = self.settings
        if settings.storage_connection_string:
            return AzureStorage.from_connection_string(settings.storage_connection_string.get_secret_value())
        return AzureStorage.from_urls(settings.blob_url, settings.queue_url, self._credential)

    @cached_property
    def ingest(self) -> Ingest:
        limit, redact = self.settings.max_file_bytes, self.redactor.redact
        return Ingest(self.storage, limit, self._versions(), now, self.telemetry, redact=redact)

    @cached_property
    def asking(self) -> AskingSteps:
        prices = load_prices(self.settings.prices_file)
        depth, redact = self.settings.queue_depth, self.redactor.redact
        return AskingSteps(
            self.storage, depth, now, self.telemetry, prices=prices, redact=redact, address_of=self.address_of
        )

    @cached_property
    def finishing(self) -> FinishingSteps:
        return FinishingSteps(self.storage, now, self.telemetry, load_prices(self.settings.prices_file))

    @cached_property
    def publishing(self) -> PublishingSteps:
        opened, redact = self._destinations, self.redactor.redact
        return PublishingSteps(
            self.storage, opened.signer, opened.sinks, now, self.telemetry, redact, host=self._host_name
        )

    @cached_property
    def _destinations(self) -> "Destinations":
        from assay.destinations import Destinations

        return Destinations(
            self.settings,
            self.storage,
            self.telemetry,
            credential=lambda: self._credential,
            learn=self.redactor.learn,
            address_of=self.address_of,
        )

    @property
    def _host_name(self) -> str:
        """What kind of host this is, for the provenance: Azure says the name of the site."""
        return "azure-functions" if self.settings.site_name else "local"

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
            redact=self.redactor.redact,
            working=self._heartbeat.working,
        )

    def tell_queue_age(self, queue: str, inserted_at: datetime | None) -> None:
        """How long a message lay in its queue, where the host knows; the clocks of two machines may differ a little."""
        if inserted_at is not None:
            self.telemetry.record(QUEUE_AGE, max(0.0, (now() - inserted_at).total_seconds()), {QUEUE: queue})

    async def step(self, name: str, take: "Callable[..., Awaitable[Taken]]", order: dict[str, Any]) -> Taken:
        """Takes a step of a run, as the orchestrator ordered; the step's errors pass."""
        with bound(run=order["run"]), self.telemetry.span(STEP_SPAN, {STEP: name}):
            return await take(**order)

    async def health(self) -> Health:
        """Whether storage answers."""
        try:
            await self.storage.find(layout.suite_file("health"))
        except StorageError as error:
            self.telemetry.problem("storage_silent", reason=str(error))
            return Health(ok=False, version=__version__)
        return Health(ok=True, version=__version__)

    async def address_of(self, connection: str) -> str:
        """The address of the database of that name, as ASSAY_CONNECTIONS or Key Vault has it. Raises UserError."""
        known = self.settings.connections
        if connection not in known:
            hint = did_you_mean(connection, list(known))
            names = ", ".join(known) or "none"
            raise UserError(f"there is no connection '{connection}'{hint}. ASSAY_CONNECTIONS has: {names}")
        address = await read_secret(known[connection], self.settings.key_vault_url, lambda: self._credential)
        self.redactor.learn(address)
        return address

    async def run(self, run: str) -> Progress | None:
        """What was last seen of a run, or None."""
        return await read_progress(self.storage, run)

    async def runs(self) -> list[Progress]:
        """What was last seen of every run, newest first."""
        return await list_progress(self.storage)

    async def close(self) -> None:
        """Ends what middleware began, gives leases and money back and closes connections, whichever of them fails."""
        made = self.__dict__
        async with AsyncExitStack() as ends:
            ends.push_async_callback(asyncio.to_thread, close_opened)
            for name in ("_credential", "storage", "_deployments", "_chains"):  # the last one ends first
                if name in made:
                    ends.push_async_callback(made[name].close)

    async def _trials_of(self, header: RunHeader) -> dict[str, ChunkTrial]:
        suite = Suite.model_validate(header.suite)
        ask = await self._ask(header.run, suite)
        await asyncio.to_thread(scorers_of, suite)  # functions of users, whose modules may take seconds to import
        trials: dict[str, ChunkTrial] = {
            one.name: self._trial(header.run, suite, one, ask, await self._runner(one)) for one in suite.experiments
        }

        def asked_by(judge: Judge, asking: Experiment) -> Trial:
            return self._asking_trial(header.run, suite, asking, ask, (), (judge,))

        return trials | judgings_of(suite, self.storage, asked_by)

    def _trial(
        self, run: str, suite: Suite, experiment: Experiment, ask: "Ask", program: ProgramRunner | None
    ) -> Trial:
        prompts = compile_prompts(experiment, suite.templates)
        trial = self._asking_trial(run, suite, experiment, ask, prompts, scorers_of(suite))
        return replace(trial, program=program) if program else trial

    async def _runner(self, experiment: Experiment) -> ProgramRunner | None:
        """What runs the experiment's program; the import, which may take seconds, does not hold up other trials."""
        if experiment.program is None:
            return None
        return ProgramRunner(await asyncio.to_thread(load_program, experiment.program), self._program_threads)

    def _asking_trial(
        self,
        run: str,
        suite: Suite,
        experiment: Experiment,
        ask: "Ask",
        prompts: tuple[RowPrompt, ...],
        scorers: tuple[Scorer, ...],
    ) -> Trial:
        return Trial(
            run_id=run,
            experiment=experiment,
            prompts=prompts,
            scorers=scorers,
            limits=suite.limits,
            ask=ask,
            watchdog=self._watchdog,
            redact=self.redactor.redact,
        )

    async def _ask(self, run: str, suite: Suite) -> "Ask":
        """The chain of the run's middleware, before what sends."""
        from assay.middleware.chain import build_chain, by_experiment
        from assay.middleware.context import Context

        asking = (*suite.experiments, *judging_experiments(suite))
        askers = {one.name: await self._deployments.asker(run, suite, one) for one in asking}
        context = Context(
            run=run,
            worker=self._worker_name,
            storage=self.storage,
            telemetry=self.telemetry,
            redactor=self.redactor,
            clock=time.monotonic,
            now=now,
            sleep=asyncio.sleep,
            charged=self._deployments.charged(suite),
            content_safety=self._deployments.content_safety,
        )
        chain = await self._chains.of(run, lambda: build_chain(suite, context, by_experiment(askers)))
        return chain.ask

    @cached_property
    def _chains(self) -> "Chains":
        from assay.middleware.chain import Chains

        return Chains()

    @cached_property
    def _deployments(self) -> "Deployments":
        from assay.deployments import Deployments

        return Deployments(
            self.settings,
            self.storage,
            self.telemetry,
            self._worker_name,
            credential=lambda: self._credential,
            learn=self.redactor.learn,
        )

    @cached_property
    def _watchdog(self) -> Watchdog:
        return Watchdog(self.telemetry)

    @cached_property
    def _program_threads(self) -> ProgramThreads:
        return ProgramThreads(self.telemetry)

    @cached_property
    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            self._worker_name,
            self.telemetry,
            trials=lambda: self._watchdog.watched,
            breakers=lambda: self._deployments.breakers(),
            quota_use=lambda: self._deployments.quota_use(),
        )

    @cached_property
    def _credential(self) -> "AsyncTokenCredential":
        return self.settings.credential()

    def _versions(self) -> dict[str, str]:
        known = {
            "assay": __version__,
            "python": platform.python_version(),
            "openai": version("openai"),
            "git": self.settings.git_sha,
            "image": self.settings.image_digest,
            "plugins": ", ".join(sorted({one.distribution for one in installed_plugins()})),
        }
        return {name: value for name, value in known.items() if value}


@cache
def runtime() -> Runtime:
    """This process's runtime, from its environment. Raises UserError when a setting is missing or wrong."""
    settings = Settings.load()
    open_code(settings.code_folders)
    logging.getLogger(LOGGER).setLevel(settings.log_level)
    made = Runtime(settings)
    redact_logs(made.redactor.redact)
    return made


def now() -> datetime:
    return datetime.now(UTC)


def _worker_name() -> str:
    """A name that no other process has: containers of one host may share its name, and each be process 1."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
