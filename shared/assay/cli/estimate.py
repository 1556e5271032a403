"""`assay estimate`: what a run would take, before any money is spent."""

from collections.abc import Sequence
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.amounts import exact_usd, usd
from assay.cli.datasets import only_dataset, planned_locally
from assay.cli.infrastructure import SIZES, print_infrastructure
from assay.cli.opened import opened
from assay.cli.shown import JsonFlag, print_json, print_table, progress_console
from assay.cli.suites import ProfileOption, SuiteArgument, folder_of
from assay.errors import EXIT_USER, SuiteError, UserError
from assay.llm.pricing import PriceTable, load_prices
from assay.orchestration.budgets import Terms, budget_fault, price_fault, terms_of
from assay.planning.azure_prices import Redundancy, load_azure_prices
from assay.planning.estimate import (
    MAX_RENDERED_ROWS,
    Assumptions,
    Demand,
    DeploymentPrice,
    DeploymentTime,
    Estimate,
    estimate_run,
    quota_complaints,
)
from assay.planning.infrastructure import MAX_REPLICAS, Hosting, Infrastructure, estimate_infrastructure
from assay.registry import did_you_mean
from assay.settings import Settings
from assay.storage.bundle_names import SUITE_FILE
from assay.suite.loading import SuiteSource
from assay.suite.models import Suite

if TYPE_CHECKING:
    from assay.planning.detectable import Detectability

COLUMNS = ("experiment", "trials", "requests", "prompt tokens", "charged tokens", "likely USD", "highest USD")
UNKNOWN = "-"

FileArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A dataset; may be left out when one lies beside the suite",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
RowsOption = Annotated[
    int | None,
    typer.Option(
        "--rows",
        min=1,
        help=f"Render the first N rows only and scale up (default: all, at most {MAX_RENDERED_ROWS:,})",
        show_default=False,
    ),
]
AnswerTokensOption = Annotated[
    int | None,
    typer.Option(
        "--answer-tokens", min=0, help="Tokens of a likely answer (default: half of max_tokens)", show_default=False
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="DEPLOYMENT=MODEL",
        help="The model behind a deployment, for its price; may be repeated (default: the deployment's name)",
        show_default=False,
    ),
]
DetectOption = Annotated[
    float | None,
    typer.Option(
        "--detect",
        metavar="DIFFERENCE",
        help="Say how many rows it takes to find this difference of the primary score: 0.05 is 5 points of a pass "
        "rate; of other scores, standard deviations",
        show_default=False,
    ),
]
InfraOption = Annotated[
    bool, typer.Option("--infra", help="Say what Azure would ask for storage, compute and telemetry, too")
]
ReplicasOption = Annotated[
    int, typer.Option("--replicas", min=1, help="With --infra: the most replicas, maxReplicas of the template")
]
RedundancyOption = Annotated[
    Redundancy, typer.Option("--redundancy", help="With --infra: how storage is kept; storageSku of the template")
]


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command()(estimate)


