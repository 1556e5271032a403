"""The schedule of a timer trigger: `{second} {minute} {hour} {day} {month} {day of week}` in UTC (NCRONTAB).

Pure. Each field is `*`, a value, a range `a-b`, a list `a,b`, with an optional step `/n`; months and days may be names.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from assay.errors import UserError

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_LONGEST_SEARCH_DAYS = 366 * 8  # from one 29 February to the next, across a century


@dataclass(frozen=True)
class Schedule:
    """When a timer fires. Days of the week count from Sunday = 0."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`, or None if there is none in the next eight years (30 February, say)."""
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        first_day = start.replace(hour=0, minute=0, second=0)
        for offset in range(_LONGEST_SEARCH_DAYS):
            day = first_day + timedelta(days=offset)
            found = self._first_in(day, start) if self._matches_day(day) else None
            if found:
                return found
        return None

    def _matches_day(self, day: datetime) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _first_in(self, day: datetime, start: datetime) -> datetime | None:
        times = (
            day.replace(hour=hour, minute=minute, second=second)
            for hour in sorted(self.hours)
            for minute in sorted(self.minutes)
            for second in sorted(self.seconds)
        )
        return next((time for time in times if time >= start), None)


def parse_schedule(expression: str) -> Schedule:
    """Read a schedule of six fields, or of five without the seconds. Raises UserError, naming the field."""
    fields = expression.split()
    if len(fields) == len(_FIELDS) - 1:
        fields = ["0", *fields]
    if len(fields) != len(_FIELDS):
        raise UserError(f"Schedule '{expression}' has {len(fields)} fields; expected six, such as '0 */5 * * * *'.")
    values = [_parse_field(expression, text, *field) for text, field in zip(fields, _FIELDS, strict=True)]
    seconds, minutes, hours, days, months, weekdays = values
    return Schedule(seconds, minutes, hours, days, months, frozenset(day % 7 for day in weekdays))


def _parse_field(expression: str, field: str, name: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    try:
        return frozenset(value for part in field.split(",") for value in _parse_part(part, low, high, names))
    except (ValueError, KeyError) as error:
        found = f"Schedule '{expression}': found '{field}' as {name}"
        raise UserError(f"{found}; expected values from {low} to {high}, such as '*', '5', '1-5' or '*/10'.") from error


def _parse_part(part: str, low: int, high: int, names: dict[str, int]) -> range:
    span, has_step, step_text = part.partition("/")
    step = int(step_text) if has_step else 1
    if span == "*":
        first, last = low, high
    else:
        first_text, is_range, last_text = span.partition("-")
        first = _value(first_text, names)
        last = _value(last_text, names) if is_range else (high if has_step else first)
    if not low <= first <= last <= high or step < 1:
        raise ValueError(part)
    return range(first, last + 1, step)


def _value(text: str, names: dict[str, int]) -> int:
    return names[text.upper()] if text.upper() in names else int(text)
