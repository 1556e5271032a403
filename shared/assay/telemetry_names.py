"""Every name under which telemetry leaves a process: spans, metrics, events, and what they carry.

Exporters, docs/telemetry.md, the workbook and the alerts are held to these tables by tests. Names of model calls are
those of OpenTelemetry's GenAI conventions (v1.41), which are still in development.
"""

from dataclasses import dataclass
from typing import Literal

SpanKind = Literal["internal", "client", "consumer", "server"]
MetricKind = Literal["counter", "histogram", "gauge"]
Level = Literal["event", "problem", "either"]

PREFIX = "assay."
"""Before the name of every field of an event, span or log record that no convention names."""

EVENT_NAME = "assay.event"
"""The attribute of a log record that has the event's name; the body has it too."""

RUN, SUITE, EXPERIMENT, CHUNK = "assay.run", "assay.suite", "assay.experiment", "assay.chunk"
STEP, ROW, REPEAT, OUTCOME, KIND = "assay.step", "assay.row", "assay.repeat", "assay.outcome", "assay.kind"
ROWS, DEPLOYMENT, AXIS, QUEUE = "assay.rows", "assay.deployment", "assay.axis", "assay.queue"
STAGE, TRIAL_COUNT = "assay.stage", "assay.trials_total"
REQUEST_ID, STATUS = "assay.request_id", "assay.status"
QUOTA_WAIT, RUN_TIME, COST = "assay.quota_wait_seconds", "assay.run_seconds", "assay.cost_usd"
SIGNAL, TOKEN_KIND = "assay.signal", "assay.token_kind"

OPERATION, PROVIDER = "gen_ai.operation.name", "gen_ai.provider.name"
REQUEST_MODEL, RESPONSE_MODEL = "gen_ai.request.model", "gen_ai.response.model"
MAX_TOKENS, TEMPERATURE, SEED = "gen_ai.request.max_tokens", "gen_ai.request.temperature", "gen_ai.request.seed"
REASONING_LEVEL = "gen_ai.request.reasoning.level"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
FINISH_REASONS, TOKEN_TYPE = "gen_ai.response.finish_reasons", "gen_ai.token.type"
SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE = "server.address", "server.port", "error.type"


@dataclass(frozen=True)
class SpanName:
    """A kind of span. `sampled` ones are kept for a share of the trials, and for those that fail.

    A span's full name goes on with the value of its attribute `named_by`.
    """

    name: str
    kind: SpanKind
    attributes: tuple[str, ...]
    meaning: str
    sampled: bool = False
    named_by: str | None = None


@dataclass(frozen=True)
class MetricName:
    """An instrument. `bounds` are the upper bounds of a histogram's buckets."""

    name: str
    kind: MetricKind
    unit: str
    attributes: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class EventName:
    """An event: INFO, or WARNING as a problem. Its fields are attributes with `PREFIX` before their names."""

    name: str
    level: Level
    fields: tuple[str, ...]
    meaning: str


RUN_SPAN = SpanName(
    "assay.run",
    "server",
    (RUN, SUITE, STAGE, TRIAL_COUNT, COST, ERROR_TYPE),
    "A run, from its file's admission to its end; its ids derive from the run's id.",
)
STEP_SPAN = SpanName(
    "assay.step", "internal", (RUN, STEP, ERROR_TYPE), "One step of the orchestrator: `assay.step plan`.", named_by=STEP
)
CHUNK_SPAN = SpanName(
    "assay.chunk",
    "consumer",
    (RUN, EXPERIMENT, CHUNK, ROWS, ERROR_TYPE),
    "One delivery of a chunk that a worker works on.",
)
TRIAL_SPAN = SpanName(
    "assay.trial",
    "internal",
    (RUN, EXPERIMENT, CHUNK, ROW, REPEAT, OUTCOME, KIND, QUOTA_WAIT, RUN_TIME, ERROR_TYPE),
    "One trial; `run_seconds` is its time without the wait for quota.",
    sampled=True,
)
CALL_SPAN = SpanName(
    "chat",
    "client",
    (
        *(OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, MAX_TOKENS, TEMPERATURE, REASONING_LEVEL, SEED),
        *(INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS, FINISH_REASONS, SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE),
        *(RUN, EXPERIMENT, CHUNK, DEPLOYMENT, REQUEST_ID, STATUS, QUOTA_WAIT),
    ),
    "One request to a model, from sending to its last byte; its name goes on with the deployment: `chat gpt-5.4-mini`.",
    sampled=True,
    named_by=REQUEST_MODEL,
)

