"""Verdicts of runs that may end early: the sequential test decides, fixed-size p-values do not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from assay.scoring.comparisons import adjust, compare
from assay.scoring.early_stop.base import Settled
from assay.scoring.early_stop.betting import ConfidenceSequence
from assay.scoring.early_stop.course import Course, ScoreCourse, TrialSummary
from assay.scoring.early_stop.results import EarlyStops
from assay.scoring.early_stop.rules import Sequential, SequentialOptions, Threshold, ThresholdOptions
from assay.scoring.early_stop.verdicts import TEST, Asked, Followed, early_stops, settle_verdicts
from assay.scoring.paired_scores import Method, PairedScores
from assay.scoring.results import Comparison

ROWS, ALPHA = 400, 0.05
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def scores(gain: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pass or fail of both sides on every row."""
    random = np.random.default_rng(seed)
    return (random.random(ROWS) < 0.5).astype(float), (random.random(ROWS) < 0.5 + gain).astype(float)


def compared(gain: float, *, margin: float | None = None, goal: str = "maximise") -> Comparison:
    before, after = scores(gain)
    method = Method(alpha=ALPHA, margin=margin)
    return compare(PairedScores.of(before, after), kind="binary", value_range=(0, 1), method=method, goal=goal)


def course(name: str, gains: dict[str, float | None], alpha: float = ALPHA / 2) -> Course:
    """A course over all rows; a gain of None is of a score without a range."""
    found = Course(name, "correct")
    for score, gain in gains.items():
        sequence = None if gain is None else ConfidenceSequence(alpha)
        found.scores[score] = ScoreCourse(width=None if gain is None else 1.0, sequence=sequence)
        if sequence is not None:
            before, after = scores(gain or 0.0)
            sequence.add((after - before).tolist())
            sequence.look()
    return found


def followed(*courses: Course, alpha: float | None = ALPHA, settled: tuple[Settled, ...] = ()) -> Followed:
    rules = ("sequential",) if alpha else ("threshold",)
    return Followed({one.experiment: one for one in courses}, {one.experiment: one for one in settled}, rules, alpha)


def settled(experiment: str) -> Settled:
    return Settled(
        decision="threshold", reason="so", experiment=experiment, rule="threshold", rows=50, rows_planned=400, at=AT
    )


def verdicts(results: list[Comparison], places: list[tuple[str, str]], seen: Followed) -> tuple[Comparison, ...]:
    return settle_verdicts(adjust(results), places, "correct", seen, "holm")


def test_the_sequence_takes_the_place_of_the_test_for_a_fixed_size() -> None:
    """Test, p-value, interval and verdict are those of the sequence; variants share alpha."""
    seen = followed(course("short", {"correct": 0.25}), course("long", {"correct": 0.0}))
    short, long = verdicts([compared(0.25), compared(0.0)], [("correct", "short"), ("correct", "long")], seen)
    anytime = seen.anytime("short", "correct")
    assert anytime is not None
    assert (short.verdict, long.verdict) == ("better", "no difference shown")
    assert (short.test, short.p_value, short.interval) == (TEST, anytime.p_value, anytime.interval)
    assert short.p_adjusted == pytest.approx(2 * anytime.p_value)
    assert (short.correction, short.interval.level) == ("Bonferroni", 0.975)
    assert short.sensitivity is long.sensitivity is None


def test_a_small_fixed_size_p_value_does_not_decide() -> None:
    """Where only the fixed-size test cries wolf, no difference is shown."""
    result = compared(0.08)
    weak = course("short", {"correct": 0.0})
    assert result.p_value is not None
    [found] = verdicts([result], [("correct", "short")], followed(weak))
    assert found.verdict == "no difference shown"
    assert found.verdict_reason.startswith("anytime-valid p = ")


def test_minimised_scores_turn_the_verdict() -> None:
    """More of what should be less is worse."""
    seen = followed(course("short", {"correct": 0.25}))
    [found] = verdicts([compared(0.25, goal="minimise")], [("correct", "short")], seen)
    assert found.verdict == "worse"


def test_other_scores_are_a_family_of_their_own() -> None:
    """They are corrected among themselves; one without a range has no test but counts, and says why."""
    seen = followed(course("short", {"correct": 0.25, "kind": 0.25, "length": None}))
    places = [(score, "short") for score in ("correct", "kind", "length")]
    correct, kind, length = verdicts([compared(0.25), compared(0.25), compared(0.25)], places, seen)
    assert (correct.correction, kind.correction) == ("Bonferroni", "Holm")
    assert kind.p_value == correct.p_value
    assert kind.p_adjusted == pytest.approx(2 * (kind.p_value or 1))
    assert (length.p_value, length.verdict) == (None, "no difference shown")
    assert "no known range" in length.verdict_reason
    assert any("fixed number of rows" in note for note in length.notes)


