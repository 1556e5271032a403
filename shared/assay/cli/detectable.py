"""The part of `assay estimate` that says which differences a run could find; `estimate.py` calls it."""

from collections.abc import Iterator
from math import sqrt

import typer

from assay.cli.shown import print_table
from assay.planning.detectable import Detectability, Detectable

NONE = "-"
_MARGIN = " " * len("Power: ")


def print_detectable(found: Detectability) -> None:
    """A sentence on the test, a table or sentence of what it finds, and what that takes for granted."""
    typer.echo(f"\nPower: {_test_sentence(found)}")
    if found.kind == "binary":
        print_table(_columns(found), [_cells(one, found) for one in found.lines])
    for sentence in _explained(found):
        typer.echo(f"{_MARGIN}{sentence}")


def _test_sentence(found: Detectability) -> str:
    over = f" over {found.comparisons} comparisons" if found.comparisons > 1 else ""
    groups = "" if found.groups is None else f" in {found.groups:,} groups"
    return (
        f"the smallest true difference on '{found.score}' that such a run finds in {_percent(found.power)} of cases, "
        f"by the {found.method} of {found.rows:,} rows{groups} at alpha {found.alpha:g}{over}."
    )


def _columns(found: Detectability) -> list[str]:
    smallest = ["difference"] if found.groups is None else ["if groups mean nothing", "if a group is all alike"]
    needed = [] if found.target is None else [f"{_evidence(found)} needed for {_points(found.target)}"]
    return ["rows that differ", "pass rate, if unrelated", *smallest, *needed]


def _cells(one: Detectable, found: Detectability) -> list[str]:
    share = one.discordant_share or 0.0
    smallest = [_points(one.minimum_difference)]
    if found.groups is not None:
        smallest.append(_points(one.minimum_by_group))
    needed = [] if found.target is None else [_count(one.rows_needed)]
    return [_percent(share), _percent(_unrelated_pass_rate(share)), *smallest, *needed]


def _unrelated_pass_rate(share: float) -> float:
    """The pass rate at which two experiments that have nothing in common differ on this share: 2 p (1 - p)."""
    return (1 + sqrt(max(0.0, 1 - 2 * share))) / 2


def _explained(found: Detectability) -> Iterator[str]:
    if found.kind == "binary":
        yield "A row differs when just one of both experiments passes it; how many do, only the run shows. Experiments"
        yield "that have nothing in common differ so often at the pass rate beside it; the more alike, the fewer."
        if any(one.minimum_difference is None for one in found.lines):
            yield "A dash: if only so many rows differ, no difference is found that often, however it falls out."
    else:
        yield from _numeric_sentences(found)
    if found.groups is not None:
        yield "Rows of a group may be alike: how much they are decides where between both figures the truth lies."
    if found.repeats > 1:
        yield "Repeats are no more rows. They are taken to be alike, the worst case: else smaller differences show."
    yield "Every row is taken to get a score from every experiment."


def _numeric_sentences(found: Detectability) -> Iterator[str]:
    (one,) = found.lines
    smallest = _deviations(one.minimum_difference)
    if found.groups is not None:
        smallest += f" if groups mean nothing, {_deviations(one.minimum_by_group)} if a group is all alike"
    yield f"It is {smallest}, in standard deviations of the rows' differences. Those are as large as the scores' own"
    yield "deviation where the scores of both experiments correlate by one half, and smaller where by more."
    if found.target is not None:
        yield f"To find {found.target:g} deviations takes {_count(one.rows_needed)} {_evidence(found)}."


def _evidence(found: Detectability) -> str:
    return "rows" if found.groups is None else "rows, or groups that are alike,"


def _points(share: float | None) -> str:
    return NONE if share is None else f"{share * 100:.1f} points"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _deviations(number: float | None) -> str:
    return "out of reach" if number is None else f"{number:.3g}"


def _count(number: int | None) -> str:
    return NONE if number is None else f"{number:,}"
