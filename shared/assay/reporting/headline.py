"""The run in one line: what a report's title, a webhook and the command line say of it. `evaluation.py` calls it."""

from collections.abc import Iterator, Sequence

from assay.reporting.wording import MINUS, difference, listed
from assay.scoring.results import Comparison, Verdict

MOST_NAMED = 3
"""With more variants than these, the line counts them and names only the best and the worst."""

Named = Sequence[tuple[str, Comparison]]

_UNDECIDED: tuple[Verdict, ...] = ("no difference shown", "not enough data")


def headline(baseline: str, score: str | None, results: Named, scored: bool, answered: bool) -> str:
    """The run in one line; `results` are the variants' comparisons on the primary score."""
    if not answered:
        return "No trial was answered, so there is nothing to compare"
    if score is None:
        return "The suite has no scorer, so nothing is compared"
    if not scored:
        return f"No answer could be scored on `{score}`, so there is nothing to compare"
    if not results:
        return f"Only {baseline} was tried, so there is nothing to compare"
    clauses = _named if len(results) <= MOST_NAMED else _counted
    return _first_upper("; ".join(clauses(baseline, score, results)))


def _named(baseline: str, score: str, results: Named) -> Iterator[str]:
    for verdict in ("better", "worse"):
        ahead = _with(results, verdict)
        if len(ahead) == 1:
            yield f"{ahead[0][0]} is {verdict} than {baseline} on `{score}` by {_size(ahead[0][1])}"
        elif ahead:
            names = listed([f"{name} ({_signed(result)})" for name, result in ahead])
            yield f"{names} are {verdict} than {baseline} on `{score}`"
    against = "" if _is_decided(results) else f" against {baseline} on `{score}`"
    for undecided in _UNDECIDED:
        if found := _with(results, undecided):
            yield f"{undecided} for {listed([name for name, _ in found])}{against}"


def _counted(baseline: str, score: str, results: Named) -> Iterator[str]:
    """Only the first clause says what is counted and against what."""
    first = True
    for verdict, extreme in (("better", "best"), ("worse", "worst")):
        ahead = sorted(_with(results, verdict), key=lambda one: abs(one[1].difference or 0.0), reverse=True)
        if ahead:
            of = f" of {len(results)} variants" if first else ""
            than = f" than {baseline} on `{score}`" if first else ""
            named = f", {extreme}: " if len(ahead) > 1 else ": "
            verb = "is" if len(ahead) == 1 else "are"
            yield f"{len(ahead)}{of} {verb} {verdict}{than}{named}{ahead[0][0]} by {_size(ahead[0][1])}"
            first = False
    for undecided in _UNDECIDED:
        if found := len(_with(results, undecided)):
            every = "all" if found == len(results) else f"{found} of"
            of = f"{every} {len(results)} variants against {baseline} on `{score}`" if first else str(found)
            yield f"{undecided} for {of}"
            first = False


def _with(results: Named, verdict: str) -> list[tuple[str, Comparison]]:
    return [(name, result) for name, result in results if result.verdict == verdict]


def _is_decided(results: Named) -> bool:
    return any(result.verdict in ("better", "worse") for _, result in results)


def _signed(result: Comparison) -> str:
    return difference(result.difference, result.shown_kind, result.interval)


def _size(result: Comparison) -> str:
    return _signed(result).lstrip(f"+{MINUS}")


def _first_upper(text: str) -> str:
    """Only our own words: a name such as `plain` stays as it is written."""
    return text[0].upper() + text[1:] if text.startswith(("no ", "not ")) else text
