"""What a run costs in Azure beside its models: storage operations, bytes kept, replica seconds, telemetry.

Called by `assay estimate --infra`. The constants say where they come from; docs/azure-costs.md explains them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil

from assay.planning.azure_prices import AzurePrices, Redundancy
from assay.planning.estimate import Estimate
from assay.planning.plan import rows_per_message
from assay.records import Record
from assay.run_records import Plan
from assay.suite.models import Suite

# Measured with Azurite on 2026-11-20, one worker: `python -m tests.bench run` with 2,500 rows (150 chunks, 73 s) and
# with 300 rows and answers that take 2 s (54 chunks, 146 s). What follows chunks and what follows the clock solves the
# two runs' counts, without the requests of the measurement; a third run (300 chunks, 232 s) made 8 % fewer than that.
# Reads are gets, heads and leases.
WRITES_PER_CHUNK = 2.2
WRITES_PER_HOUR = 3_000
READS_PER_CHUNK = 6.8
READS_PER_REPLICA_HOUR = 15_200
QUEUE_OPERATIONS_PER_CHUNK = 3.5
# The most of docs/benchmarks.md, A1: per request on L, and per hour on S, where shares are renewed for few requests.
LIMITER_PER_REQUEST = 0.05
LIMITER_PER_HOUR = 1_300
# From the code, at most: a look at the outcomes a second, three queues asked every 2 s.
LOOKS_PER_HOUR = 3_600
BLOBS_PER_LISTING = 5_000
POLLS_PER_REPLICA_HOUR = 3 * 1_800
# docs/benchmarks.md, evaluation: 870 bytes of outcomes and 1,130 of the bundle a trial; the bundle is kept twice.
BYTES_PER_TRIAL = 870 + 2 * 1_130
BLOCK_BYTES = 4 * 1024**2
# docs/telemetry.md: two spans of 1 kB, of one trial in a hundred.
TELEMETRY_BYTES_PER_TRIAL = 20
# Assumed, not measured: events and span of a chunk; metrics once a minute and heartbeats of a replica.
TELEMETRY_BYTES_PER_CHUNK = 4_000
TELEMETRY_BYTES_PER_REPLICA_HOUR = 2_500_000

MESSAGES_PER_REPLICA = 4
MAX_REPLICAS = 2
VCPU_PER_REPLICA = 1
GIB_PER_REPLICA = 2
HOURS_PER_MONTH = 730
DAYS_PER_MONTH = Decimal(365) / 12

_PER = Decimal(10_000)
_GB = 10**9
_CENT_OF_A_CENT = Decimal("0.0001")


@dataclass(frozen=True)
class Hosting:
    """How the app is deployed: at most so many replicas, and how storage is kept. Defaults are the template's.

    `checkpoint_seconds` is how long a finished trial waits for others of its chunk before both are kept.
    """

    replicas: int = MAX_REPLICAS
    redundancy: Redundancy = "ZRS"
    checkpoint_seconds: float = 0.2


@dataclass(frozen=True)
class Load:
    """A run's size. `hours` is None when no quota says how long it takes; `is_limited` when a limiter shares one."""

    trials: int
    requests: int
    chunks: int
    hours: float | None
    is_limited: bool


@dataclass(frozen=True)
class Operations:
    """Storage operations by what they cost; `checkpoints` are among the writes."""

    checkpoints: int
    writes: int
    reads: int
    listings: int
    queue: int

    def cost(self, prices: AzurePrices, redundancy: Redundancy) -> Decimal:
        """In USD."""
        storage = prices.storage[redundancy]
        blobs = self.writes * storage.write + self.listings * storage.listing + self.reads * storage.read
        return (blobs + self.queue * prices.queue_operation) / _PER