def estimate(
    suite: SuiteArgument,
    file: FileArgument = None,
    rows: RowsOption = None,
    answer_tokens: AnswerTokensOption = None,
    model: ModelOption = None,
    detect: DetectOption = None,
    infra: InfraOption = False,
    replicas: ReplicasOption = MAX_REPLICAS,
    redundancy: RedundancyOption = "ZRS",
    profile: ProfileOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Say what a run would take and what it could find. Asks no model. Exit code 2 when it could not run."""
    if detect is not None and not 0 < detect < inf:
        raise UserError(f"--detect {detect:g}: expected a number above 0, such as 0.05")
    folder = folder_of(suite)
    resolved = opened(folder, profile)
    written, text = resolved.suite, resolved.source
    settings = Settings.load()
    checked = written.model_copy(update={"quota": {**settings.quota, **written.quota}})
    models = _models(model or [], checked)
    assumed = Assumptions(models, answer_tokens, rows or MAX_RENDERED_ROWS)
    name = str(folder / SUITE_FILE)
    prices = load_prices(settings.prices_file)
    hosting = Hosting(replicas, redundancy, settings.checkpoint_seconds) if infra else None
    made, found, azure = _estimated(checked, text, name, file or only_dataset(folder), prices, assumed, detect, hosting)
    terms = terms_of(checked)
    refusals = _refusals(made, checked, prices, terms)
    complaints = [*quota_complaints(made, checked, text, name), *refusals]
    if as_json:
        said = {"ok": not complaints, "problems": complaints, "budget": _budget(terms), "would_start": not refusals}
        print_json(said | _as_json(made, found, azure))
        raise typer.Exit(EXIT_USER if complaints else 0)
    _print(made, assumed, terms)
    _print_detectable(found)
    if azure is not None and hosting is not None:
        print_infrastructure(azure, hosting)
    if complaints:
        raise SuiteError("\n".join(complaints))


def _as_json(made: Estimate, found: "Detectability | None", azure: Infrastructure | None) -> dict[str, object]:
    power = None if found is None else found.model_dump(mode="json")
    added = {} if azure is None else {"infrastructure": azure.model_dump(mode="json")}
    return {**made.model_dump(mode="json"), "detectable": power, **added}


def _print_detectable(found: "Detectability | None") -> None:
    if found is not None:
        from assay.cli.detectable import print_detectable

        print_detectable(found)


def _budget(terms: Terms | None) -> dict[str, str] | None:
    return None if terms is None else {"budget_usd": exact_usd(terms.limit_usd), "budget": terms.mode}


def _refusals(made: Estimate, suite: Suite, prices: PriceTable, terms: Terms | None) -> list[str]:
    """Why a run would be refused because of its budget."""
    if terms is None:
        return []
    faults = (price_fault(suite, prices, terms), budget_fault(made, terms))
    return [f"A run would be refused: {fault}." for fault in faults if fault]


def _estimated(
    suite: Suite,
    text: SuiteSource,
    written: str,
    file: Path,
    prices: PriceTable,
    assumed: Assumptions,
    detect: float | None,
    hosting: Hosting | None,
) -> "tuple[Estimate, Detectability | None, Infrastructure | None]":
    from assay.planning.detectable import detectable_differences  # needs SciPy, which takes a second to import

    with (
        progress_console().status(f"Reading {file.name}"),
        planned_locally(suite, text, written, file) as planned,
    ):
        made = estimate_run(suite, planned, file.name, prices, assumed)
        azure = None
        if hosting:
            azure = estimate_infrastructure(made, planned.plan, suite, load_azure_prices(), hosting, SIZES)
        return made, detectable_differences(suite, planned, detect), azure


def _models(written: Sequence[str], suite: Suite) -> dict[str, str]:
    """The models of `--model`. Raises UserError for one that no experiment could use."""
    deployments = list(dict.fromkeys(model.deployment for model in suite.models))
    models: dict[str, str] = {}
    for one in written:
        deployment, _, model = (part.strip() for part in one.partition("="))
        if not model:
            raise UserError(f"--model {one}: expected DEPLOYMENT=MODEL, such as {deployments[0]}=gpt-5.4-mini")
        if deployment not in deployments:
            hint = did_you_mean(deployment, deployments)
            raise UserError(
                f"--model {one}: no experiment asks '{deployment}'{hint}. Deployments: {', '.join(deployments)}"
            )
        models[deployment] = model
    return models


def _print(made: Estimate, assumed: Assumptions, terms: Terms | None) -> None:
    typer.echo(f"Suite '{made.suite}' on {made.dataset}: {_rows_sentence(made)}")
    if made.first_bad_rows:
        print_table(("line", "set aside because"), [(one.line, one.reason) for one in made.first_bad_rows])
    typer.echo("")
    lines = [_line(one.experiment, one) for one in (*made.experiments, *made.judges)]
    print_table(COLUMNS, [*lines, _line("all", made.total)])
    _print_prompt_errors(made)
    _print_section("Cost", _cost_sentences(made, assumed))
    if terms:
        _print_section("Budget", [_budget_sentence(made, terms)])
    _print_section("Time", _time_sentences(made))


def _print_prompt_errors(made: Estimate) -> None:
    failing = [one for one in (*made.experiments, *made.judges) if one.unrendered_trials]
    if failing:
        typer.echo("")
        columns = ("experiment", "trials that will fail", "first prompt error")
        print_table(
            columns, [(one.experiment, f"{one.unrendered_trials:,}", one.first_prompt_error) for one in failing]
        )


def _print_section(title: str, sentences: Sequence[str]) -> None:
    typer.echo("")
    for index, sentence in enumerate(sentences):
        typer.echo(f"{title}: {sentence}" if index == 0 else f"{'':{len(title)}}  {sentence}")


def _rows_sentence(made: Estimate) -> str:
    counted = f"{_count(made.rows, 'good row')}, {made.bad_rows:,} bad."
    if made.rendered_rows == made.rows:
        return counted
    return f"{counted} Estimated from the first {_count(made.rendered_rows, 'good row')} and scaled up."


def _line(name: str, demand: Demand) -> tuple[str, ...]:
    counts = (demand.trials, demand.requests, demand.prompt_tokens, demand.charged_tokens)
    return (name, *(f"{one:,}" for one in counts), _usd(demand.likely_cost_usd), _usd(demand.highest_cost_usd))


def _cost_sentences(made: Estimate, assumed: Assumptions) -> list[str]:
    likely = "half of max_tokens" if assumed.answer_tokens is None else _count(assumed.answer_tokens, "token")
    return [
        f"Highest if every answer takes all of max_tokens, likely with answers of {likely}; without retries.",
        *([_program_sentence(made)] if made.programs else []),
        *(_price_sentence(one, made) for one in made.prices),
        _lanes_sentence(made),
        "A token is taken to be four characters, as the quota counts it; text that is not English may have more.",
    ]


def _program_sentence(made: Estimate) -> str:
    named = ", ".join(f"'{one}'" for one in made.programs)
    return (
        f"Not estimated: {named}, by a program, whose calls nobody knows before the run. Assumed is one call a row, "
        "with the row as prompt and an answer as above; it may be none, or up to limits.calls_per_trial."
    )


def _lanes_sentence(made: Estimate) -> str:
    batch = made.total.batch_cost_usd
    lane = "has no price for all of these models" if batch is None else f"would likely ask {_usd(batch)} USD"
    return f"Standard lane: likely {_usd(made.total.likely_cost_usd)} USD. The service's batch lane {lane}."


def _budget_sentence(made: Estimate, terms: Terms) -> str:
    limit, likely = _usd(terms.limit_usd), made.total.likely_cost_usd
    if not terms.is_enforced:
        return f"{limit} USD, soft: it warns, and never stops a run."
    if likely is None or likely > terms.limit_usd:
        return f"{limit} USD, enforced: a run would not start."
    highest = made.total.highest_cost_usd
    enough = highest is not None and highest <= terms.limit_usd and not made.programs
    rest = "whatever the answers are" if enough else "and stop when it is used up"
    return f"{limit} USD, enforced: a run would start, {rest}."


def _price_sentence(price: DeploymentPrice, made: Estimate) -> str:
    if price.listed_as is None:
        return (
            f"There is no list price of a model '{price.model}', so the cost of '{price.deployment}' is unknown; "
            f"say which model it runs: model.priced_as in the suite, or --model {price.deployment}=MODEL"
        )
    return (
        f"'{price.deployment}' is taken to run {price.listed_as}: {price.input_usd_per_million_tokens} USD per million "
        f"prompt tokens, {price.output_usd_per_million_tokens} USD per million answer tokens, "
        f"list price of {made.prices_as_of}."
    )


def _whole_sentences(seconds: float | None) -> list[str]:
    if seconds is None:
        return []
    return ["Less than 1 s at the quota." if seconds < 1 else f"At least {_duration(seconds)} at the quota."]


def _time_sentences(made: Estimate) -> list[str]:
    return [
        *_whole_sentences(made.seconds),
        *(sentence for one in made.deployments for sentence in _deployment_sentences(one)),
    ]


def _deployment_sentences(one: DeploymentTime) -> list[str]:
    name = "', '".join((one.deployment, *one.spread))
    if one.seconds_for_requests is None or one.seconds_for_tokens is None:
        return [f"Neither the suite nor ASSAY_QUOTA gives '{name}' a quota, so its time depends on the service alone."]
    for_requests, for_tokens = _duration(one.seconds_for_requests), _duration(one.seconds_for_tokens)
    if one.bottleneck == "requests":
        return [_bottleneck_sentence("Requests", name, for_requests, f"tokens would need {for_tokens}")]
    said = _bottleneck_sentence("Tokens", name, for_tokens, f"requests would need {for_requests}")
    saved = one.seconds_saved_by_half_max_tokens
    if not saved:
        return [said]
    return [
        said,
        f"Half of max_tokens would save {_duration(saved)}, if the answers fit: the quota is charged all of it.",
    ]


def _bottleneck_sentence(axis: str, deployment: str, time: str, other: str) -> str:
    return f"{axis} per minute are the bottleneck of '{deployment}': {time}; {other}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _usd(cost: Decimal | None) -> str:
    return UNKNOWN if cost is None else usd(cost)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
