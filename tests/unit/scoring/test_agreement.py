"""Agreement of two raters: published figures, second ways to compute them, and what nothing can be said of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.scoring.statistics.agreement import MOST_LEVELS, label_agreement, rating_agreement

# Two raters of 100 subjects: J. L. Fleiss, Statistical Methods for Rates and Proportions (1981), table 13.1.
FLEISS = ((75, 1, 4), (5, 4, 1), (0, 0, 10))

grades = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=60)


def spread_out(table: tuple[tuple[int, ...], ...]) -> tuple[list[int], list[int]]:
    pairs = [(i, j) for i, line in enumerate(table) for j, count in enumerate(line) for _ in range(count)]
    return [one for one, _ in pairs], [other for _, other in pairs]


def test_kappa_is_the_published_one() -> None:
    """Fleiss gives 0.68 with a standard error of 0.087 for the table; to all digits it is 23/34."""
    one, other = spread_out(FLEISS)
    found = label_agreement([str(each) for each in one], [str(each) for each in other])

    assert (found.n, found.exact.estimate, found.weights) == (100, 0.89, "none")
    assert found.kappa.estimate == pytest.approx(23 / 34, rel=1e-12)
    assert found.kappa.low is not None and found.kappa.high is not None
    assert (found.kappa.high - found.kappa.low) / (2 * 1.959964) == pytest.approx(0.0877, abs=5e-5)


def test_names_need_no_order() -> None:
    """What the categories are called changes nothing."""
    one, other = spread_out(FLEISS)
    names = {0: "variant", 1: "baseline", 2: "tie"}
    renamed = label_agreement([names[each] for each in one], [names[each] for each in other])
    assert renamed.kappa.estimate == pytest.approx(23 / 34, rel=1e-12)


@given(pairs=grades)
def test_quadratic_weights_compare_mean_squared_distances(pairs: list[tuple[int, int]]) -> None:
    """One less the mean squared distance of the pairs over that of all possible pairs; gaps in the scale count."""
    one, other = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = rating_agreement(one, other)
    apart = np.mean((one[:, None] - other) ** 2)
    if apart == 0:
        assert found.kappa.estimate is None and found.kappa.reason == "all values are equal"
        return
    assert found.kappa.estimate == pytest.approx(1 - np.mean((one - other) ** 2) / apart, abs=1e-9)
    assert found.exact.estimate == np.mean(one == other)


@given(pairs=grades)
def test_correlations_agree_with_their_definitions(pairs: list[tuple[int, int]]) -> None:
    """Pearson from deviations; Spearman as Pearson of mean ranks."""
    one, other = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = rating_agreement(one, other)
    assert found.pearson is not None
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert (found.pearson.estimate, found.spearman) == (None, None)
        return
    assert found.pearson.estimate == pytest.approx(correlation(one, other), abs=1e-9)
    assert found.spearman == pytest.approx(correlation(mean_ranks(one), mean_ranks(other)), abs=1e-9)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    first, second = one - one.mean(), other - other.mean()
    return float((first * second).sum() / math.sqrt((first**2).sum() * (second**2).sum()))


def mean_ranks(values: np.ndarray) -> np.ndarray:
    return np.array([np.sum(values < value) + (np.sum(values == value) + 1) / 2 for value in values])


def test_the_interval_of_a_correlation_is_fishers() -> None:
    """The transformed correlation plus and minus a normal quantile over the root of n - 3."""
    one, other = [1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5]
    found = rating_agreement(one, other).pearson
    assert found is not None and found.estimate is not None
    reach = 1.959963984540054 / math.sqrt(3)
    bounds = (math.tanh(math.atanh(found.estimate) - reach), math.tanh(math.atanh(found.estimate) + reach))
    assert (found.low, found.high) == pytest.approx(bounds, rel=1e-9)


def test_the_second_rater_is_the_one_whose_mean_may_be_higher() -> None:
    """The judge stands second: a positive difference means that it is milder than people."""
    assert rating_agreement([1, 2, 3], [2, 3, 4]).mean_difference == 1.0


def test_what_nothing_can_be_said_of_has_a_reason() -> None:
    """No ratings, one, the same everywhere, or as many different ones as measurements have."""
    empty, single, same = rating_agreement([], []), rating_agreement([3], [4]), rating_agreement([2, 2], [2, 2])
    many = rating_agreement(range(MOST_LEVELS + 1), range(MOST_LEVELS + 1))
    assert [one.kappa.reason for one in (empty, same)] == ["there are no values", "all values are equal"]
    assert single.pearson is not None and single.pearson.reason == "one value has no spread"
    assert many.kappa.reason is not None and "different values" in many.kappa.reason
    assert (empty.mean_difference, empty.exact.estimate) == (None, None)


def test_raters_must_have_rated_the_same_things() -> None:
    """Ratings that cannot be paired are the caller's mistake."""
    with pytest.raises(ValueError, match="expected as many"):
        rating_agreement([1, 2], [1])
