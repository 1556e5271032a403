"""Fires one timer-triggered function on its schedule, as the Functions host's timer extension does. Called by the host.

The next time is kept on disk, so that one missed while no host ran is made up for at the start, marked as past due.
"""

import asyncio
import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from assay.errors import UserError
from assay.local.clock import Clock
from assay.local.cron import parse_schedule
from assay.local.files import write_whole
from assay.local.functions import Function
from assay.local.invocation import Invoker, as_json


class TimerListener:
    """Calls the function when its schedule says so, never twice at once. `directory` keeps when it is due next."""

    def __init__(self, function: Function, invoker: Invoker, directory: Path, clock: Clock) -> None:
        self._function = function
        self._invoker = invoker
        self._clock = clock
        self._file = directory / f"{function.name}.json"
        self._schedule = parse_schedule(function.trigger.options["schedule"])
        self._runs_on_startup = bool(function.trigger.options.get("runOnStartup"))
        # As in Azure, a schedule is watched over restarts unless `useMonitor` is false.
        self._is_monitored = function.trigger.options.get("useMonitor", True) is not False
        directory.mkdir(parents=True, exist_ok=True)

    async def run(self, stopping: asyncio.Event) -> None:
        """Fire until `stopping` is set or there is no next time; a running function is waited for."""
        last: datetime | None = None
        due = self._due_from_last_life()
        if due and due <= self._clock.now():
            last = await self._fire(last, due, is_past_due=True)
        elif self._runs_on_startup:
            last = await self._fire(last, None, is_past_due=False)
        while not stopping.is_set():
            due = self._schedule.next_after(self._clock.now())
            if due is None:
                return
            self._keep(due)
            if await self._comes_before_stop(due, stopping):
                last = await self._fire(last, due, is_past_due=False)

    async def _comes_before_stop(self, due: datetime, stopping: asyncio.Event) -> bool:
        waits = [asyncio.create_task(self._clock.sleep_until(due)), asyncio.create_task(stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not stopping.is_set()

    async def _fire(self, last: datetime | None, due: datetime | None, *, is_past_due: bool) -> datetime:
        now = self._clock.now()
        status = {"Last": last and last.isoformat(), "Next": due and due.isoformat(), "LastUpdated": now.isoformat()}
        timer = {"IsPastDue": is_past_due, "Schedule": {"AdjustForDST": False}, "ScheduleStatus": status}
        with suppress(Exception):  # reported by the invoker; the next time comes all the same
            await self._invoker.invoke(self._function, as_json(timer))
        return now

    def _due_from_last_life(self) -> datetime | None:
        if not self._is_monitored or not self._file.exists():
            return None
        try:
            return datetime.fromisoformat(json.loads(self._file.read_text(encoding="utf-8"))["next"])
        except (ValueError, KeyError) as error:
            raise UserError(f"{self._file} is not a timer's file: {error}. Delete it and start again.") from error

    def _keep(self, due: datetime) -> None:
        write_whole(self._file, json.dumps({"next": due.isoformat()}))
