"""Shares: how many partitions there are and how many of them are whose due."""

from __future__ import annotations

import pytest

from assay.quota.base import Quota
from assay.quota.shares import fair_share, partition_count
from assay.quota.tickets import Ticket


@pytest.mark.parametrize(
    ("quota", "mean_charge", "partitions"),
    [
        (Quota(600, 100_000), 1000, 4),  # 1.7 requests per second, the fewest
        (Quota(600, 10_000_000), 1000, 9),  # 10 requests per second
        (Quota(10_000, 2_000_000), 930, 32),
        (Quota(100_000, 10_000_000), 100, 64),  # the most
    ],
)
def test_a_partition_is_worth_about_one_request_per_second(quota: Quota, mean_charge: int, partitions: int) -> None:
    """P = clamp(0.9 Q, 4, 64), Q the requests per second that both axes allow."""
    assert partition_count(quota, mean_charge) == partitions


def share(held: int, *others: int, partitions: int = 4) -> tuple[int, int]:
    found = fair_share(partitions, held, [Ticket(f"w{index}", count) for index, count in enumerate(others)])
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


def test_a_surplus_stays_while_nobody_is_short() -> None:
    """Partitions of a worker that finished are not given back without need."""
    assert share(3, 2, partitions=4) == (2, 3)


def test_with_more_workers_than_partitions_one_is_the_most() -> None:
    """The others wait; nobody holds two while another holds none."""
    assert share(2, 1, 1, 0, 0, 0) == (1, 1)
    assert share(0, 1, 1, 1, 1) == (1, 1)


def test_free_is_what_nobody_claims() -> None:
    """Looking for free partitions costs an operation each: worth it only when there are some."""
    assert fair_share(4, 1, [Ticket("b", 2)]).free == 1
    assert fair_share(4, 2, [Ticket("b", 2)]).free == 0
    assert fair_share(4, 4, [Ticket("b", 2)]).free == 0
