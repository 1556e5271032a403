"""What can be found wrong with a suite's `early_stop` before a model is asked. Preflight calls this."""

from collections.abc import Iterator
from contextlib import suppress

from pydantic import ValidationError

from assay.planning.complaints import Complaint, option_complaints
from assay.registry import UnknownName, did_you_mean
from assay.scoring.base import Scorer
from assay.scoring.early_stop.rules import STOPPING_RULES, Sequential, Threshold
from assay.scoring.rows import SCORERS
from assay.suite.models import Suite
from assay.suite.yaml_text import Path


def stopping_complaints(suite: Suite) -> Iterator[Complaint]:
    """Everything that is wrong with the stopping rules, each complaint with its place in the suite."""
    if suite.early_stop and len(suite.experiments) < 2:
        yield ("early_stop",), "early stop ends variants, and the suite has none beside the baseline"
    tests = 0
    for index, settings in enumerate(suite.early_stop):
        path: Path = ("early_stop", index)
        try:
            rule = STOPPING_RULES.make(settings.plugin, settings.options)
        except UnknownName as error:
            yield (*path, "plugin"), str(error)
            continue
        except ValidationError as error:
            yield from option_complaints(STOPPING_RULES, settings.plugin, error, path)
            continue
        if isinstance(rule, Sequential):
            tests += 1
            yield from _sequential_complaints(suite, path)
        if isinstance(rule, Threshold):
            yield from _threshold_complaints(suite, rule, path)
    if tests > 1:
        yield ("early_stop",), "stopping rule 'sequential' stands twice; one test decides, so once is enough"


def _sequential_complaints(suite: Suite, path: Path) -> Iterator[Complaint]:
    primary, scorers = _primary(suite), _scorers(suite)
    rule = "stopping rule 'sequential'"
    if primary is None:
        yield path, f"{rule} tests the primary score, and the suite scores nothing; add a scorer"
    elif primary in [judge.score for judge in suite.judges]:
        yield (
            path,
            f"{rule} cannot test '{primary}', which a judge gives: judging runs behind asking. Let a scorer's"
            " score decide (comparison.primary), or use 'threshold'",
        )
    elif primary in scorers and scorers[primary].kind != "binary" and scorers[primary].value_range is None:
        yield (
            path,
            f"{rule} needs a score whose smallest and largest value are known, and '{primary}' has no such range:"
            " without one no test holds at every look. Let another score decide (comparison.primary), or use"
            " 'threshold'",
        )
    if suite.comparison.group is not None:
        yield path, f"{rule} takes rows for independent; it cannot be used with comparison.group"
    if primary is not None and suite.comparison.test_of(primary) is not None:
        test = suite.comparison.test_of(primary)
        yield path, f"{rule} is the test of '{primary}'; comparison.test says '{test}', which does not stand many looks"


def _threshold_complaints(suite: Suite, rule: Threshold, path: Path) -> Iterator[Complaint]:
    watched = rule.options.score or _primary(suite)
    if rule.options.mean_below is None and rule.options.mean_above is None:
        return
    known = list(_scorers(suite))
    where = (*path, "score") if rule.options.score else path
    if watched is None:
        yield path, "stopping rule 'threshold' watches the mean of a score, and the suite scores nothing; add a scorer"
    elif watched not in known:
        hint, names = did_you_mean(watched, known), ", ".join(known) or "none"
        yield where, f"stopping rule 'threshold': no scorer gives '{watched}'{hint}. Scores of scorers: {names}"


def _primary(suite: Suite) -> str | None:
    names = [str(settings.options.get("name") or settings.plugin) for settings in suite.scorers]
    return suite.comparison.primary or next(iter([*names, *(judge.score for judge in suite.judges)]), None)


def _scorers(suite: Suite) -> dict[str, Scorer]:
    """The scorers that can be made; the others have their own complaints."""
    found: dict[str, Scorer] = {}
    for settings in suite.scorers:
        with suppress(UnknownName, ValidationError):
            scorer = SCORERS.make(settings.plugin, settings.options)
            found[scorer.name] = scorer
    return found
