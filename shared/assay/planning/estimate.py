"""What a run would take, before anything is spent: trials, tokens, cost, and the time that the quota allows.

Called by `assay estimate` with a plan made as a run makes it; asks no model and touches no storage.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Literal

from assay.llm.pricing import PriceTable
from assay.model_settings import QuotaSettings
from assay.planning.judges.estimate import JudgeSamples, judge_samples
from assay.planning.plan import Planned
from assay.planning.programs import AssumedCall
from assay.planning.prompts import compile_prompts
from assay.planning.rendered import LargestRequest, Sample, Scale
from assay.records import NO_COST, BadRow, Record, Row, Usage
from assay.storage.bundle_names import SUITE_FILE
from assay.suite.loading import SuiteSource, source_map
from assay.suite.models import Experiment, ModelSettings, Suite

MAX_RENDERED_ROWS = 200_000
KEPT_BAD_ROWS = 3

_SECONDS_PER_MINUTE = 60


@dataclass(frozen=True)
class Assumptions:
    """What an estimate takes for granted.

    `models` says which model stands behind a deployment, before the suite does. Without `answer_tokens` a likely answer
    has half of `max_tokens`. The first `rendered_rows` rows speak for all.
    """

    models: Mapping[str, str] = field(default_factory=dict)
    answer_tokens: int | None = None
    rendered_rows: int = MAX_RENDERED_ROWS

    def answer_tokens_of(self, experiment: Experiment) -> int:
        """Tokens of a likely answer; never more than `max_tokens`."""
        max_tokens = experiment.model.max_tokens
        return -(-max_tokens // 2) if self.answer_tokens is None else min(self.answer_tokens, max_tokens)


class Demand(Record):
    """What one experiment or a whole run asks for, without retries. A cost is None when a price is unknown.

    The quota is charged the prompt and all of `max_tokens` for each request. `batch_cost_usd` is what the likely
    answers would cost in the service's batch lane.
    """

    trials: int
    requests: int
    prompt_tokens: int
    charged_tokens: int
    likely_cost_usd: Decimal | None
    highest_cost_usd: Decimal | None
    batch_cost_usd: Decimal | None


class ExperimentEstimate(Demand):
    """What one experiment asks for. `requests_above_quota` can never be sent; they are counted in rendered rows only.

    `unrendered_trials` end as failed, because a prompt cannot be rendered for their row. What a `program` asks is not
    known: one call a row is counted, with the row as its prompt.
    """

    experiment: str
    deployment: str
    max_tokens: int
    likely_answer_tokens: int
    unrendered_trials: int
    first_prompt_error: str | None
    largest_request: LargestRequest | None
    requests_above_quota: int
    program: str | None = None


class DeploymentPrice(Record):
    """The price a deployment is taken to have, and under which name the price table has it; None when it has none."""

    deployment: str
    model: str
    listed_as: str | None
    input_usd_per_million_tokens: Decimal | None
    output_usd_per_million_tokens: Decimal | None


class DeploymentTime(Record):
    """How long a deployment and those it is `spread` over need at their quotas together; None when one has none.

    `seconds_saved_by_half_max_tokens` is None unless tokens are the bottleneck.
    """

    deployment: str
    spread: tuple[str, ...] = ()
    requests: int
    charged_tokens: int
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    seconds_for_requests: float | None = None
    seconds_for_tokens: float | None = None
    seconds: float | None = None
    bottleneck: Literal["requests", "tokens"] | None = None
    seconds_saved_by_half_max_tokens: float | None = None


class Estimate(Record):
    """What a run would take; each judge is one more experiment, named `judge NAME`.

    `seconds` is the longest of the deployments with a quota, which run side by side.
    """

    suite: str
    dataset: str
    rows: int
    bad_rows: int
    first_bad_rows: tuple[BadRow, ...]
    rendered_rows: int
    experiments: tuple[ExperimentEstimate, ...]
    judges: tuple[ExperimentEstimate, ...] = ()
    total: Demand
    prices: tuple[DeploymentPrice, ...]
    prices_as_of: date
    prices_source: str
    deployments: tuple[DeploymentTime, ...]
    seconds: float | None

    @property
    def programs(self) -> tuple[str, ...]:
        """The experiments that are programs, whose calls nobody knows."""
        return tuple(one.experiment for one in self.experiments if one.program)


def estimate_run(
    suite: Suite, planned: Planned, dataset: str, prices: PriceTable, assumptions: Assumptions | None = None
) -> Estimate:
    """What a run of `suite` on a planned dataset would take; experiments with the baseline first.

    Counts are exact when all rows are rendered; else they are scaled up from the first ones, and rounded up.
    """
    assumed = assumptions or Assumptions()
    samples = [_sample(one, suite) for one in suite.ordered]
    judging = judge_samples(suite, assumed.answer_tokens_of)
    every = [*samples, *(sample for of_judge in judging for sample, _ in of_judge.by_judgement)]
    rendered = 0
    for row in islice(_rows(planned.rows), assumed.rendered_rows):
        rendered += 1
        for sample in every:
            sample.add(row)
    rows = planned.plan.rows
    experiments = [
        _experiment_estimate(one, Scale(rows * one.experiment.repeats, rendered), prices, assumed) for one in samples
    ]
    judges = [_judge_estimate(one, rows, rendered, prices, assumed) for one in judging]
    times = _times(suite, [*experiments, *judges])
    return Estimate(
        suite=suite.name,
        dataset=dataset,
        rows=planned.plan.rows,
        bad_rows=planned.plan.bad_rows,
        first_bad_rows=_first_bad_rows(planned.bad_rows),
        rendered_rows=rendered,
        experiments=tuple(experiments),
        judges=tuple(judges),
        total=_total([*experiments, *judges]),
        prices=_prices(suite, prices, assumed),
        prices_as_of=prices.as_of,
        prices_source=prices.source,
        deployments=times,
        seconds=max((one.seconds for one in times if one.seconds is not None), default=None),
    )


def _sample(experiment: Experiment, suite: Suite) -> Sample:
    if experiment.program:
        return Sample(experiment, (AssumedCall(),), {})
    return Sample(experiment, compile_prompts(experiment, suite.templates), suite.quota)


def unpriced_deployments(suite: Suite, prices: PriceTable) -> list[str]:
    """The deployments that a run may ask and whose price nobody can say before their answers come."""
    asked = {(name, model.priced_as_of(name)) for model in suite.models for name in model.deployments}
    return sorted({name for name, model in asked if prices.price(model) is None})


def quota_complaints(estimate: Estimate, suite: Suite, text: SuiteSource, file: str = SUITE_FILE) -> list[str]:
    """A complaint as `file:line: ...` for each experiment with a request that its deployment's quota can never grant.

    `text` is the suite's, as `file` holds it; the line is that of the quota.
    """
    found = []
    models = _models(suite)
    for one in (*estimate.experiments, *estimate.judges):
        if one.requests_above_quota and one.largest_request:
            names = models[one.experiment].deployments
            largest = max(names, key=lambda name: suite.quota[name].tokens_per_minute)
            complaint = _too_large(one, one.largest_request, largest, suite.quota[largest], estimate.dataset)
            found.append((("quota", largest, "tokens_per_minute"), complaint))
    return source_map(text, file).listed(found)


def _rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        yield from map(Row.model_validate_json, lines)


def _first_bad_rows(path: Path) -> tuple[BadRow, ...]:
    with path.open("rb") as lines:
        return tuple(map(BadRow.model_validate_json, islice(lines, KEPT_BAD_ROWS)))


def _experiment_estimate(sample: Sample, scale: Scale, prices: PriceTable, assumed: Assumptions) -> ExperimentEstimate:
    model = sample.experiment.model
    requests, prompt_tokens = scale.up(sample.requests), scale.up(sample.prompt_tokens)
    answer_tokens = assumed.answer_tokens_of(sample.experiment)
    price = prices.price(_model_behind(model.deployment, model, assumed))

    def usage(tokens_per_answer: int, more_tokens: int = 0) -> Usage:
        return Usage(input_tokens=prompt_tokens + requests * more_tokens, output_tokens=requests * tokens_per_answer)

    return ExperimentEstimate(
        experiment=sample.experiment.name,
        program=sample.experiment.program,
        deployment=model.deployment,
        max_tokens=model.max_tokens,
        likely_answer_tokens=answer_tokens,
        trials=scale.rows,
        requests=requests,
        prompt_tokens=prompt_tokens,
        charged_tokens=prompt_tokens + requests * model.max_tokens,
        likely_cost_usd=price.of(usage(answer_tokens)) if price else None,
        highest_cost_usd=price.of(usage(model.max_tokens, sample.more_tokens)) if price else None,
        batch_cost_usd=price.batch_of(usage(answer_tokens)) if price else None,
        unrendered_trials=scale.up(sample.unrendered),
        first_prompt_error=sample.first_error,
        largest_request=sample.largest,
        requests_above_quota=sample.above_quota,
    )


def _judge_estimate(
    samples: JudgeSamples, rows: int, rendered: int, prices: PriceTable, assumed: Assumptions
) -> ExperimentEstimate:
    """One line for all that a judge judges."""
    judged = [
        _experiment_estimate(sample, Scale(rows * repeats, rendered), prices, assumed)
        for sample, repeats in samples.by_judgement
    ]
    largest = [one.largest_request for one in judged if one.largest_request]
    said = {
        "experiment": _judge_name(samples.judge.name),
        "unrendered_trials": sum(one.unrendered_trials for one in judged),
        "first_prompt_error": next((one.first_prompt_error for one in judged if one.first_prompt_error), None),
        "largest_request": max(largest, key=lambda one: one.charged_tokens, default=None),
        "requests_above_quota": sum(one.requests_above_quota for one in judged),
    }
    return judged[0].model_copy(update={**dict(_total(judged)), **said})


def _total(experiments: Sequence[ExperimentEstimate]) -> Demand:
    return Demand(
        trials=sum(one.trials for one in experiments),
        requests=sum(one.requests for one in experiments),
        prompt_tokens=sum(one.prompt_tokens for one in experiments),
        charged_tokens=sum(one.charged_tokens for one in experiments),
        likely_cost_usd=_sum_if_known(one.likely_cost_usd for one in experiments),
        highest_cost_usd=_sum_if_known(one.highest_cost_usd for one in experiments),
        batch_cost_usd=_sum_if_known(one.batch_cost_usd for one in experiments),
    )


def _sum_if_known(costs: Iterable[Decimal | None]) -> Decimal | None:
    total = NO_COST
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


def _model_behind(deployment: str, model: ModelSettings, assumed: Assumptions) -> str:
    return assumed.models.get(deployment) or model.priced_as_of(deployment)


def _models(suite: Suite) -> dict[str, ModelSettings]:
    """By the names that estimates have."""
    asked = {one.name: one.model for one in suite.ordered}
    return asked | {_judge_name(judge.score): judge.model for judge in suite.judges}


def _judge_name(score: str) -> str:
    return f"judge {score}"


def _prices(suite: Suite, prices: PriceTable, assumed: Assumptions) -> tuple[DeploymentPrice, ...]:
    """One for each deployment that is asked first, in the order of the experiments, then the judges."""
    models = {one.deployment: _model_behind(one.deployment, one, assumed) for one in _models(suite).values()}
    return tuple(_price(deployment, model, prices) for deployment, model in models.items())


def _price(deployment: str, model: str, prices: PriceTable) -> DeploymentPrice:
    price = prices.price(model)
    return DeploymentPrice(
        deployment=deployment,
        model=model,
        listed_as=prices.listed_as(model),
        input_usd_per_million_tokens=price.input if price else None,
        output_usd_per_million_tokens=price.output if price else None,
    )


def _times(suite: Suite, experiments: Sequence[ExperimentEstimate]) -> tuple[DeploymentTime, ...]:
    """One for each group of deployments that share work; deployments for emergencies are not counted in."""
    groups: list[tuple[dict[str, None], list[ExperimentEstimate]]] = []
    models = _models(suite)
    for one in experiments:
        model = models[one.experiment]
        names, asking = dict.fromkeys((model.deployment, *model.spread)), [one]
        for group in [group for group in groups if group[0].keys() & names.keys()]:
            groups.remove(group)
            names, asking = {**group[0], **names}, [*group[1], *asking]
        groups.append((names, asking))
    return tuple(_time(list(names), asking, suite.quota) for names, asking in groups)


def _time(
    names: Sequence[str], asking: Sequence[ExperimentEstimate], quotas: Mapping[str, QuotaSettings]
) -> DeploymentTime:
    requests = sum(one.requests for one in asking)
    charged = sum(one.charged_tokens for one in asking)
    granted = [quotas[name] for name in names if name in quotas]
    deployment, *spread = names
    if len(granted) < len(names):
        return DeploymentTime(deployment=deployment, spread=tuple(spread), requests=requests, charged_tokens=charged)
    requests_per_minute = sum(one.requests_per_minute for one in granted)
    tokens_per_minute = sum(one.tokens_per_minute for one in granted)
    for_requests = _SECONDS_PER_MINUTE * requests / requests_per_minute
    for_tokens = _SECONDS_PER_MINUTE * charged / tokens_per_minute
    tokens_bind = for_tokens > for_requests
    for_fewer_tokens = _SECONDS_PER_MINUTE * (charged - _half_of_answers(asking)) / tokens_per_minute
    return DeploymentTime(
        deployment=deployment,
        spread=tuple(spread),
        requests=requests,
        charged_tokens=charged,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        seconds_for_requests=for_requests,
        seconds_for_tokens=for_tokens,
        seconds=max(for_requests, for_tokens),
        bottleneck="tokens" if tokens_bind else "requests",
        seconds_saved_by_half_max_tokens=for_tokens - max(for_requests, for_fewer_tokens) if tokens_bind else None,
    )


def _half_of_answers(asking: Sequence[ExperimentEstimate]) -> int:
    """Tokens that would not be charged with half of `max_tokens`, rounded up."""
    return sum(one.requests * (one.max_tokens // 2) for one in asking)


def _too_large(
    one: ExperimentEstimate, largest: LargestRequest, deployment: str, quota: QuotaSettings, dataset: str
) -> str:
    prompt_tokens = largest.charged_tokens - one.max_tokens
    number = f"{one.requests_above_quota:,} requests" if one.requests_above_quota > 1 else "1 request"
    return (
        f"experiment '{one.experiment}' has {number} that can never be sent: the largest, criterion "
        f"'{largest.criterion}' for {dataset}:{largest.line}, is charged {largest.charged_tokens:,} tokens "
        f"({prompt_tokens:,} of the prompt, {one.max_tokens:,} of max_tokens), and '{deployment}' grants "
        f"{quota.tokens_per_minute:,} per minute. Lower max_tokens, shorten the prompt, or raise the quota."
    )
