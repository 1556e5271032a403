"""All that is known of one comparison, as terms with sentences. `html.py` folds them up under each variant and score.

Pure, and not escaped for any format.
"""

from collections.abc import Iterator

from assay.reporting import wording
from assay.reporting.contents import ComparedScore
from assay.scoring.results import Comparison, Effect, Equivalence, Interval


def comparison_facts(one: ComparedScore) -> tuple[tuple[str, str], ...]:
    """All that is known of a comparison, as terms with sentences, in the order in which one would ask."""
    return tuple((term, said) for term, said in _facts(one) if said)


def _facts(one: ComparedScore) -> Iterator[tuple[str, str]]:
    result = one.result
    yield "Verdict", f"{result.verdict}: {result.verdict_reason}."
    yield "Test", f"{result.test}, because {result.test_reason}.{_statistic(result)}"
    yield "p", _p_sentence(result)
    yield "Difference", _difference_sentence(result)
    yield "Pairs", _pairs_sentence(result)
    yield "Effect sizes", " ".join(_effect_sentence(effect) for effect in result.effects or (result.effect,))
    yield "Odds ratio", _interval_sentence(result.odds_ratio) if result.odds_ratio else ""
    yield "Equivalence", _equivalence_sentence(result, result.equivalence) if result.equivalence else ""
    yield "Chance to be better", _chance_sentence(result)
    yield "Smallest difference to be seen", _sensitivity_sentence(result)
    yield "Missing", one.missing_sentence or ""
    yield "Notes", " ".join(note for note in result.notes if "lack a score" not in note)


def _statistic(result: Comparison) -> str:
    return "" if result.statistic is None else f" Its statistic is {wording.plain(result.statistic)}."


def _p_sentence(result: Comparison) -> str:
    if result.p_value is None:
        return f"There is no p-value: {result.verdict_reason}."
    adjusted = wording.p_digits(result.p_adjusted)
    tail = f"; adjusted ({result.correction}) {adjusted}" if result.p_adjusted is not None else ""
    return f"Raw {wording.p_digits(result.p_value)}{tail}. Up to {result.alpha:g} counts as shown."


def _difference_sentence(result: Comparison) -> str:
    if result.difference is None:
        return ""
    before, after = (
        wording.value(mean, result.shown_kind, result.interval) for mean in (result.baseline_mean, result.variant_mean)
    )
    said = wording.difference(result.difference, result.shown_kind, result.interval)
    interval = wording.difference_range(result.interval, result.shown_kind)
    level = wording.level(result.interval)
    return f"{said}, from {before} to {after}; {level} interval {interval} ({result.interval.method})."


def _pairs_sentence(result: Comparison) -> str:
    counts = (
        f"{wording.noun(result.n_pairs, 'pair')} of {wording.noun(result.n_rows, 'row')}: the variant is higher on"
        f" {wording.count(result.n_higher)}, equal on {wording.count(result.n_equal)}, lower on"
        f" {wording.count(result.n_lower)}"
    )
    rate = "" if result.win_rate is None else f"; it wins {wording.share(result.win_rate)}, equal ones counted half"
    groups = "" if result.n_clusters is None else f". Rows are in {wording.noun(result.n_clusters, 'group')}"
    repeats = "" if result.n_repeats == 1 else f". Every row was asked up to {wording.count(result.n_repeats)} times"
    return f"{counts}{rate}{groups}{repeats}."


def _effect_sentence(effect: Effect) -> str:
    if effect.value is None:
        return f"{effect.name}: unknown ({effect.reason})." if effect.reason else ""
    interval = effect.interval
    if interval is None or interval.low is None or interval.high is None:
        return f"{effect.name} {wording.effect(effect)}."
    ends = f"{interval.low:+.2f} to {interval.high:+.2f}".replace("-", wording.MINUS)
    return f"{effect.name} {wording.effect(effect)} ({wording.level(interval)} interval {ends})."


def _interval_sentence(interval: Interval) -> str:
    if interval.estimate is None:
        return f"Unknown: {interval.reason}." if interval.reason else ""
    ends = [wording.NOTHING if end is None else wording.figure(end, 3) for end in (interval.low, interval.high)]
    level, estimate = wording.level(interval), wording.figure(interval.estimate, 3)
    return f"{estimate} ({level} interval {ends[0]} to {ends[1]}, {interval.method})."


def _equivalence_sentence(result: Comparison, equivalence: Equivalence) -> str:
    margin = f"±{wording.amount(equivalence.margin, result.shown_kind)}"
    if equivalence.shown is None:
        return f"Within {margin}: cannot be judged, {equivalence.reason}."
    shown = "is shown" if equivalence.shown else "is not shown"
    interval = wording.difference_range(equivalence.interval, result.shown_kind)
    p_value = wording.probability(equivalence.p_value if equivalence.p_adjusted is None else equivalence.p_adjusted)
    level = wording.level(equivalence.interval)
    evidence = f"{level} interval {interval}, {p_value} ({equivalence.method})"
    return f"That the difference lies within {margin} {shown}: {evidence}."


def _chance_sentence(result: Comparison) -> str:
    if result.probability_higher is None:
        return ""
    chance = wording.chance(result.probability_higher)
    return f"{chance} that the variant's true pass rate is higher, given these pairs and no opinion before."


def _sensitivity_sentence(result: Comparison) -> str:
    found = result.sensitivity
    if found is None:
        return ""
    if found.minimum_difference is None:
        return f"Unknown: {found.reason}." if found.reason else ""
    amount = wording.amount(found.minimum_difference, result.shown_kind)
    return f"{amount} is found with a chance of {found.power * 100:.6g} % (at alpha {found.alpha:.3g}; {found.method})."
