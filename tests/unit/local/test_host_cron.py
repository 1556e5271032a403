"""Timer schedules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import UserError
from assay.local.cron import parse_schedule

FRIDAY = datetime(2026, 11, 20, 10, 17, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */5 * * * *", "2026-11-20T10:20:00"),
        ("*/5 * * * *", "2026-11-20T10:20:00"),
        ("* * * * * *", "2026-11-20T10:17:31"),
        ("30 17 10 * * *", "2026-11-21T10:17:30"),
        ("0 0 9-17 * * MON-FRI", "2026-11-20T11:00:00"),
        ("0 30 9 * * SAT,sun", "2026-11-21T09:30:00"),
        ("0 0 0 * * 7", "2026-11-22T00:00:00"),
        ("0 0 0 1 JAN *", "2027-01-01T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
        ("0 0 8/6 * * *", "2026-11-20T14:00:00"),
    ],
)
def test_the_next_time_is_the_first_that_matches_all_fields(expression: str, expected: str) -> None:
    """Six fields, or five without seconds; names, lists, ranges and steps."""
    assert parse_schedule(expression).next_after(FRIDAY) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_day_that_never_comes_has_no_next_time() -> None:
    """30 February."""
    assert parse_schedule("0 0 0 30 2 *").next_after(FRIDAY) is None


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 0", "has 2 fields; expected six"),
        ("0 61 * * * *", "found '61' as minute; expected values from 0 to 59"),
        ("0 0 0 * * FRIDAY", "found 'FRIDAY' as day of week"),
        ("0 0 9-5 * * *", "found '9-5' as hour"),
        ("0 */0 * * * *", "found '\\*/0' as minute"),
    ],
)
def test_a_bad_field_is_named(expression: str, message: str) -> None:
    """What was found, as which field, and what is expected."""
    with pytest.raises(UserError, match=message):
        parse_schedule(expression)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.sampled_from([1, 2, 5, 10, 30]))
def test_a_step_of_minutes_is_never_further_than_the_step(moment: datetime, step: int) -> None:
    """Checked against plain arithmetic."""
    aware = moment.replace(tzinfo=UTC)
    found = parse_schedule(f"0 */{step} * * * *").next_after(aware)

    assert found is not None
    assert 0 < (found - aware).total_seconds() <= step * 60
    assert (found.minute % step, found.second) == (0, 0)