class InfrastructureCost(Record):
    """What a run takes and costs in USD; `usd_without_compute` is all but `compute_usd`, with one month of storage.

    Without a quota `hours`, `replica_seconds` and `compute_usd` are None, and what follows the clock is not counted.
    """

    trials: int
    chunks: int
    hours: float | None
    replicas: int
    checkpoint_writes: int
    writes: int
    reads: int
    listings: int
    queue_operations: int
    stored_gb: float
    telemetry_gb: float
    replica_seconds: int | None
    operations_usd: Decimal
    storage_month_usd: Decimal
    telemetry_usd: Decimal
    usd_without_compute: Decimal
    compute_usd: Decimal | None


class IdleCost(Record):
    """A month of one replica that waits. `compute_if_idle_usd`: if Azure found it idle all the time."""

    compute_usd: Decimal
    compute_if_idle_usd: Decimal
    queue_polls_usd: Decimal
    telemetry_usd: Decimal
    registry_usd: Decimal
    total_usd: Decimal


class Infrastructure(Record):
    """Idle, this run, and runs of the same suite of other sizes, by their number of trials."""

    prices_as_of: date
    prices_source: str
    region: str
    redundancy: Redundancy
    idle_month: IdleCost
    run: InfrastructureCost
    scaled: Mapping[str, InfrastructureCost]


def estimate_infrastructure(
    made: Estimate, plan: Plan, suite: Suite, prices: AzurePrices, hosting: Hosting, sizes: tuple[int, ...]
) -> Infrastructure:
    """The costs of the estimated run, and of one of each of `sizes` trials with the same suite and quota."""
    return Infrastructure(
        prices_as_of=prices.as_of,
        prices_source=prices.source,
        region=prices.region,
        redundancy=hosting.redundancy,
        idle_month=idle_month(prices),
        run=cost_of(_load(made, plan, suite, made.total.trials), prices, hosting),
        scaled={str(trials): cost_of(_load(made, plan, suite, trials), prices, hosting) for trials in sizes},
    )


def cost_of(load: Load, prices: AzurePrices, hosting: Hosting) -> InfrastructureCost:
    """The operations and bytes of a run, priced."""
    replicas = max(1, min(hosting.replicas, ceil(load.chunks / MESSAGES_PER_REPLICA)))
    counted = _operations(load, replicas, hosting)
    stored_gb = _gb(load.trials * BYTES_PER_TRIAL)
    telemetry_gb = _gb(_telemetry_bytes(load, replicas))
    seconds = None if load.hours is None else ceil(replicas * load.hours * 3600)
    operations_usd = counted.cost(prices, hosting.redundancy)
    storage_usd = stored_gb * prices.storage[hosting.redundancy].gb_month
    telemetry_usd = telemetry_gb * prices.log_gb
    return InfrastructureCost(
        trials=load.trials,
        chunks=load.chunks,
        hours=load.hours,
        replicas=replicas,
        checkpoint_writes=counted.checkpoints,
        writes=counted.writes,
        reads=counted.reads,
        listings=counted.listings,
        queue_operations=counted.queue,
        stored_gb=float(stored_gb),
        telemetry_gb=float(telemetry_gb),
        replica_seconds=seconds,
        operations_usd=_rounded(operations_usd),
        storage_month_usd=_rounded(storage_usd),
        telemetry_usd=_rounded(telemetry_usd),
        usd_without_compute=_rounded(operations_usd + storage_usd + telemetry_usd),
        compute_usd=None if seconds is None else _rounded(seconds * _replica_second(prices, prices.vcpu_second)),
    )


def appends_per_trial(load: Load, claimed: int, checkpoint_seconds: float) -> float:
    """Appends to checkpoints for each trial, as trials that end within `checkpoint_seconds` of a chunk share one.

    Trials of a chunk are taken to end at random times at an even rate: the first one waits, and the expected number of
    others that come meanwhile is rate x seconds. Without a known time each has its own.
    This is more than was measured: 0.74 against 0.52 in the slow run above, 0.13 against 0.01 in the third.
    """
    if not load.hours:
        return 1.0
    per_second = load.trials / (load.hours * 3600) / claimed
    return 1 / (1 + per_second * checkpoint_seconds)


