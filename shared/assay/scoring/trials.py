"""The scores of one trial: every scorer in turn, then those that make theirs of another score. The worker calls it."""

from collections.abc import Mapping, Sequence
from typing import Any

from assay.records import Response, Score
from assay.registry import did_you_mean
from assay.scoring.base import Scorer
from assay.scoring.plain_json import shown
from assay.scoring.raised import PLUGIN_ERRORS, told
from assay.scoring.scorers.derived import Derived

LARGEST = 1e100
"""Beyond this, squares and differences of scores soon are more than a float can hold, and no report can be made."""


def score_trial(
    scorers: Sequence[Scorer], fields: Mapping[str, Any], responses: Mapping[str, Response]
) -> tuple[Score, ...]:
    """A score of every scorer, in their order. Never raises: a scorer that does has no value, and the reason says why.

    Expects what preflight has checked: no derived score goes in circles.
    """
    found = {one.name: _scored(one, fields, responses) for one in scorers if not isinstance(one, Derived)}
    waiting = {one.name: one for one in scorers if isinstance(one, Derived)}
    for name in tuple(waiting):
        _derive(name, waiting, found)
    return tuple(found[one.name] for one in scorers)


def derivation_problem(name: str, sources: Mapping[str, str | None]) -> str | None:
    """Why a score cannot be made of others, or None. `sources` says of each score which one it is made of, if any."""
    source = sources.get(name)
    if source is None:
        return None
    if source not in sources:
        return f"no scorer gives '{source}'{did_you_mean(source, [*sources])}. Scores: {', '.join(sources)}"
    way = [name]
    while (source := sources.get(way[-1])) is not None and source not in way:
        way.append(source)
    return f"score '{name}' is made of itself: {' <- '.join([*way, name])}" if source == name else None


def _derive(name: str, waiting: dict[str, Derived], found: dict[str, Score]) -> None:
    scorer = waiting.pop(name, None)
    if scorer is None:
        return
    _derive(scorer.source, waiting, found)
    source = found.get(scorer.source)
    if source is None:
        found[name] = Score(name=name, value=None, reason=f"there is no score '{scorer.source}'")
    else:
        found[name] = _derived(scorer, source)


def _scored(scorer: Scorer, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
    try:
        return _sound(scorer.name, scorer.score(fields, responses))
    except PLUGIN_ERRORS as error:  # a scorer's bug must not cost answers that are paid for
        return _broken(scorer.name, error)


def _derived(scorer: Derived, source: Score) -> Score:
    try:
        return _sound(scorer.name, scorer.derive(source))
    except PLUGIN_ERRORS as error:  # as above
        return _broken(scorer.name, error)


def _sound(name: str, score: object) -> Score:
    """The score of an installed plugin where it is one, under the name that the suite knows."""
    if not isinstance(score, Score):
        return Score(name=name, value=None, reason=f"the scorer returned {shown(score)}; expected a Score")
    if score.value is not None and not abs(score.value) <= LARGEST:  # NaN is neither
        said = f"the scorer returned {score.value:g}; expected a number from {-LARGEST:g} to {LARGEST:g}"
        return Score(name=name, value=None, reason=said)
    return score if score.name == name else score.model_copy(update={"name": name})


def _broken(name: str, error: BaseException) -> Score:
    return Score(name=name, value=None, reason=f"the scorer failed: {told(error)}")