SPANS = (RUN_SPAN, STEP_SPAN, CHUNK_SPAN, TRIAL_SPAN, CALL_SPAN)

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
LONG_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
TOKENS = tuple(float(4**power) for power in range(14))

TRIALS = MetricName(
    "assay.trials", "counter", "{trial}", (SUITE, OUTCOME, KIND), "Trials by outcome; `kind` says why one failed."
)
REQUESTS = MetricName(
    "assay.model.requests",
    "counter",
    "{request}",
    (DEPLOYMENT, STATUS, ERROR_TYPE),
    "Requests sent to models; status 200 has no `error.type`, and 0 is no answer at all.",
)
THROTTLED = MetricName(
    "assay.model.throttled", "counter", "{request}", (DEPLOYMENT, ERROR_TYPE), "Requests that were answered with 429."
)
CALL_DURATION = MetricName(
    "gen_ai.client.operation.duration",
    "histogram",
    "s",
    (OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, ERROR_TYPE),
    "How long requests to models took.",
    SECONDS,
)
TOKEN_USAGE = MetricName(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    (OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, TOKEN_TYPE),
    "Tokens of each answered request; type `input` or `output`.",
    TOKENS,
)
TOKEN_COUNT = MetricName(
    "assay.tokens",
    "counter",
    "{token}",
    (DEPLOYMENT, TOKEN_KIND),
    "Tokens billed: `input`, `cached` of them, `output`.",
)
COST_USD = MetricName("assay.cost", "counter", "USD", (SUITE, DEPLOYMENT), "What answers cost, where a price is known.")
WAIT_FOR_QUOTA = MetricName(
    "assay.quota.wait", "histogram", "s", (DEPLOYMENT,), "How long requests waited for leave to be sent.", SECONDS
)
QUOTA_USE = MetricName(
    "assay.quota.use",
    "gauge",
    "1",
    (DEPLOYMENT, AXIS),
    "What this worker charged in the last minute, as a part of the whole quota; the sum over workers counts.",
)
BUDGET_USE = MetricName(
    "assay.budget.use", "gauge", "1", (SUITE,), "The part of a run's budget that is spent, at every look at the run."
)
CHUNK_DURATION = MetricName(
    "assay.chunk.duration", "histogram", "s", (SUITE,), "How long chunks took that a worker finished.", LONG_SECONDS
)
QUEUE_AGE = MetricName(
    "assay.queue.age", "histogram", "s", (QUEUE,), "How old a message was when a worker took it.", LONG_SECONDS
)
POISON = MetricName(
    "assay.poison", "counter", "{message}", (QUEUE, KIND), "Messages that went to quarantine or the poison queue."
)
HEARTBEAT = MetricName(
    "assay.worker.trials", "gauge", "{trial}", (), "Trials under way in this worker, every 30 seconds while it works."
)
LOST = MetricName(
    "assay.telemetry.lost", "counter", "{record}", (SIGNAL,), "Spans and log records that could not be exported."
)

METRICS = (
    *(TRIALS, REQUESTS, THROTTLED, CALL_DURATION, TOKEN_USAGE, TOKEN_COUNT, COST_USD, WAIT_FOR_QUOTA, QUOTA_USE),
    *(BUDGET_USE, CHUNK_DURATION, QUEUE_AGE, POISON, HEARTBEAT, LOST),
)


def attribute(field: str) -> str:
    """The name of a field as an attribute: those of conventions have a dot and stay as they are."""
    return field if "." in field else PREFIX + field


def _event(name: str, fields: str, meaning: str) -> EventName:
    return EventName(name, "event", tuple(fields.split()), meaning)


def _problem(name: str, fields: str, meaning: str) -> EventName:
    return EventName(name, "problem", tuple(fields.split()), meaning)


def _either(name: str, fields: str, meaning: str) -> EventName:
    return EventName(name, "either", tuple(fields.split()), meaning)


