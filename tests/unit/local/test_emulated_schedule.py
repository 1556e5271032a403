"""A schedule says what is in force at each moment, whatever requests come."""

from pathlib import Path
from typing import Any

import pytest

from assay.errors import SuiteError
from assay.local.emulated_faults import choose_fault, choose_scheduled_fault
from assay.local.emulated_schedule import Phase, Schedule
from assay.local.emulator_config import Faults, FaultShares, ScheduleEntry, load_emulator_config


def schedule(*entries: dict[str, Any], now: float = 0.0) -> Schedule:
    return Schedule([ScheduleEntry.model_validate(entry) for entry in entries], now)


def phase_at(played: Schedule, now: float) -> Phase:
    played.advance(now)
    return played.phase


def test_without_entries_nothing_ever_happens() -> None:
    """A server without a schedule is in one plain phase."""
    assert phase_at(schedule(), 1e6) == Phase()


def test_an_entry_holds_from_its_begin_until_just_before_its_end() -> None:
    """Down for 20 seconds, relative to the start."""
    played = schedule({"from_seconds": 10, "to_seconds": 30, "down": True}, now=500.0)

    assert [phase_at(played, now).down for now in (500.0, 509.9, 510.0, 529.9, 530.0)] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_phases_that_nobody_saw_are_told_with_their_own_time() -> None:
    """A cut begins and ends at its seconds, also when no request comes meanwhile."""
    played = schedule({"from_seconds": 10, "to_seconds": 20, "quota_factor": 0.6}, now=100.0)

    begun = played.advance(1000.0)

    assert [(at, phase.quota_factor) for at, phase in begun] == [(100.0, 1.0), (110.0, 0.6), (120.0, 1.0)]
    assert played.advance(2000.0) == []


def test_entries_at_the_same_time_add_up() -> None:
    """Shares are added, factors multiplied, and one silent cut silences the headers."""
    played = schedule(
        {"to_seconds": 50, "error_500": 0.05, "quota_factor": 0.5},
        {"from_seconds": 20, "error_500": 0.1, "dropped": 0.05, "quota_factor": 0.5, "headers_tell": False},
    )

    both = phase_at(played, 20.0)

    assert both.faults is not None
    assert (both.faults.error_500, both.faults.dropped) == (pytest.approx(0.15), 0.05)
    assert (both.quota_factor, both.headers_tell) == (0.25, False)
    later = phase_at(played, 50.0)
    assert later.faults is not None and later.faults.error_500 == 0.1


def test_a_schedule_can_be_started_again() -> None:
    """A measurement plays it from the beginning when its load begins."""
    played = schedule({"to_seconds": 5, "down": True})
    assert not phase_at(played, 100.0).down

    played.start(200.0)

    assert phase_at(played, 200.0).down
    assert not phase_at(played, 205.0).down


def test_scheduled_faults_come_in_their_shares_and_apart_from_a_file_s_own() -> None:
    """5 % of every kind, of 4000 contents; the two draws are independent."""
    every = dict.fromkeys(("error_500", "error_503", "timeout", "dropped", "malformed"), 0.05)
    drawn = [choose_scheduled_fault(FaultShares(**every), 3, str(n), 1) for n in range(4000)]
    own = [choose_fault(Faults(**every), 3, str(n), 1) for n in range(4000)]

    assert all(drawn.count(kind) == pytest.approx(200, abs=42) for kind in every)  # type: ignore[arg-type]
    both = sum(one is not None and other is not None for one, other in zip(drawn, own, strict=True))
    assert both == pytest.approx(250, abs=46)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{from_seconds: 20, to_seconds: 10}", "expected more than from_seconds, 20"),
        ("{error_500: 0.7, dropped: 0.7}", "add up to 1.4"),
        ("{quota_factor: 0}", "greater than 0"),
        ("{error_501: 0.1}", "error_501"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(tmp_path: Path, entry: str, told: str) -> None:
    """The mistake is told with the entry's line."""
    path = tmp_path / "emulator.yaml"
    path.write_text(f"schedule:\n  - {{down: true}}\n  - {entry}\n")

    with pytest.raises(SuiteError, match=rf"emulator\.yaml:3: schedule\.1.*{told}"):
        load_emulator_config([path])
