"""Histograms that compare experiments, and confusions that lose no trial."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.records import Score
from assay.reporting.contents import Confusion
from assay.reporting.distributions import MOST_BINS, MOST_LABELS, bin_edges, distributions
from builders import outcome, plan, run_header, suite
from evaluations import evaluate


def test_a_binary_score_is_counted_by_its_two_values() -> None:
    """Rule: failures first, passes second; what is missing is in neither."""
    found = distributions({"plain": np.array([0.0, 1.0, 1.0, np.nan]), "short": np.array([np.nan])}, "binary")

    assert {name: one.counts for name, one in found.items()} == {"plain": (1, 2)}


def test_ratings_have_a_bin_each() -> None:
    """Rule: a few whole numbers stand in the middle of their bins, over all experiments."""
    found = distributions({"plain": np.array([3.0, 5.0, 5.0]), "short": np.array([7.0])}, "numeric")

    assert found["plain"].edges == found["short"].edges == (2.5, 3.5, 4.5, 5.5, 6.5, 7.5)
    assert (found["plain"].counts, found["short"].counts) == ((1, 0, 2, 0, 0), (0, 0, 0, 0, 1))


def test_edges_are_round_numbers() -> None:
    """Rule: a reader can name the bins."""
    edges = bin_edges([np.array([0.03, 0.3, 0.97])])

    assert edges[0] == 0.0
    assert len(edges) == 21
    assert edges[6] == 0.3


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_every_value_is_in_a_bin(values: list[float]) -> None:
    """Rule: whatever the numbers, at most thirty bins, edges that rise, and no value outside."""
    edges = bin_edges([np.array(values)])

    assert len(edges) <= MOST_BINS + 1
    assert (edges[1:] > edges[:-1]).all()
    assert np.histogram(values, edges)[0].sum() == len(values)


def confusion_of(*labels: tuple[str | None, str | None]) -> Confusion | None:
    """Of trials with these (expected, found) labels."""
    of = suite(("plain",))
    outcomes = [
        outcome(number).model_copy(
            update={"scores": (Score(name="correct", value=0.0, label=found, expected=expected),)}
        )
        for number, (expected, found) in enumerate(labels, start=1)
    ]
    contents = evaluate(run_header(of), of, plan(of, len(labels)), outcomes, (), 0)
    return contents.experiments[0].confusions.get("correct")


def test_a_confusion_counts_expected_against_found() -> None:
    """Rule: lines are what was expected, the commonest first; an answer without a label has a column of its own."""
    found = confusion_of(("a", "a"), ("a", "b"), ("b", "b"), ("a", None), (None, None))

    assert found == Confusion(labels=("a", "b", "no label"), counts=((1, 1, 1), (0, 1, 0), (0, 0, 0)))


def test_a_score_without_labels_has_no_confusion() -> None:
    """Rule: nothing is shown where nothing was said."""
    assert confusion_of((None, None)) is None


@pytest.mark.parametrize("labels", [MOST_LABELS, MOST_LABELS + 5])
def test_rare_labels_share_a_place_and_nothing_is_lost(labels: int) -> None:
    """Rule: at most twenty labels by name, the rest counted together."""
    found = confusion_of(*[(f"label {at}", f"label {at}") for at in range(labels)], ("label 3", "label 4"))

    assert found is not None
    assert (len(found.labels), found.others) == (MOST_LABELS, labels - MOST_LABELS)
    assert sum(map(sum, found.counts)) == labels + 1
    assert {len(line) for line in found.counts} == {MOST_LABELS + (labels > MOST_LABELS)}
    assert found.labels[0] == "label 3"
