"""The quota of a deployment as all its workers see it: one small blob, whatever the suites say.

`sharing.py` reads it now and then; `assay quota set` writes it. The first worker creates it from its suite.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Literal

from pydantic import Field, ValidationError

from assay.errors import BlobChanged, BlobExists, BlobMissing, NameRefused, StorageError, UserError
from assay.field_problems import field_path
from assay.model_settings import Accounting
from assay.quota.base import Quota
from assay.quota.leases import LEASE_SECONDS
from assay.quota.shares import MEAN_CHARGE_TOKENS, partition_count
from assay.records import Record
from assay.storage.base import Storage
from assay.storage.layout import QUOTA
from assay.telemetry import Telemetry

# Workers read the blob again so often: whoever changes the partitions waits longer before the new ones are spent.
REREAD_SECONDS = 600.0

# How wrong two machines' ideas of the time may be together, on either side of a change.
CLOCKS_SECONDS = 10.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,254}(/[A-Za-z0-9][A-Za-z0-9._=-]{0,254})?")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operator sets. Without an `accounting` it stays what it is."""

    requests_per_minute: int
    tokens_per_minute: int
    accounting: Accounting | None = None


class Cut(Record):
    """Limits, and the partitions they are divided into. The same `cut` always has the same number of partitions."""

    requests_per_minute: int = Field(gt=0)
    tokens_per_minute: int = Field(gt=0)
    partitions: int = Field(gt=0)
    cut: int = Field(gt=0)


class DeploymentQuota(Cut):
    """What `config.json` holds. Until `valid_from` the limits and partitions of `before` are in force."""

    version: int = Field(gt=0)
    accounting: Accounting = "standard"
    source: Literal["suite", "operator"]
    set_at: datetime
    valid_from: datetime | None = None
    before: Cut | None = None

    def is_pending(self, now: datetime) -> bool:
        return self.valid_from is not None and now < self.valid_from


def checked_deployment(name: str) -> str:
    """The name, if it can be part of a path: `gpt-5.4-mini`, or `westeurope/gpt-5.4-mini`. Raises NameRefused."""
    if not _NAME.fullmatch(name):
        raise NameRefused(
            f"'{name}' cannot be a deployment: expected letters, digits, '.', '_' and '-', after a region and a slash "
            "where there are several, as in westeurope/gpt-5.4-mini"
        )
    return name


def config_path(deployment: str) -> str:
    return f"{QUOTA}/{deployment}/config.json"


def partitions_prefix(deployment: str, cut: int) -> str:
    """Where the partitions and tickets of one cut are."""
    return f"{QUOTA}/{deployment}/v{cut}"


async def read_quota(storage: Storage, deployment: str) -> DeploymentQuota | None:
    """The deployment's quota; None when no worker and no operator set one. Raises StorageError."""
    path = config_path(deployment)
    try:
        return DeploymentQuota.model_validate_json(await storage.read(path))
    except BlobMissing:
        return None
    except ValidationError as error:
        wrong = field_path(error.errors()[0], "all of it")
        raise StorageError(
            f"{path} is no quota: wrong is {wrong}. Delete it while no worker runs; the next one writes it anew."
        ) from error


async def set_quota(
    storage: Storage,
    deployment: str,
    limits: Limits,
    now: datetime,
    *,
    mean_charge_tokens: int = MEAN_CHARGE_TOKENS,
    reread_seconds: float = REREAD_SECONDS,
) -> DeploymentQuota:
    """Sets the quota by an operator's word, which wins over suites; returns what was written.

    Other limits in the same partitions hold from each worker's next look on. Another number of partitions holds from
    `valid_from` on, when every worker knows of it; lower limits hold at once all the same. Raises UserError while such
    a change is under way, or another is being written.
    """
    path = config_path(checked_deployment(deployment))
    seen = await storage.find(path)
    old = await read_quota(storage, deployment)
    changed = _changed(old, deployment, limits, now, mean_charge_tokens, reread_seconds)
    content = changed.model_dump_json(indent=2).encode()
    try:
        if seen is None:
            await storage.write(path, content)
        else:
            await storage.replace(path, content, etag=seen.etag)
    except (BlobChanged, BlobExists, BlobMissing) as error:
        raise UserError(
            f"the quota of '{deployment}' was set by somebody else in this moment; look at it, then try again"
        ) from error
    return changed


