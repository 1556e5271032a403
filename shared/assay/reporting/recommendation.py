"""What a run suggests to do, in sentences whose phrasing never varies. The evaluation keeps it in the contents.

Pure: contents in, text out. The first line is the recommendation, every further line something to weigh with it.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from assay.reporting import wording
from assay.reporting.contents import ComparedScore, Contents
from assay.reporting.trade_offs import trade_off_sentence
from assay.scoring.results import Comparison

Stance = Literal["better", "equivalent", "open", "worse", "lacking"]

STANCES: tuple[Stance, ...] = ("better", "equivalent", "open", "worse", "lacking")
"""The first of these that any variant has decides for the run."""


def recommend(contents: Contents) -> str:
    """What to do, then a line each for losses on other scores, cost and time, rivals, missing trials and power."""
    stances = [(one, stance_of(one.result)) for one in contents.primary_comparisons]
    for stance in STANCES:
        chosen = sorted((one for one, taken in stances if taken == stance), key=_gain, reverse=True)
        if chosen:
            others = [one for one, taken in stances if taken == "worse" != stance]
            return "\n".join(_lines(contents, stance, chosen, others))
    return f"No recommendation: {contents.headline[:1].lower()}{contents.headline[1:]}."


def stance_of(result: Comparison) -> Stance:
    """What one comparison says: its verdict, or that the difference is shown to be too small to matter."""
    if result.verdict == "better":
        return "better"
    if result.verdict == "worse":
        return "worse"
    if result.equivalence is not None and result.equivalence.shown:
        return "equivalent"
    return "lacking" if result.verdict == "not enough data" else "open"


def _gain(one: ComparedScore) -> float:
    return (one.result.difference or 0.0) * (1 if one.result.goal == "maximise" else -1)


def _lines(
    contents: Contents, stance: Stance, chosen: Sequence[ComparedScore], worse: Sequence[ComparedScore]
) -> Iterator[str]:
    first = chosen[0]
    yield _decision(contents, stance, chosen)
    if stance in ("better", "equivalent"):
        yield from _losses(contents, first)
        yield from _trade_offs(contents, chosen if stance == "equivalent" else chosen[:1])
    if stance == "better":
        yield from _rivals(chosen)
        yield from _missing(first)
    if stance == "open":
        yield from _power(chosen)
    if worse:
        yield f"Do not ship {_with_differences(worse)}: worse than {contents.baseline} on `{first.score}`."


def _decision(contents: Contents, stance: Stance, chosen: Sequence[ComparedScore]) -> str:
    first, baseline = chosen[0], contents.baseline
    names, score = wording.listed([one.variant for one in chosen]), f"`{first.score}`"
    if stance == "better":
        weighed = " if its loss elsewhere is worth it" if _worse_elsewhere(contents, first) else ""
        return f"Ship {first.variant}{weighed}: it is better than {baseline} on {score}, {_evidence(first.result)}."
    if stance == "equivalent":
        return f"Choose by cost and time: on {score}, {names} {_does(chosen)} as well as {baseline}{_margin(first)}."
    if stance == "open":
        return (
            f"Keep {baseline} for now: no difference on {score} was shown for {names}. That is no proof that there"
            " is none."
        )
    if stance == "worse":
        return f"Do not ship {_with_differences(chosen)}: worse than {baseline} on {score}."
    return f"Decide nothing yet: there is not enough data to compare {names} with {baseline} on {score}."


def _evidence(result: Comparison) -> str:
    interval = wording.difference_range(result.interval, result.shown_kind)
    return f"{_difference(result)} ({wording.level(result.interval)} interval {interval})"


def _does(chosen: Sequence[ComparedScore]) -> str:
    return "does" if len(chosen) == 1 else "do"


def _margin(one: ComparedScore) -> str:
    equivalence, kind = one.result.equivalence, one.result.shown_kind
    return "" if equivalence is None else f", within ±{wording.amount(equivalence.margin, kind)}"


def _losses(contents: Contents, chosen: ComparedScore) -> Iterator[str]:
    worse = _worse_elsewhere(contents, chosen)
    if worse:
        losses = wording.listed([f"`{one.score}` ({_difference(one.result)})" for one in worse])
        yield f"Against it: {chosen.variant} is worse than {contents.baseline} on {losses}."


def _worse_elsewhere(contents: Contents, chosen: ComparedScore) -> list[ComparedScore]:
    same = [one for one in contents.comparisons if one.variant == chosen.variant and not one.primary]
    return [one for one in same if one.result.verdict == "worse"]


def _trade_offs(contents: Contents, chosen: Sequence[ComparedScore]) -> Iterator[str]:
    by_name = {one.name: one for one in contents.experiments}
    for one in chosen:
        if said := trade_off_sentence(by_name[contents.baseline], by_name[one.variant]):
            yield said


def _rivals(chosen: Sequence[ComparedScore]) -> Iterator[str]:
    if len(chosen) > 1:
        verb = "is" if len(chosen) == 2 else "are"
        yield (
            f"{_with_differences(chosen[1:])} {verb} better too; variants were compared with the baseline,"
            " not with each other."
        )


def _missing(chosen: ComparedScore) -> Iterator[str]:
    """Whether the rows that are not compared could turn the result round."""
    result = chosen.result
    missing = result.n_rows - result.n_pairs
    if not missing or result.bounds.low is None or result.bounds.high is None:
        return
    worst = result.bounds.low if result.goal == "maximise" else result.bounds.high
    could = worst <= 0 if result.goal == "maximise" else worst >= 0
    rows = wording.noun(missing, "row")
    extreme = f"{wording.signed(worst, result.shown_kind, result.interval)}{wording.unit(result.shown_kind)}"
    if could:
        yield f"The {rows} not compared could reverse this: at their worst, the difference would be {extreme}."
    else:
        yield f"The {rows} not compared cannot reverse this: at their worst, the difference would still be {extreme}."


def _power(chosen: Sequence[ComparedScore]) -> Iterator[str]:
    found = [
        (one.result.sensitivity.minimum_difference, one.result.sensitivity.power, one.result.shown_kind)
        for one in chosen
        if one.result.sensitivity and one.result.sensitivity.minimum_difference is not None
    ]
    if not found:
        return
    least, power, kind = max(found)
    amount, chance = wording.amount(least, kind), f"{power * 100:.6g} %"
    yield f"A true difference below {amount} could have gone unseen; one that large is found with a chance of {chance}."


def _with_differences(chosen: Sequence[ComparedScore]) -> str:
    return wording.listed([f"{one.variant} ({_difference(one.result)})" for one in chosen])


def _difference(result: Comparison) -> str:
    return wording.difference(result.difference, result.shown_kind, result.interval)
