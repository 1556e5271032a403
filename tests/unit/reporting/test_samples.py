"""The samples: few rows, chosen by number, with few answers held at a time."""

from assay.reporting.samples import MOST_DISAGREEMENTS, DisagreementSampler, cut
from builders import outcome, triage_run


def test_answers_are_held_for_one_row_range_at_most() -> None:
    """Rule: in the plan's order, memory does not grow with the number of rows."""
    run = triage_run(rows=320)
    sampler = DisagreementSampler("plain", ("think-first", "short"), "correct")
    held = []

    for one in run.outcomes:
        sampler.add(one)
        held.append(sampler.waiting)

    assert max(held) <= run.plan.ranges[0].rows
    assert held[-1] == 0


def test_nothing_is_held_once_the_first_disagreements_are_found() -> None:
    """Rule: a row that comes too late is not kept waiting."""
    sampler = DisagreementSampler("plain", ("short",), "correct")
    for number in range(1, MOST_DISAGREEMENTS + 1):
        sampler.add(outcome(number, "plain", {"correct": 0.0}))
        sampler.add(outcome(number, "short", {"correct": 1.0}))

    sampler.add(outcome(99, "plain", {"correct": 0.0}))

    assert sampler.waiting == 0


def test_a_row_whose_third_trial_never_comes_is_still_compared() -> None:
    """Rule: a lost trial of one variant does not hide another's disagreement."""
    sampler = DisagreementSampler("plain", ("think-first", "short"), "correct")
    sampler.add(outcome(1, "short", {"correct": 1.0}))
    sampler.add(outcome(1, "plain", {"correct": 0.0}))

    samples = sampler.samples((), None)

    assert [one.row_id for one in samples["short"]] == ["T-0001"]
    assert samples["think-first"] == ()


def test_text_is_cut_at_the_limit() -> None:
    """Rule: what is left out is counted."""
    assert cut("abc", 3) == "abc"
    assert cut("abcdef", 3) == "abc … (3 more characters)"