def test_equivalence_is_that_of_the_confidence_sequence() -> None:
    """Two one-sided tests are for a fixed size too."""
    alike = followed(course("short", {"correct": 0.0}))
    [wide] = verdicts([compared(0.0, margin=0.5)], [("correct", "short")], alike)
    [narrow] = verdicts([compared(0.0, margin=0.01)], [("correct", "short")], alike)
    assert wide.equivalence is not None and narrow.equivalence is not None
    assert (wide.equivalence.shown, narrow.equivalence.shown) == (True, False)
    assert wide.equivalence.interval == wide.interval


def test_a_heuristic_leaves_the_verdict_and_adds_a_note() -> None:
    """Only for what it has stopped."""
    seen = followed(
        course("short", {"correct": None}), course("long", {"correct": None}), alpha=None, settled=(settled("short"),)
    )
    results = adjust([compared(0.25), compared(0.25)])
    short, long = settle_verdicts(results, [("correct", "short"), ("correct", "long")], "correct", seen, "holm")
    assert long == results[1]
    assert (short.verdict, short.p_value) == (results[0].verdict, results[0].p_value)
    assert "stopped by a heuristic" in short.notes[-1]


def test_what_was_saved_is_told_in_trials_and_money() -> None:
    """Money by the mean cost of the trials that were asked; an experiment that was never asked saves an unknown sum."""
    asked = [
        Asked("plain", 400, 0, Decimal("0.8")),
        Asked("short", 50, 350, Decimal("0.05")),
        Asked("long", 0, 400, Decimal(0)),
    ]
    seen = followed(course("short", {"correct": 0.25}), course("long", {"correct": None}), settled=(settled("short"),))
    found: EarlyStops = early_stops(seen, "plain", asked)
    assert [one.saved_usd for one in found.experiments] == [0, Decimal("0.35"), 0]
    assert (found.saved_trials, found.saved_usd) == (750, Decimal("0.35"))
    assert [one.baseline for one in found.experiments] == [True, False, False]
    assert found.sentences[1] == "Early stop saved 750 trials and about 0.3500 USD."
    assert list(found.experiments[1].sequences) == ["correct"]


def test_thresholds_are_looked_at_in_the_order_of_their_options() -> None:
    """The first limit that is passed is named; before the minimum of rows nothing is decided."""
    rule = Threshold(ThresholdOptions(minimum_rows=10, failure_rate=0.2, cost_usd_per_trial=0.01, mean_below=0.5))
    trials = [
        TrialSummary(row, "failed" if row % 2 else "succeeded", Decimal("0.1"), {"correct": 0.0}) for row in range(5)
    ]
    found = Course("short", "correct", scores={"correct": ScoreCourse()})
    found.add(5, trials, trials)
    assert rule.decide(found) is None
    found.add(5, trials, [TrialSummary(9, "succeeded", Decimal("0.1"), {"correct": 1.0})] * 5)
    finding = rule.decide(found)
    assert finding is not None
    assert finding.reason == "the mean cost of a trial in USD is 0.1, above 0.01"


def test_the_sequential_rule_waits_for_its_minimum_of_pairs() -> None:
    """Rows without a score on both sides do not count."""
    rule = Sequential(SequentialOptions(minimum_rows=401))
    assert rule.decide(course("short", {"correct": 0.3})) is None
    found = Sequential(SequentialOptions(minimum_rows=400)).decide(course("short", {"correct": 0.3}))
    assert found is not None
    assert found.decision == "better"


def test_repeats_of_a_row_count_as_their_mean_and_values_beyond_the_range_not_at_all() -> None:
    """A row is one piece of evidence; a scorer that breaks its promise must not break the test's."""
    score = ScoreCourse(width=1.0, sequence=ConfidenceSequence(ALPHA))
    found = Course("short", "correct", scores={"correct": score})
    baseline = [TrialSummary(row, "succeeded", Decimal(0), {"correct": 0.0}) for row in (1, 2, 3)]
    variant = [TrialSummary(1, "succeeded", Decimal(0), {"correct": one}) for one in (0.0, 1.0)]
    variant += [TrialSummary(2, "succeeded", Decimal(0), {"correct": 7.0}), TrialSummary(3, "failed", Decimal(0), {})]
    found.add(3, baseline, variant)
    assert score.sequence is not None
    assert (score.sequence.pairs, score.sequence.total) == (1, 0.5)
    assert (found.rows, found.trials, found.failed) == (3, 4, 1)
