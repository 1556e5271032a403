"""Preflight: everything about a suite that can be found wrong before a model is asked."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from assay.errors import SuiteError, UserError
from assay.llm.schemas import schema_problem
from assay.middleware.chain import MIDDLEWARE
from assay.planning.complaints import Complaint, made_plugins
from assay.planning.judges.catalogue import judges_of
from assay.planning.judges.checking import judge_complaints, judged_uses
from assay.planning.making import made, made_aggregator, made_comparer
from assay.planning.plugin_checks import experiment_complaints, no_such_score, score_names, scorer_complaints
from assay.planning.sink_checks import sink_complaints
from assay.planning.stopping_checks import stopping_complaints
from assay.planning.templates import PromptError, Templates
from assay.planning.view_checks import view_complaints
from assay.registry import UnknownName, did_you_mean
from assay.repetition import repeats_in_repeats
from assay.scoring.base import Aggregator, Comparer, Scorer
from assay.scoring.results import CLUSTERED_TESTS
from assay.scoring.rows import SCORERS
from assay.storage.bundle_names import SUITE_FILE
from assay.suite.loading import SuiteSource, load_suite, prompt_path, source_map
from assay.suite.models import Criterion, Suite
from assay.suite.yaml_text import Path, SourceMap


def checked_suite(text: str, file: str = SUITE_FILE) -> Suite:
    """The suite of a YAML text, with its prompts and plugins checked too. Raises SuiteError with every complaint."""
    suite = load_suite(text, file)
    check_suite(suite, source_map(text, file))
    return suite


def check_suite(suite: Suite, source: SourceMap) -> None:
    """Raises SuiteError with every complaint about the prompts and plugins of a suite."""
    source.refuse(
        [
            *_prompt_complaints(suite, source),
            *_schema_complaints(suite, source),
            *scorer_complaints(suite),
            *experiment_complaints(suite),
            *judge_complaints(suite),
            *_primary(suite),
            *_comparison_complaints(suite),
            *_middleware_complaints(suite),
            *sink_complaints(suite),
            *view_complaints(suite),
            *stopping_complaints(suite),
        ]
    )


def check_columns(
    suite: Suite, text: SuiteSource, columns: tuple[str, ...], dataset: str, file: str = SUITE_FILE
) -> None:
    """Raises SuiteError when the suite uses columns that the dataset does not have; names the line of each use."""
    source = source_map(text, file)
    complaints = source.listed(
        (path, f"{user} uses column '{column}'{did_you_mean(column, columns)}, which {dataset} does not have.")
        for path, user, column in _uses(suite, source)
        if column not in columns
    )
    if complaints:
        raise SuiteError("\n".join([*complaints, f"{dataset} has: {', '.join(columns)}"]))


def columns_used(suite: Suite) -> frozenset[str]:
    """Every column that a row must have: named in the dataset section, a prompt or a scorer."""
    templates = Templates(suite.templates)
    criteria = [criterion for experiment in suite.experiments for criterion in experiment.criteria]
    prompts = (templates.needed_columns(text) for criterion in criteria for _, text in _written(criterion))
    histories = {criterion.history for criterion in criteria if criterion.history}
    expected = {scorer.expected_column for scorer in scorers_of(suite) if scorer.expected_column}
    group = {suite.comparison.group} if suite.comparison.group else set()
    rubrics = (templates.needed_columns(judge.options.rubric) for judge in judges_of(suite))
    return frozenset(suite.dataset.column_names).union(*prompts, *rubrics, histories, expected, group)


def scorers_of(suite: Suite) -> tuple[Scorer, ...]:
    """The suite's scorers, made; the first is the primary one unless the suite says otherwise. Raises UserError."""
    return tuple(made(SCORERS, settings) for settings in suite.scorers)


def aggregators_of(suite: Suite) -> tuple[Aggregator, ...]:
    """The suite's aggregators, made anew."""
    return tuple(made_aggregator(settings) for settings in suite.aggregators)


def comparers_of(suite: Suite) -> tuple[Comparer, ...]:
    """The suite's comparers, made anew."""
    return tuple(made_comparer(settings, suite.comparison) for settings in suite.comparers)


def scores_given(suite: Suite) -> tuple[Scorer, ...]:
    """All that gives scores, for whoever sums these up: the scorers, then the judges."""
    return (*scorers_of(suite), *judges_of(suite))


def primary_score(suite: Suite) -> str | None:
    """The score that decides: the first scorer's, or else judge's, unless the suite says otherwise. None: no score."""
    scorers = scorers_of(suite)
    names = [*(scorer.name for scorer in scorers), *(judge.score for judge in suite.judges)]
    return suite.comparison.primary or next(iter(names), None)


def _prompt_complaints(suite: Suite, source: SourceMap) -> Iterator[Complaint]:
    templates = Templates(suite.templates)
    for name in suite.templates:
        try:
            templates.check_named(name)
        except PromptError as error:
            yield ("templates", name), f"line {error.line} of template '{name}': {error}"
    for path, user, text in _prompts(suite, source):
        try:
            templates.check(text)
        except PromptError as error:
            yield path, f"{user}: line {error.line} of the prompt: {error}"


def _schema_complaints(suite: Suite, source: SourceMap) -> Iterator[Complaint]:
    for at, experiment in enumerate(suite.experiments):
        for index, criterion in enumerate(experiment.criteria):
            schema = criterion.answer_schema
            if schema is not None and (problem := schema_problem(schema) or _pattern_problem(schema)):
                path = prompt_path(source, at, index, "schema")
                yield path, f"experiment '{experiment.name}', schema of criterion '{criterion.name}': {problem}"


