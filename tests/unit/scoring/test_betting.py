"""The always-valid sequence against slow second ways: wealth pair by pair, exact enumeration, a grid of means."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.scoring.early_stop.betting import FRACTIONS, STEPS, ConfidenceSequence, log_capital
from bench.early_stop import NULLS, binary, rare_losses, simulate

ALPHA = 0.05


def wealth(values: list[float], mean: float) -> float:
    """The mixture's capital, bet by bet, in plain Python: what a gambler with twelve purses would own."""
    purses = [1 / len(FRACTIONS)] * len(FRACTIONS)
    for value in values:
        purses = [
            purse * (1 + fraction / mean * (value - mean)) for purse, fraction in zip(purses, FRACTIONS, strict=True)
        ]
    return math.fsum(purses)


def counts_of(values: list[float]) -> Counter[int]:
    return Counter(round((2 * value - 1) * STEPS) for value in values)


def followed(differences: list[float], alpha: float = ALPHA, chunk: int = 10) -> ConfidenceSequence:
    sequence = ConfidenceSequence(alpha)
    for first in range(0, len(differences), chunk):
        sequence.add(differences[first : first + chunk])
        sequence.tighten()
    return sequence


@pytest.mark.parametrize("mean", [0.05, 0.3, 0.5, 0.9, 1.0])
def test_capital_is_that_of_a_gambler_who_bets_pair_by_pair(mean: float) -> None:
    """Counting values gives what betting one after the other gives, in any order."""
    values = np.random.default_rng(3).choice([0.0, 0.2, 0.5, 0.9, 1.0], 60).tolist()
    assert log_capital(counts_of(values), mean) == pytest.approx(math.log(wealth(values, mean)), rel=1e-9)
    assert log_capital(counts_of(values[::-1]), mean) == pytest.approx(log_capital(counts_of(values), mean))


@pytest.mark.parametrize("shares", [(0.1, 0.8, 0.1), (0.3, 0.4, 0.3), (0.5, 0.0, 0.5)])
def test_no_bet_gains_on_average_when_there_is_no_difference(shares: tuple[float, float, float]) -> None:
    """Exactly, over every possible sequence of five pairs: the capital's mean stays 1."""
    total = 0.0
    for drawn in product(range(3), repeat=5):
        chance = math.prod(shares[one] for one in drawn)
        total += chance * math.exp(log_capital(counts_of([one / 2 for one in drawn]), 0.5))
    assert total == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("discordant", "pairs"), [(1.0, 50), (0.3, 36)])
def test_the_exact_chance_of_a_false_alarm_is_at_most_alpha_with_a_look_after_every_pair(
    discordant: float, pairs: int
) -> None:
    """Enumerated over all counts of wins and losses, with nothing simulated."""
    alive: dict[tuple[int, int], float] = {(0, 0): 1.0}
    alarms = 0.0
    for pair in range(1, pairs + 1):
        after: dict[tuple[int, int], float] = defaultdict(float)
        for (wins, losses), chance in alive.items():
            after[wins + 1, losses] += chance * discordant / 2
            after[wins, losses + 1] += chance * discordant / 2
            after[wins, losses] += chance * (1 - discordant)
        alive = {}
        for (wins, losses), chance in after.items():
            sequence = ConfidenceSequence(ALPHA)
            sequence.floors = {STEPS: wins, -STEPS: losses, 0: pair - wins - losses}
            sequence.negated_ceilings = {-STEPS: wins, STEPS: losses, 0: pair - wins - losses}
            sequence.pairs = pair
            sequence.look()
            if sequence.direction:
                alarms += chance
            else:
                alive[wins, losses] = chance
    assert 0 < alarms <= ALPHA
    assert alarms + sum(alive.values()) == pytest.approx(1)


