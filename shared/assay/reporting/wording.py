"""Numbers and verdicts in plain English: what `contents.py` puts into sentences and the formats put into tables.

Pure text in, text out; nothing here is escaped for any format.
"""

from collections.abc import Sequence
from decimal import Decimal
from math import floor, isfinite, log10

from assay import amounts
from assay.scoring.base import ScoreKind
from assay.scoring.results import Bounds, Comparison, Effect, Interval

NOTHING = "–"
MINUS = "−"

_SMALLEST_P = 0.0001
_MOST_DECIMALS = 6
_MOST_WRITTEN_OUT = 7


def count(value: int) -> str:
    """`57,600`."""
    return f"{value:,}"


def noun(value: int, singular: str) -> str:
    """`1 row`, `320 rows`."""
    return f"{count(value)} {singular}{'' if value == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def usd(value: Decimal) -> str:
    """`12.40 USD`, `0.0312 USD`."""
    return f"{amounts.usd(value)} USD"


def seconds(value: float | None) -> str:
    """`0.41 s`."""
    return NOTHING if value is None else f"{value:.2f} s"


def share(value: float | None) -> str:
    """`84.5 %`."""
    return NOTHING if value is None else f"{_fixed(value * 100, 1)} %"


def chance(value: float) -> str:
    """`97.3 %`; near the ends `more than 99.9 %` and `less than 0.1 %`, because no chance is certain."""
    if value > 0.999:
        return "more than 99.9 %"
    return "less than 0.1 %" if value < 0.001 else share(value)


def level(interval: Interval) -> str:
    """`95 %`."""
    return f"{interval.level * 100:.6g} %"


def probability(p_value: float | None) -> str:
    """`p = 0.0312`, `p < 0.0001`, or why there is none."""
    if p_value is None:
        return "no p-value"
    return f"p < {_SMALLEST_P}" if p_value < _SMALLEST_P else f"p = {p_digits(p_value)}"


def p_digits(p_value: float | None) -> str:
    """Four decimals near the usual limits, so that 0.0499 does not pass for 0.05."""
    if p_value is None:
        return NOTHING
    if p_value < _SMALLEST_P:
        return f"< {_SMALLEST_P}"
    if p_value < 0.01:
        return f"{p_value:.2g}"
    return f"{p_value:.4f}" if p_value < 0.1 else f"{p_value:.2f}"


def plain(number: float) -> str:
    """A single score: `7`, `0.25`."""
    return f"{number:.6g}".replace("-", MINUS)


def figure(number: float, digits: int = 4) -> str:
    """A number of any size, written out: `0.8125`, `12,345`, `0.000048`; only tinier ones get a power of ten."""
    if not number or not isfinite(number):
        return f"{number:g}".replace("-", MINUS)
    magnitude = floor(log10(abs(number)))
    if magnitude < -_MOST_WRITTEN_OUT:
        return f"{number / 10.0**magnitude:.1f} × 10^{magnitude}".replace("-", MINUS)
    # far below one, two digits say enough; beyond them zeros are hard to count
    decimals = 1 - magnitude if magnitude < -3 else max(0, digits - 1 - magnitude)
    text = f"{number:,.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if decimals else text).replace("-", MINUS)


def effect(size: Effect) -> str:
    """`+0.47`."""
    return NOTHING if size.value is None else f"{size.value:+.2f}".replace("-", MINUS)


def value(number: float | None, kind: ScoreKind, interval: Interval | None = None) -> str:
    """A mean: `84.5 %` of a binary score; a numeric one as precisely as its interval allows: `5.62`."""
    if number is None:
        return NOTHING
    return share(number) if kind == "binary" else _fixed(number, _decimals(number, interval))


def value_range(interval: Interval, kind: ScoreKind) -> str:
    """`80.1 % to 88.0 %`; a dash for each side that is not known, or one for both."""
    if interval.low is None and interval.high is None:
        return NOTHING
    return f"{value(interval.low, kind, interval)} to {value(interval.high, kind, interval)}"


def difference(number: float | None, kind: ScoreKind, interval: Interval | None = None) -> str:
    """Signed: `+9.4 points` (percentage points) of a binary score, `−0.44` of a numeric one."""
    if number is None:
        return NOTHING
    return f"{signed(number, kind, interval)}{unit(kind)}"


def amount(size: float, kind: ScoreKind) -> str:
    """How large a difference is, whichever way: `5.2 points`, `0.31`."""
    return f"{_fixed(size * 100, 1)}{unit(kind)}" if kind == "binary" else f"{size:.3g}"


def unit(kind: ScoreKind) -> str:
    """What follows a difference's number: ` points` or nothing."""
    return " points" if kind == "binary" else ""


