"""Shares: how many partitions there are, how many of them are whose due, and who asks whom for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.quota.base import Quota
from assay.quota.shares import Claim, deal, fair_level, fair_share, partition_count

ALL = 64
claims = st.lists(st.builds(Claim, held=st.integers(0, 10), wants=st.integers(1, 20)), max_size=12)


@pytest.mark.parametrize(
    ("quota", "mean_charge", "partitions"),
    [
        (Quota(600, 100_000), 1000, 4),  # 1.7 requests per second, the fewest
        (Quota(600, 10_000_000), 1000, 7),  # 10 requests per second
        (Quota(10_000, 2_000_000), 1000, 25),
        (Quota(100_000, 10_000_000), 100, 64),  # the most
        (Quota(600, 30_000), 1000, 2),  # 30 charges a minute: two partitions worth 15 each
        (Quota(6, 1_000), 1000, 1),
    ],
)
def test_a_partition_is_worth_about_one_request_per_second(quota: Quota, mean_charge: int, partitions: int) -> None:
    """P = clamp(0.75 Q, 4, 64), Q the requests per second that both axes allow; each worth 12 charges a minute."""
    assert partition_count(quota, mean_charge) == partitions


def share(held: int, *others: int, partitions: int = 4) -> tuple[int, int]:
    found = fair_share(partitions, Claim(held, ALL), [Claim(count, ALL) for count in others])
    return found.take_to, found.keep


def test_alone_everything_is_ours() -> None:
    """No ticket, no sharing."""
    assert share(1) == (4, 4)


def test_an_even_division_gives_back_the_surplus() -> None:
    """Who holds all gives half to who has none."""
    assert share(4, 0) == (2, 2)
    assert share(0, 4) == (2, 2)


def test_what_does_not_divide_stays_with_who_has_it_while_nobody_is_short() -> None:
    """Moving a partition to and fro would gain nobody anything."""
    assert share(2, 1, 1) == (2, 2)
    assert share(1, 1, 1) == (2, 2)


def test_what_does_not_divide_goes_to_who_is_short() -> None:
    """Its due comes before another's extra."""
    assert share(2, 2, 0) == (1, 1)


def test_what_does_not_divide_is_kept_when_the_rest_is_enough() -> None:
    """25 partitions for 16 workers: who held all keeps two, for the others have one each and eight are over."""
    assert share(25, *[0] * 15, partitions=25) == (1, 2)


def test_a_surplus_stays_while_nobody_is_short() -> None:
    """Partitions of a worker that finished are not given back without need."""
    assert share(3, 2, partitions=4) == (2, 3)


def test_with_more_workers_than_partitions_one_is_the_most() -> None:
    """The others wait; nobody holds two while another holds none."""
    assert share(2, 1, 1, 0, 0, 0) == (1, 1)
    assert share(0, 1, 1, 1, 1) == (1, 1)


def test_who_wants_little_leaves_the_rest_to_others() -> None:
    """Ten partitions for one that can use two of them, and one that can use all."""
    found = fair_share(10, Claim(5, ALL), [Claim(5, 2)])
    assert (found.due, found.take_to) == (8, 8)
    found = fair_share(10, Claim(5, 2), [Claim(5, ALL)])
    assert (found.due, found.keep) == (2, 2)


@given(partitions=st.integers(1, 64), workers=claims.filter(bool))
def test_fair_shares_are_max_min(partitions: int, workers: list[Claim]) -> None:
    """Dues fit into what there is, and a higher level would not, unless everybody has what it wants."""
    level = fair_level(partitions, workers)
    assert sum(min(worker.wants, level) for worker in workers) <= partitions
    if level < max(worker.wants for worker in workers):
        assert sum(min(worker.wants, level + 1) for worker in workers) > partitions


@given(partitions=st.integers(1, 64), mine=st.builds(Claim, st.integers(0, 10), st.integers(1, 20)), others=claims)
def test_nobody_gives_below_its_due_or_takes_what_it_must_give(
    partitions: int, mine: Claim, others: list[Claim]
) -> None:
    """Who must give takes nothing back, so that nothing goes to and fro."""
    found = fair_share(partitions, mine, others)
    assert found.due <= found.take_to
    assert found.keep >= min(mine.held, found.due)
    assert mine.held <= found.keep or found.take_to <= found.keep


def test_those_who_lack_something_take_turns_along_the_holders() -> None:
    """Everybody deals alike: nobody asks the same holder unless it has enough for both."""
    asked = deal([("x", 1), ("y", 2), ("z", 1)], {"b": 2, "a": 1, "c": 3, "d": 0})
    assert asked == {"a": {"x"}, "b": {"y", "z"}, "c": {"y"}, "d": set()}


def test_a_holder_of_all_is_asked_by_everybody() -> None:
    """Its surplus is enough for all who lack."""
    assert deal([("x", 24)], {name: 1 for name in "abc"}) == {name: {"x"} for name in "abc"}