def idle_month(prices: AzurePrices) -> IdleCost:
    """A month of `minReplicas` 1 and no run."""
    seconds = HOURS_PER_MONTH * 3600
    compute = seconds * _replica_second(prices, prices.vcpu_second)
    polls = HOURS_PER_MONTH * POLLS_PER_REPLICA_HOUR * prices.queue_operation / _PER
    telemetry = _gb(HOURS_PER_MONTH * TELEMETRY_BYTES_PER_REPLICA_HOUR) * prices.log_gb
    registry = prices.registry_day * DAYS_PER_MONTH
    return IdleCost(
        compute_usd=_rounded(compute),
        compute_if_idle_usd=_rounded(seconds * _replica_second(prices, prices.idle_vcpu_second)),
        queue_polls_usd=_rounded(polls),
        telemetry_usd=_rounded(telemetry),
        registry_usd=_rounded(registry),
        total_usd=_rounded(compute + polls + telemetry + registry),
    )


def _load(made: Estimate, plan: Plan, suite: Suite, trials: int) -> Load:
    """The load of the same suite with so many trials: more rows, in messages of the size that a plan would choose."""
    share = trials / max(1, made.total.trials)
    rows = ceil(plan.rows * share)
    rounds = len(plan.rounds) + len(plan.judging_rounds)
    return Load(
        trials=trials,
        requests=ceil(made.total.requests * share),
        chunks=ceil(rows / rows_per_message(suite, rows)) * rounds,
        hours=None if made.seconds is None else made.seconds * share / 3600,
        is_limited=any(one.seconds is not None for one in made.deployments),
    )


def _operations(load: Load, replicas: int, hosting: Hosting) -> Operations:
    hours, chunks = load.hours or 0.0, load.chunks
    claimed = min(chunks, replicas * MESSAGES_PER_REPLICA)
    appends = load.trials * appends_per_trial(load, claimed, hosting.checkpoint_seconds)
    # The last trial of a chunk is never appended: it comes with all others in the chunk's outcomes.
    checkpoints = min(ceil(appends), max(0, load.trials - chunks))
    blocks = load.trials * BYTES_PER_TRIAL / BLOCK_BYTES
    others = chunks * WRITES_PER_CHUNK + hours * WRITES_PER_HOUR + _limiter_operations(load, hours) + blocks
    return Operations(
        checkpoints=checkpoints,
        writes=checkpoints + ceil(others),
        reads=ceil(chunks * READS_PER_CHUNK + replicas * hours * READS_PER_REPLICA_HOUR + blocks),
        listings=ceil(max(1, hours * LOOKS_PER_HOUR)) * ceil(chunks / BLOBS_PER_LISTING),
        queue=ceil(chunks * QUEUE_OPERATIONS_PER_CHUNK + replicas * hours * POLLS_PER_REPLICA_HOUR),
    )


def _telemetry_bytes(load: Load, replicas: int) -> float:
    of_replicas = replicas * (load.hours or 0.0) * TELEMETRY_BYTES_PER_REPLICA_HOUR
    return load.trials * TELEMETRY_BYTES_PER_TRIAL + load.chunks * TELEMETRY_BYTES_PER_CHUNK + of_replicas


def _limiter_operations(load: Load, hours: float) -> float:
    """Taken to be writes, which cost most."""
    return max(load.requests * LIMITER_PER_REQUEST, hours * LIMITER_PER_HOUR) if load.is_limited else 0.0


def _replica_second(prices: AzurePrices, vcpu_second: Decimal) -> Decimal:
    return VCPU_PER_REPLICA * vcpu_second + GIB_PER_REPLICA * prices.gib_second


def _gb(count: float) -> Decimal:
    return Decimal(count) / _GB


def _rounded(usd: Decimal) -> Decimal:
    return usd.quantize(_CENT_OF_A_CENT)