def _changed(
    old: DeploymentQuota | None,
    deployment: str,
    limits: Limits,
    now: datetime,
    mean_charge_tokens: int,
    reread_seconds: float,
) -> DeploymentQuota:
    accounting = limits.accounting or (old.accounting if old else "standard")
    quota = Quota(limits.requests_per_minute, limits.tokens_per_minute, accounting)
    new = _first(quota, partition_count(quota, mean_charge_tokens), "operator", now)
    if old is None:
        return new
    if old.is_pending(now):
        raise UserError(
            f"the quota of '{deployment}' is being changed already, valid from {old.valid_from:%H:%M:%S} UTC on; "
            "set it again after that"
        )
    new = new.model_copy(update={"version": old.version + 1, "cut": old.cut})
    if new.partitions == old.partitions:
        return new
    wait = timedelta(seconds=reread_seconds + LEASE_SECONDS + 2 * CLOCKS_SECONDS)
    before = Cut(
        requests_per_minute=min(old.requests_per_minute, new.requests_per_minute),
        tokens_per_minute=min(old.tokens_per_minute, new.tokens_per_minute),
        partitions=old.partitions,
        cut=old.cut,
    )
    return new.model_copy(update={"cut": new.version, "valid_from": now + wait, "before": before})


def _first(quota: Quota, partitions: int, source: Literal["suite", "operator"], now: datetime) -> DeploymentQuota:
    return DeploymentQuota(
        requests_per_minute=quota.requests_per_minute,
        tokens_per_minute=quota.tokens_per_minute,
        partitions=partitions,
        cut=1,
        version=1,
        accounting=quota.accounting,
        source=source,
        set_at=now.replace(microsecond=0),
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker may share now: where the partitions are, how many, of what. `prefix` is empty while it must wait.

    They hold until `until`, by the worker's own clock; then it has to look again, or stop.
    """

    prefix: str
    partitions: int
    quota: Quota
    until: float


class Deployment:
    """One deployment's quota, from one worker's side. `own` is what its suite says.

    A worker spends its part of the smaller of both; what an operator set is not made smaller by a suite.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        own: Quota,
        *,
        clock: Callable[[], float],
        telemetry: Telemetry,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        mean_charge_tokens: int = MEAN_CHARGE_TOKENS,
        reread_seconds: float = REREAD_SECONDS,
    ) -> None:
        self._storage = storage
        self._name = name
        self._own = own
        self._clock = clock
        self._telemetry = telemetry
        self._now = now
        self._mean_charge_tokens = mean_charge_tokens
        self._reread_seconds = reread_seconds
        self._told_of_version = 0
        self.look_at = -inf
        """When to ask for the terms again."""

    async def terms(self) -> Terms:
        """What holds now; one read, and at the very first time a write. Raises StorageError."""
        asked_at = self._clock()
        found = await read_quota(self._storage, self._name) or await self._create()
        self._tell_if_suite_says_more(found)
        terms = self._terms(found, asked_at)
        self.look_at = min(asked_at + self._reread_seconds, terms.until)
        return terms

    async def _create(self) -> DeploymentQuota:
        made = _first(self._own, partition_count(self._own, self._mean_charge_tokens), "suite", self._now())
        try:
            await self._storage.write(config_path(self._name), made.model_dump_json(indent=2).encode())
        except BlobExists:
            return await read_quota(self._storage, self._name) or made
        return made

    def _terms(self, found: DeploymentQuota, asked_at: float) -> Terms:
        # A worker that cannot read any more must have stopped when others begin with what it did not read.
        last = asked_at + self._reread_seconds + LEASE_SECONDS
        quota = self._effective(found, found)
        terms = Terms(partitions_prefix(self._name, found.cut), found.partitions, quota, last)
        if found.valid_from is None or found.before is None:
            return terms
        seconds = (found.valid_from - self._now()).total_seconds()
        if seconds <= 0:
            return terms
        before = found.before
        if seconds <= CLOCKS_SECONDS:
            return replace(terms, prefix="", until=asked_at + seconds)
        prefix = partitions_prefix(self._name, before.cut)
        until = min(last, asked_at + seconds - CLOCKS_SECONDS)
        return Terms(prefix, before.partitions, self._effective(found, before), until)

    def _effective(self, found: DeploymentQuota, cut: Cut) -> Quota:
        limits = replace(
            self._own,
            requests_per_minute=cut.requests_per_minute,
            tokens_per_minute=cut.tokens_per_minute,
            accounting=found.accounting,
        )
        if found.source == "operator":
            return limits
        return replace(
            limits,
            requests_per_minute=min(limits.requests_per_minute, self._own.requests_per_minute),
            tokens_per_minute=min(limits.tokens_per_minute, self._own.tokens_per_minute),
        )

    def _tell_if_suite_says_more(self, found: DeploymentQuota) -> None:
        says_more = (
            self._own.requests_per_minute > found.requests_per_minute
            or self._own.tokens_per_minute > found.tokens_per_minute
        )
        if not says_more or self._told_of_version == found.version:
            return
        self._told_of_version = found.version
        self._telemetry.problem(
            "quota_suite_says_more",
            deployment=self._name,
            source=found.source,
            requests_per_minute=found.requests_per_minute,
            tokens_per_minute=found.tokens_per_minute,
            suite_requests_per_minute=self._own.requests_per_minute,
            suite_tokens_per_minute=self._own.tokens_per_minute,
        )