EVENTS = (
    _event(
        "answer_limit",
        "experiment criterion max_tokens limit questions reruns rerun_share tokens_saved",
        "What the learned answer limits of a criterion saved.",
    ),
    _problem(
        "answer_unfiltered",
        "deployment request_id",
        "The service could not ask its content filter and let an answer through.",
    ),
    _event(
        "answers_repaired",
        "repairs failures",
        "How many answers were repaired to fit their schema, and how many could not be.",
    ),
    _problem("attempts_exhausted", "deployment attempts kind", "A question stays without an answer."),
    _problem("audit_failed", "record reason", "An audit record could not be written; its request did not go out."),
    _problem("blob_poison", "function blob", "Local host: a blob's every delivery failed."),
    _problem("blob_unreachable", "container blob error", "Local host: a container or blob could not be read."),
    _event("breaker_closed", "deployment", "A deployment answers again."),
    _problem("breaker_opened", "deployment kind", "A deployment keeps failing and is left alone for a while."),
    _problem("budget_exceeded", "run percent spent_usd", "A soft budget passed one of its marks."),
    _problem("budget_failed", "run reason", "What keeps the budget ended with an error."),
    _problem(
        "budget_not_given_back",
        "run reason",
        "Money that was drawn and not spent could not be given back; it counts as spent.",
    ),
    _problem("budget_unreachable", "run reason", "The budget's blob could not be changed; it is tried again."),
    _problem("cache_corrupt", "key reason", "A kept answer could not be read and was asked again."),
    _problem("cache_read_failed", "key reason", "The cache did not answer; the model was asked."),
    _event(
        "cache_used",
        "hits misses unread corrupt unwritten written_by_others",
        "What the cache of a run did in this process.",
    ),
    _problem("cache_write_failed", "key reason", "An answer could not be kept."),
    _event("chunk_done_already", "", "A second delivery of a chunk whose outcomes are there."),
    _event(
        "chunk_finished",
        "trials succeeded failed blocked skipped input_tokens output_tokens cost_usd cached reruns",
        "A chunk's outcomes are written, with its counts.",
    ),
    _event(
        "chunk_left",
        "rows",
        "Rows of a chunk that were not asked about: the run was stopped, or the turn was over.",
    ),
    _problem("chunk_poisoned", "rows", "A chunk whose every delivery failed ends as failed outcomes."),
    _event("chunk_put_back", "", "A chunk that somebody else holds, or that cannot be done yet, comes again."),
    _event("chunk_started", "rows from_checkpoint", "A worker begins with a chunk."),
    _event("chunk_waived", "rows", "A chunk of an experiment that early stop has settled."),
    _event("chunks_dispatched", "chunks", "Messages were put into the queue."),
    _problem("chunks_sent_again", "chunks", "A run stood still; what is not done was sent once more."),
    _event("drop_gone", "path", "An announced file is no longer there."),
    _event("drop_known", "run stage", "A file whose run is there already."),
    _event("drop_replaced", "path", "A file was replaced while it was read; its new content has its own run."),
    _either("durable_ended", "orchestrator instance status error", "Local host: an orchestration ended."),
    _problem(
        "durable_history_cut",
        "file lost_bytes",
        "Local host: the end of a history file was unreadable and cut off.",
    ),
    _event("durable_started", "orchestrator instance", "Local host: an orchestration began."),
    _problem("exhausted_hook_failed", "error", "The callable of ASSAY_ON_EXHAUSTED raised."),
    _event("experiment_settled", "run experiment rows", "Early stop settled an experiment."),
    _problem("failures_injected", "rate kinds seed", "ASSAY_INJECT_FAILURES is on."),
    _problem("file_quarantined", "path reason", "A dropped file was refused."),
    _problem("function_failed", "function invocation duration_ms error traceback", "Local host: a function raised."),
    _event("function_succeeded", "function invocation duration_ms", "Local host: a function returned."),
    _event("hint_lost", "run reason", "The orchestrator could not be woken; it looks by itself."),
    _event("history_purged", "instances", "Old orchestrations were purged."),
    _event("host_ready", "url workers", "Local host: it listens."),
    _event("host_stopped", "", "Local host: it ended."),
    _event("host_stopping", "drain_seconds", "Local host: it drains."),
    _problem("listener_failed", "listener traceback", "Local host: a listener ended with an error and is begun again."),
    _problem("message_quarantined", "reason", "A message that names no chunk or file was quarantined."),
    _problem("message_refused", "reason", "A message that fits no plan went to the poison queue."),
    _problem("middleware_end_failed", "middleware reason", "A link could not end what it began."),
    _event(
        "model_attempt_failed",
        "number deployment kind status request_id wait_seconds step",
        "One attempt at a model failed, and what follows.",
    ),
    _problem("program_left_running", "left", "A program's function hangs and was left behind."),
    _event("prompt_shielded", "attack row_id", "A prompt was blocked as an attack."),
    _problem("publishing_failed", "run sink reason", "A sink could not be served."),
    _problem("queue_message_lost", "queue id error", "Local host: a message's lease was lost."),
    _problem("queue_poison", "queue id dequeue_count", "Local host: a message went to its poison queue."),
    _problem("queue_renewal_failed", "queue id error", "Local host: a message's lease could not be renewed."),
    _problem("queue_undecodable", "queue id error", "Local host: a message could not be decoded."),
    _problem("queue_unreachable", "queue error", "Local host: a queue did not answer."),
    _event(
        "quota_announced",
        "deployment requests_per_minute tokens_per_minute",
        "The service announced lower limits, which are kept from now on.",
    ),
    _event(
        "quota_announced_above",
        "deployment requests_per_minute tokens_per_minute",
        "The service grants more than the suite says.",
    ),
    _problem("quota_crowded", "deployment partitions advice", "There are more workers than the quota feeds."),
    _problem("quota_leases_expired", "partitions", "Leases on parts of a quota ran out."),
    _problem("quota_release_failed", "deployment error", "A part of a quota could not be given back."),
    _problem("quota_round_failed", "error", "A round of sharing the quota failed."),
    _event("quota_share", "held partitions workers", "This worker's part of a quota changed."),
    _problem(
        "quota_suite_says_more",
        "deployment source requests_per_minute tokens_per_minute suite_requests_per_minute suite_tokens_per_minute",
        "A suite says that a deployment grants more than the number that counts.",
    ),
    _problem(
        "quota_throttled",
        "deployment gate_seconds requests_factor tokens_factor",
        "A 429 made the limiter slower.",
    ),
    _event("run_admitted", "run dataset bytes", "A dropped file became a run."),
    _event("run_evaluated", "run trials", "A run's results are there."),
    _problem("run_failed", "run reason", "A run failed."),
    _event("run_planned", "rows bad chunks", "A run's plan is there."),
    _event("run_published", "run sink location", "A sink has the bundle."),
    _event("run_resumed", "run", "A stopped run goes on."),
    _event("run_sealed", "run artifacts key", "A bundle is signed."),
    _problem("run_stopped", "run reason done", "A run asks nothing more until a person lets it go on."),
    _event(
        "run_watched",
        "run done total suite trials trials_total failed cost_usd budget_usd",
        "What has been done of a run, at every look.",
    ),
    _problem("shield_failed", "reason", "The prompt shield did not answer; its request did not go out."),
    _event("sink_busy", "sink status wait_seconds", "A sink asked to wait."),
    _problem("storage_silent", "reason", "Storage did not answer a health check."),
    _problem("telemetry_failed", "reason", "Spans, metrics and events of this process cannot be exported at all."),
    _event(
        "token_estimates",
        "deployment prompts bias sigma counted_in tokens_per_unit",
        "How well prompt tokens are estimated.",
    ),
    _problem("trial_slow", "row limit_seconds", "A trial takes longer than its limit, as something blocks."),
    _event("workbook_left_out", "run missing", "The bundle has no workbook, as a package is missing."),
    _event(
        "worker_alive",
        "worker chunks trials breakers",
        "The heartbeat of a worker that works on something, every 30 seconds.",
    ),
    _problem("worker_died", "worker exit_code restart_in_seconds", "Local host: a worker process ended."),
    _event("worker_ready", "pid", "Local host: a worker process listens."),
    _event("worker_started", "worker pid", "Local host: a worker process was started."),
)
"""Log records. Beside its fields, each has those in force where it happened: run, experiment and chunk."""

BOUND_FIELDS = ("run", "experiment", "chunk")