def _pattern_problem(schema: Any) -> str | None:
    """A pattern is put to what models answer, and a bad one would keep a worker from everything else."""
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    pattern = schema.get("pattern") if isinstance(schema, dict) else None
    if isinstance(pattern, str) and repeats_in_repeats(pattern):
        return f"the pattern {pattern!r} repeats a group that itself repeats or has alternatives; it may take for ever"
    return next((problem for part in parts if (problem := _pattern_problem(part))), None)


def _middleware_complaints(suite: Suite) -> Iterator[Complaint]:
    found, complaints = made_plugins(suite.middleware, "middleware", MIDDLEWARE)
    yield from complaints
    names: list[str] = []
    for path, settings, _ in found:
        if settings.plugin in names:
            yield path, f"middleware '{settings.plugin}' stands twice; its order is fixed, and once is enough"
        names.append(settings.plugin)


def _primary(suite: Suite) -> Iterator[Complaint]:
    primary = suite.comparison.primary
    if primary is not None and primary not in score_names(suite):
        yield ("comparison", "primary"), no_such_score(suite, primary)


def _comparison_complaints(suite: Suite) -> Iterator[Complaint]:
    """Settings of the comparison that name no score, and tests that do not fit theirs."""
    comparison, path = suite.comparison, ("comparison",)
    for key in ("goal", "test", "margin"):
        by_score = getattr(comparison, key)
        yield from _unknown_scores(suite, by_score if isinstance(by_score, dict) else {}, (*path, key))
    for name, kind in _score_kinds(suite).items():
        where = (*path, "test", name) if isinstance(comparison.test, dict) else (*path, "test")
        yield from ((where, problem) for problem in _test_problems(suite, name, kind))


def _test_problems(suite: Suite, name: str, kind: str) -> Iterator[str]:
    """Why the test of a score does not fit it."""
    test, group = suite.comparison.test_of(name), suite.comparison.group
    if test is None:
        return
    if group is None and test == "clustered_t":
        yield "test 'clustered_t' needs groups: name their column with comparison.group"
    if group is not None and test not in CLUSTERED_TESTS:
        yield f"test '{test}' takes rows for independent; with a group: {' or '.join(CLUSTERED_TESTS)}"
    if suite.is_repeated and test == "mcnemar_exact":
        yield "test 'mcnemar_exact' is for pass or fail, and with repeats a row's score is a mean"
    elif kind == "numeric" and test == "mcnemar_exact":
        yield f"test 'mcnemar_exact' is for scores of pass or fail, and '{name}' is numeric; give a test by score"


def _unknown_scores(suite: Suite, by_score: dict[str, Any], path: Path) -> Iterator[Complaint]:
    known = score_names(suite)
    for name in by_score:
        if name not in known:
            yield (*path, name), no_such_score(suite, name)


def _score_kinds(suite: Suite) -> dict[str, str]:
    """The kind of each score whose scorer can be made; the others have their own complaints."""
    kinds: dict[str, str] = {}
    for settings in suite.scorers:
        with suppress(UnknownName, ValidationError):
            scorer = SCORERS.make(settings.plugin, settings.options)
            kinds[scorer.name] = scorer.kind
    with suppress(UserError):
        kinds |= {judge.name: judge.kind for judge in judges_of(suite)}
    return kinds


def _uses(suite: Suite, source: SourceMap) -> Iterator[tuple[Path, str, str]]:
    """Where each column is used: path in the suite, by whom, which."""
    for index, wanted in enumerate(suite.dataset.columns):
        names = ", ".join(f"'{name}'" for name in wanted.taken_from)
        user = f"dataset.columns (taken from {names})" if names else "dataset.columns"
        yield ("dataset", "columns", index), user, wanted.name
    if suite.comparison.group:
        yield ("comparison", "group"), "comparison.group", suite.comparison.group
    templates = Templates(suite.templates)
    for path, user, text in _prompts(suite, source):
        for column in sorted(templates.needed_columns(text)):
            yield path, f"{user}: {templates.place_of(column, text)}", column
    yield from _history_uses(suite, source)
    yield from judged_uses(suite)
    for index, scorer in enumerate(scorers_of(suite)):
        if scorer.expected_column:
            yield ("scorers", index, "expected"), f"scorer '{suite.scorers[index].plugin}'", scorer.expected_column


def _history_uses(suite: Suite, source: SourceMap) -> Iterator[tuple[Path, str, str]]:
    for at, experiment in enumerate(suite.experiments):
        for index, criterion in enumerate(experiment.criteria):
            if criterion.history:
                yield prompt_path(source, at, index, "history"), f"experiment '{experiment.name}'", criterion.history


def _prompts(suite: Suite, source: SourceMap) -> Iterator[tuple[Path, str, str]]:
    """Every prompt: its path in the suite, whose it is, its text."""
    for at, experiment in enumerate(suite.experiments):
        for index, criterion in enumerate(experiment.criteria):
            for (key, *below), text in _written(criterion):
                path = (*prompt_path(source, at, index, str(key)), *below)
                yield path, f"experiment '{experiment.name}'", text


def _written(criterion: Criterion) -> Iterator[tuple[Path, str]]:
    """The texts of a criterion's prompts, each with its path in the criterion."""
    if criterion.system is not None:
        yield ("system",), criterion.system
    for index, example in enumerate(criterion.examples):
        yield ("examples", index, "user"), example.user
        yield ("examples", index, "assistant"), example.assistant
    yield ("user",), criterion.user
    for index, image in enumerate(criterion.images):
        yield ("images", index, "url"), image.url