def test_the_bounds_are_those_of_a_grid_of_means() -> None:
    """Every mean that the bounds hold is one that no look has refuted, and every other one was refuted."""
    differences = binary(0.15)(np.random.default_rng(5), 120).tolist()
    sequence = followed(differences, chunk=30)
    held = []
    for mean in np.linspace(0.005, 0.995, 199):
        looks = [differences[:seen] for seen in (30, 60, 90, 120)]
        higher = [wealth([(one + 1) / 2 for one in seen], mean) / 2 for seen in looks]
        lower = [wealth([(1 - one) / 2 for one in seen], 1 - mean) / 2 for seen in looks]
        if max(*higher, *lower) < 1 / ALPHA:
            held.append(2 * mean - 1)
    assert min(held) == pytest.approx(sequence.low, abs=0.0101)
    assert max(held) == pytest.approx(sequence.high, abs=0.0101)


def test_values_between_two_steps_never_count_for_more_than_they_are() -> None:
    """Rounding may only weaken the evidence, whichever side it is for."""
    differences = (np.random.default_rng(9).normal(0.1, 0.3, 200).clip(-1, 1)).tolist()
    sequence = followed(differences)
    exact = math.log(wealth([(one + 1) / 2 for one in differences], 0.5) / 2)
    last = log_capital(sequence.floors, 0.5) - math.log(2)
    assert exact - 0.05 < last <= exact


def test_the_test_and_the_bounds_agree() -> None:
    """A difference is shown exactly when the bounds exclude 0, and then p is at most alpha."""
    up, down, none = (followed(binary(effect)(np.random.default_rng(1), 600).tolist()) for effect in (0.15, -0.15, 0))
    assert (up.direction, down.direction, none.direction) == (1, -1, 0)
    assert up.low >= 0 > none.low and down.high <= 0 < none.high
    assert max(up.p_value, down.p_value) <= ALPHA < none.p_value
    assert up.estimate is not None and up.low < up.estimate < up.high


def test_what_was_shown_stays_shown() -> None:
    """A second look cannot undo the first one, whatever comes later."""
    sequence = followed([1.0] * 30)
    before = sequence.p_value
    sequence.add([-1.0] * 20)
    sequence.tighten()
    assert (sequence.direction, sequence.p_value) == (1, before)
    assert 0 <= sequence.low <= sequence.high


def test_looking_twice_changes_nothing() -> None:
    """The evidence is that of the pairs, not of the looks."""
    once = followed(binary(0.1)(np.random.default_rng(2), 200).tolist(), chunk=200)
    twice = followed(binary(0.1)(np.random.default_rng(2), 200).tolist(), chunk=200)
    twice.tighten()
    twice.tighten()
    assert twice == once


def test_equal_answers_show_nothing() -> None:
    """Without a single difference there is no evidence of one, and the bounds close around 0."""
    sequence = followed([0.0] * 2_000, chunk=500)
    assert (sequence.direction, sequence.p_value) == (0, 1.0)
    assert -0.02 < sequence.low < 0 < sequence.high < 0.02


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_any_differences_give_finite_bounds_in_order(differences: list[float]) -> None:
    """Ends of the range and tiny numbers included."""
    sequence = followed(differences)
    assert -1 <= sequence.low <= sequence.high <= 1
    assert 0 < sequence.p_value <= 1


def test_the_mirrored_differences_give_the_mirrored_sequence() -> None:
    """Better and worse are found alike."""
    differences = rare_losses(np.random.default_rng(4), 300).tolist()
    one, other = followed(differences), followed([-difference for difference in differences])
    assert (other.log_higher, other.log_lower) == pytest.approx((one.log_lower, one.log_higher))
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-6)


@pytest.mark.parametrize("null", NULLS)
def test_runs_without_a_difference_are_hardly_ever_stopped_however_often_one_looks(null: str) -> None:
    """100 runs with a look after every chunk; a bound for their number that alpha would exceed once in 1,000 times."""
    found = simulate(NULLS[null], 100, rows=600, chunk=30)
    assert found.decided <= 13


def test_a_clear_difference_is_found_early_and_on_the_right_side() -> None:
    """Most runs need less than a third of the rows."""
    found = simulate(binary(0.15), 40, rows=1_500, chunk=30)
    assert found.decided == 40
    assert set(found.sides) == {1}
    assert found.median_rows < 500