def signed(number: float | None, kind: ScoreKind, interval: Interval | None = None) -> str:
    """A difference without its unit: `+9.4`, `−0.44`; a difference that rounds to nothing has no sign."""
    if number is None:
        return NOTHING
    text = _fixed(number * 100, 1) if kind == "binary" else _fixed(number, _decimals(number, interval))
    is_nothing = not text.strip("0.,−")
    return text.lstrip(MINUS) if is_nothing else text if text.startswith(MINUS) else f"+{text}"


def difference_range(interval: Interval, kind: ScoreKind) -> str:
    """`+5.1 to +13.8`; a dash for each side that is not known, or one for both."""
    if interval.low is None and interval.high is None:
        return NOTHING
    return f"{signed(interval.low, kind, interval)} to {signed(interval.high, kind, interval)}"


def bounds_range(bounds: Bounds, kind: ScoreKind, interval: Interval) -> str:
    """`+4.4 to +10.6`, or a dash when a bound is unknown."""
    if bounds.low is None or bounds.high is None:
        return NOTHING
    return f"{signed(bounds.low, kind, interval)} to {signed(bounds.high, kind, interval)}"


def verdict_sentence(variant: str, baseline: str, score: str, result: Comparison, family: int) -> str:
    """What the comparison shows, with its numbers. Never says that two experiments are equal: a test cannot show it."""
    if result.verdict == "not enough data":
        return f"Not enough data to compare {variant} with {baseline} on `{score}`: {result.verdict_reason}."
    numbers = f"{difference(result.difference, result.shown_kind, result.interval)} ({_interval_phrase(result)})"
    tested = f"{result.test} of {noun(result.n_pairs, 'pair')}"
    evidence = f"{tested}, {probability(_final_p(result))}{_correction(result, family)}"
    if result.verdict == "no difference shown":
        return f"No difference shown between {variant} and {baseline} on `{score}`: {numbers}, {evidence}."
    return f"{variant} is {result.verdict} than {baseline} on `{score}`: {numbers}, {evidence}."


def missing_sentence(variant: str, baseline: str, result: Comparison) -> str | None:
    """Which rows the comparison lacks and how far they could move it, or None when it lacks none."""
    missing = result.n_rows - result.n_pairs
    if not missing:
        return None
    lacking = (
        (result.missing_baseline - result.missing_both, baseline),
        (result.missing_variant - result.missing_both, variant),
        (result.missing_both, "either"),
    )
    parts = [f"{count(rows)} without a score of {whose}" for rows, whose in lacking if rows]
    compared = f"{count(missing)} of {noun(result.n_rows, 'row')} {'is' if missing == 1 else 'are'} not compared"
    return f"{compared} ({', '.join(parts)}). {_bounds_sentence(result)}"


def _interval_phrase(result: Comparison) -> str:
    return f"{level(result.interval)} interval {difference_range(result.interval, result.shown_kind)}"


def _final_p(result: Comparison) -> float | None:
    return result.p_value if result.p_adjusted is None else result.p_adjusted


def _correction(result: Comparison, family: int) -> str:
    """What the reader must know of the p-value: what it is adjusted for, or why it does not decide."""
    p_value = _final_p(result)
    if p_value is None:
        return f" ({result.verdict_reason})"
    adjusted = f" after {result.correction} over {family} comparisons" if family > 1 else ""
    is_overruled = result.verdict == "no difference shown" and p_value <= result.alpha
    return f"{adjusted} ({result.verdict_reason})" if is_overruled else adjusted


def _bounds_sentence(result: Comparison) -> str:
    if result.bounds.low is None or result.bounds.high is None:
        return f"How far they could move the difference is unknown: {result.bounds.reason}."
    low, high = (signed(bound, result.shown_kind, result.interval) for bound in (result.bounds.low, result.bounds.high))
    where = f"between {low} and {high}{unit(result.shown_kind)}"
    return f"Whatever they would have scored, the difference over all {noun(result.n_rows, 'row')} lies {where}."


def _decimals(number: float, interval: Interval | None) -> int:
    """As many as give the interval's width two digits; without a width, three digits of the number itself."""
    width = None
    if interval is not None and interval.low is not None and interval.high is not None:
        width = interval.high - interval.low
    reference, digits = (width, 2) if width else (abs(number), 3)
    if not reference or not isfinite(reference):
        return 0
    return min(_MOST_DECIMALS, max(0, digits - 1 - floor(log10(reference))))


def _fixed(number: float, decimals: int) -> str:
    return f"{number:,.{decimals}f}".replace("-", MINUS)
