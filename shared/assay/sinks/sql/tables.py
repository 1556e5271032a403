"""The tables of the SQL sink, for every database that SQLAlchemy knows, and the rows that a bundle gives them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Table,
    Unicode,
    UnicodeText,
)

from assay.records import Outcome
from assay.reporting.contents import ComparedScore, Contents, ExperimentResult
from assay.scoring.results import Metric
from assay.sinks.base import Bundle

# 400 characters fit every database's limit on the size of a key.
# Unicode is what SQL Server calls texts that hold every language; elsewhere it is a plain string.
_ID, _NAME, _ROW_ID = Unicode(80), Unicode(80), Unicode(400)
_MOMENT = DateTime(timezone=True).with_variant(TIMESTAMP(timezone=True), "oracle")
NO_BASELINE = "-"
"""A view may be without it. Oracle takes an empty text for none."""
_MONEY = Numeric(20, 10).with_variant(Double(), "sqlite")  # which has no decimal numbers


@dataclass(frozen=True)
class ResultTables:
    """Five tables; every one has the run first in its key, so that a run can be replaced whole."""

    metadata: MetaData
    runs: Table
    experiments: Table
    metrics: Table
    comparisons: Table
    outcomes: Table

    @property
    def dependent(self) -> tuple[Table, ...]:
        """All but the runs, whose line says that the others are whole."""
        return (self.experiments, self.metrics, self.comparisons, self.outcomes)


def result_tables(prefix: str, schema: str | None) -> ResultTables:
    """The tables under a prefix, in a schema or the default one."""
    metadata = MetaData(schema=schema)

    def table(name: str, keys: str, *columns: Column[Any]) -> Table:
        return Table(prefix + name, metadata, *columns, PrimaryKeyConstraint(*keys.split(), name=f"pk_{prefix}{name}"))

    return ResultTables(
        metadata,
        runs=table("runs", "run", *_runs_columns()),
        experiments=table("experiments", "run experiment", *_experiments_columns()),
        metrics=table("metrics", "run experiment score", *_metrics_columns()),
        comparisons=table("comparisons", "run variant score", *_comparisons_columns()),
        outcomes=table("outcomes", "run experiment row_number repeat_number", *_outcomes_columns()),
    )


def _runs_columns() -> tuple[Column[Any], ...]:
    """One line per run: what it was about and how it came out."""
    return (
        Column("run", _ID),
        Column("suite", _NAME, nullable=False),
        Column("created_at", _MOMENT, nullable=False),
        Column("dataset_file", Unicode(400), nullable=False),
        Column("dataset_sha256", String(64), nullable=False),
        Column("suite_sha256", String(64), nullable=False),
        Column("manifest_sha256", String(64), nullable=False),
        Column("row_count", Integer, nullable=False),
        Column("trials", Integer, nullable=False),
        Column("baseline", _NAME, nullable=False),
        Column("primary_score", _NAME),
        Column("headline", UnicodeText(), nullable=False),
        Column("cost_usd", _MONEY, nullable=False),
    )


def _experiments_columns() -> tuple[Column[Any], ...]:
    """How each experiment's trials ended, and what they took."""
    return (
        Column("run", _ID),
        Column("experiment", _NAME),
        Column("is_baseline", Boolean(create_constraint=False), nullable=False),
        Column("deployment", Unicode(120), nullable=False),
        Column("succeeded", Integer, nullable=False),
        Column("failed", Integer, nullable=False),
        Column("blocked", Integer, nullable=False),
        Column("skipped", Integer, nullable=False),
        Column("without_outcome", Integer, nullable=False),
        Column("input_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("cost_usd", _MONEY, nullable=False),
        Column("latency_p50_seconds", Double()),
        Column("latency_p95_seconds", Double()),
    )


def _metrics_columns() -> tuple[Column[Any], ...]:
    """Each score of each experiment, over all its trials."""
    return (
        Column("run", _ID),
        Column("experiment", _NAME),
        Column("score", _NAME),
        Column("kind", String(20), nullable=False),
        Column("n_trials", Integer, nullable=False),
        Column("n_scored", Integer, nullable=False),
        Column("mean", Double()),
        Column("interval_low", Double()),
        Column("interval_high", Double()),
        Column("standard_deviation", Double()),
    )


def _comparisons_columns() -> tuple[Column[Any], ...]:
    """Each variant against the baseline, on each score."""
    return (
        Column("run", _ID),
        Column("variant", _NAME),
        Column("score", _NAME),
        Column("is_primary", Boolean(create_constraint=False), nullable=False),
        Column("n_pairs", Integer, nullable=False),
        Column("difference", Double()),
        Column("interval_low", Double()),
        Column("interval_high", Double()),
        Column("test", String(40), nullable=False),
        Column("p_value", Double()),
        Column("p_adjusted", Double()),
        Column("verdict", String(40), nullable=False),
        Column("sentence", UnicodeText(), nullable=False),
    )


def _outcomes_columns() -> tuple[Column[Any], ...]:
    """Each trial; texts that differ by suite are JSON."""
    return (
        Column("run", _ID),
        Column("experiment", _NAME),
        Column("row_number", Integer, autoincrement=False),
        Column("repeat_number", Integer, autoincrement=False),
        Column("row_id", _ROW_ID, nullable=False),
        Column("status", String(20), nullable=False),
        Column("failure", String(60)),
        Column("answers", UnicodeText(), nullable=False),
        Column("scores", UnicodeText(), nullable=False),
        Column("input_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("cost_usd", _MONEY, nullable=False),
    )


def run_row(bundle: Bundle, contents: Contents) -> dict[str, Any]:
    facts = contents.run
    return {
        "run": bundle.run,
        "suite": facts.suite,
        "created_at": facts.created_at,
        "dataset_file": facts.dataset.file[:400],
        "dataset_sha256": facts.dataset.sha256,
        "suite_sha256": facts.suite_sha256,
        "manifest_sha256": bundle.manifest_sha256,
        "row_count": facts.rows,
        "trials": facts.trials,
        "baseline": contents.baseline or NO_BASELINE,
        "primary_score": contents.primary,
        "headline": contents.headline,
        "cost_usd": contents.cost_usd,
    }


def experiment_row(run: str, result: ExperimentResult) -> dict[str, Any]:
    return {
        "run": run,
        "experiment": result.name,
        "is_baseline": result.baseline,
        "deployment": result.deployment,
        **result.statuses.model_dump(),
        "input_tokens": result.usage.input_tokens,
        "output_tokens": result.usage.output_tokens,
        "cost_usd": result.cost_usd,
        "latency_p50_seconds": result.latency.p50_seconds if result.latency else None,
        "latency_p95_seconds": result.latency.p95_seconds if result.latency else None,
    }


def metric_row(run: str, experiment: str, score: str, metric: Metric) -> dict[str, Any]:
    return {
        "run": run,
        "experiment": experiment,
        "score": score,
        "kind": metric.kind,
        "n_trials": metric.n_trials,
        "n_scored": metric.n_scored,
        "mean": metric.mean,
        "interval_low": metric.interval.low,
        "interval_high": metric.interval.high,
        "standard_deviation": metric.standard_deviation,
    }


def comparison_row(run: str, compared: ComparedScore) -> dict[str, Any]:
    result = compared.result
    return {
        "run": run,
        "variant": compared.variant,
        "score": compared.score,
        "is_primary": compared.primary,
        "n_pairs": result.n_pairs,
        "difference": result.difference,
        "interval_low": result.interval.low,
        "interval_high": result.interval.high,
        "test": result.test,
        "p_value": result.p_value,
        "p_adjusted": result.p_adjusted,
        "verdict": result.verdict,
        "sentence": compared.sentence,
    }


def outcome_rows(bundle: Bundle, results: str) -> Iterator[dict[str, Any]]:
    """A row per line of the bundle's results."""
    with (bundle.folder / results).open("rb") as lines:
        for line in lines:
            fields = json.loads(line)
            del fields["rank"]
            yield _outcome_row(bundle.run, Outcome.model_validate(fields))


def _outcome_row(run: str, outcome: Outcome) -> dict[str, Any]:
    usage = outcome.usage
    return {
        "run": run,
        "experiment": outcome.experiment,
        "row_number": outcome.row_number,
        "repeat_number": outcome.repeat,
        "row_id": outcome.row_id[:400],
        "status": outcome.status.value,
        "failure": outcome.failure.kind if outcome.failure else None,
        "answers": _json({one.criterion: one.text for one in outcome.responses}),
        "scores": _json({one.name: one.value for one in outcome.scores}),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": outcome.cost_usd,
    }


def _json(fields: dict[str, Any]) -> str:
    """As text: not every database has a type for it. Databases take no NUL in texts, and JSON escapes it."""
    return json.dumps(fields, ensure_ascii=False, sort_keys=True)
