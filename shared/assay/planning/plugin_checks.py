"""What preflight says of scorers, aggregators and comparers, by themselves and in what they take from each other."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from assay.planning.complaints import Complaint, criterion_complaint, option_complaints
from assay.registry import Registry, UnknownName, did_you_mean
from assay.scoring.experiments import AGGREGATORS, COMPARERS
from assay.scoring.rows import SCORERS
from assay.scoring.scorers.derived import Derived
from assay.scoring.trials import derivation_problem
from assay.suite.models import PluginSettings, Suite
from assay.suite.yaml_text import Path


def result_name(settings: PluginSettings) -> str:
    """What a plugin's result is called: its name in the suite, or the plugin's."""
    return str(settings.options.get("name") or settings.plugin)


def score_names(suite: Suite) -> list[str]:
    """The scores of the suite's scorers, then those of its judges."""
    return [result_name(settings) for settings in (*suite.scorers, *suite.judges)]


def no_such_score(suite: Suite, name: str) -> str:
    """The complaint about a score that nothing gives, with the closest one and all that there are."""
    known = score_names(suite)
    givers = "no scorer or judge" if suite.judges else "no scorer"
    scores = ", ".join(known) or "none, because the suite has no scorers"
    return f"{givers} gives '{name}'{did_you_mean(name, known)}. Scores: {scores}"


def scorer_complaints(suite: Suite) -> Iterator[Complaint]:
    """What is wrong with the suite's scorers, each by itself and in what they take from each other."""
    sources: dict[str, str | None] = {}
    for index, settings in enumerate(suite.scorers):
        path: Path = ("scorers", index)
        complaints = list(_plugin_complaints(SCORERS, settings, path))
        yield from complaints
        if not complaints:
            yield from criterion_complaint(suite, settings.options.get("criterion"), path)
        sources.setdefault(result_name(settings), None if complaints else _source(settings))
    yield from _repeated("scorers", "score", suite.scorers)
    for index, settings in enumerate(suite.scorers):
        problem = _judged(suite, settings) or derivation_problem(result_name(settings), sources)
        if problem is not None:
            yield ("scorers", index, "score"), problem


def experiment_complaints(suite: Suite) -> Iterator[Complaint]:
    """What is wrong with the suite's aggregators and comparers."""
    lists: tuple[tuple[str, Registry[Any], Sequence[PluginSettings]], ...] = (
        ("aggregators", AGGREGATORS, suite.aggregators),
        ("comparers", COMPARERS, suite.comparers),
    )
    known = score_names(suite)
    for key, registry, plugins in lists:
        for index, settings in enumerate(plugins):
            yield from _plugin_complaints(registry, settings, (key, index))
            score = settings.options.get("score")
            if isinstance(score, str) and score not in known:
                yield (key, index, "score"), no_such_score(suite, score)
        yield from _repeated(key, registry.kind, plugins)


def _judged(suite: Suite, settings: PluginSettings) -> str | None:
    score = settings.options.get("score")
    if score not in [judge.score for judge in suite.judges]:
        return None
    return f"score '{score}' is a judge's: it is given after the trials, and no scorer can make its own of it"


def _source(settings: PluginSettings) -> str | None:
    """The score that a usable scorer makes its own of, if it does."""
    scorer = SCORERS.make(settings.plugin, settings.options)
    return scorer.source if isinstance(scorer, Derived) else None


def _plugin_complaints(registry: Registry[Any], settings: PluginSettings, path: Path) -> Iterator[Complaint]:
    """An unknown name, or options that the plugin refuses."""
    try:
        registry.make(settings.plugin, settings.options)
    except UnknownName as error:
        yield (*path, "plugin"), str(error)
    except ValidationError as error:
        yield from option_complaints(registry, settings.plugin, error, path)
    except (Exception, SystemExit) as error:  # of an installed plugin, which may raise anything when it is made
        yield path, f"{registry.kind} '{settings.plugin}' cannot be made: {type(error).__name__}: {error}"


def _repeated(key: str, noun: str, plugins: Iterable[PluginSettings]) -> Iterator[Complaint]:
    """Results are kept by name."""
    seen: set[str] = set()
    for index, settings in enumerate(plugins):
        name = result_name(settings)
        if name in seen:
            yield (key, index), f"{noun} '{name}' stands twice; give one of them another 'name'"
        seen.add(name)
