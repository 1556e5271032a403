"""What there is to say of a run's judges, in sentences: how many answers they judged, and how far to trust them.

Pure, and not escaped for any format; `html.py` and `markdown.py` call it.
"""

from collections.abc import Iterator

from assay.reporting import wording
from assay.reporting.judge_records import JudgedExperiment, JudgeFacts, Positions
from assay.scoring.results import Agreement, Interval


def judge_sentences(judge: JudgeFacts) -> tuple[str, ...]:
    """What one judge did and cost, how it agrees with people, and how it dealt with swapped places."""
    return tuple(_sentences(judge))


def _sentences(judge: JudgeFacts) -> Iterator[str]:
    models = wording.listed([f"`{name}`" for name in judge.models]) or f"`{judge.deployment}`"
    kind = "pairs of answers" if judge.is_pairwise else "answers"
    yield f"{models} judged {wording.count(judge.judged)} {kind} for {wording.usd(judge.money.spent_usd)}."
    unusable = sum(one.unusable + one.failed + one.blocked for one in judge.experiments)
    if unusable:
        yield f"{wording.noun(unusable, 'judgement')} failed or could not be used: those have no score."
    if judge.agreement is not None:
        yield f"With people, over all experiments: {_agreement(judge.agreement)}"
    for one in judge.experiments:
        yield from _of_experiment(one)


def _of_experiment(one: JudgedExperiment) -> Iterator[str]:
    if one.agreement is not None:
        yield f"With `{one.human}` on {one.experiment}: {_agreement(one.agreement)}"
    if one.positions is not None:
        against = f" against {one.against}" if one.against else ""
        yield f"{one.experiment}{against}: {_positions(one.positions)}"


def _agreement(found: Agreement) -> str:
    kappa = "weighted kappa" if found.weights == "quadratic" else "kappa"
    parts = [f"{_share(found.exact)} of {wording.noun(found.n, 'rating')} equal", f"{kappa} {_number(found.kappa)}"]
    if found.pearson is not None:
        parts.append(f"correlation {_number(found.pearson)}")
    if found.mean_difference is not None:
        shift = f"{found.mean_difference:+.2f}".replace("-", wording.MINUS)
        parts.append(f"the judge's ratings lie {shift} from people's on average")
    return f"{'; '.join(parts)}."


def _positions(found: Positions) -> str:
    equal = f"; {wording.noun(found.equal, 'pair')} of equal answers were not asked" if found.equal else ""
    asked = f"of {wording.noun(found.pairs, 'pair')} asked both ways round"
    flipped = f"{_share(found.flipped)} changed the verdict with the places and count as ties"
    return f"{asked}, {flipped}, {_share(found.ties)} were honest ties{equal}."


def _share(interval: Interval) -> str:
    return f"{wording.share(interval.estimate)}{_ends(interval, 100, ' %')}"


def _number(interval: Interval) -> str:
    if interval.estimate is None:
        return "unknown"
    return f"{interval.estimate:.2f}{_ends(interval, 1, '')}".replace("-", wording.MINUS)


def _ends(interval: Interval, scale: int, unit: str) -> str:
    if interval.low is None or interval.high is None:
        return ""
    decimals = 1 if scale == 100 else 2
    low, high = f"{interval.low * scale:.{decimals}f}", f"{interval.high * scale:.{decimals}f}{unit}"
    return f" ({low} to {high})"
