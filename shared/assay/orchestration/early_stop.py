"""Early stop: follows a run's variants row range by row range and settles those that need no more rows.

`watch` looks every turn, the evaluation once at the end. What was counted is kept in a small blob that can be made
anew from the outcomes; what was settled stays settled (`execution/control.py`).
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from assay.errors import BlobMissing
from assay.execution.control import Control, read_control, settle
from assay.orchestration.waiving import Chunk, list_outcomes, needless, waive
from assay.planning.early_stop import begin_courses, stopping_rules
from assay.records import NO_COST
from assay.run_records import Plan, Tally
from assay.scoring.early_stop.base import Settled, StoppingRule
from assay.scoring.early_stop.course import Course, TrialSummary
from assay.storage import layout
from assay.storage.base import Blobs, Storage
from assay.suite.models import Suite

RANGES_AT_A_LOOK = 64
"""Catching up with more takes several looks, so that a step stays short."""

_READ_AT_ONCE = 8

Courses = dict[str, Course]
_COURSES = TypeAdapter(Courses)


@dataclass(frozen=True)
class Look:
    """What a look found: the courses so far and everything that is settled."""

    courses: Courses
    control: Control


async def look(storage: Storage, suite: Suite, plan: Plan, now: datetime) -> Look:
    """Takes in the row ranges that are complete by now, settles what the rules say, and ends needless chunks.

    Only row ranges that are complete for baseline and variant, one after the other in the plan's order, count: so
    answers that are slow cannot change which rows are looked at.
    """
    ended, before = await asyncio.gather(list_outcomes(storage, plan.run), read_control(storage, plan.run))
    seen = await _follow(storage, suite, plan, ended, before, now, RANGES_AT_A_LOOK)
    # What was settled just now waits for the next look: workers that have not heard of it may be about to begin.
    await waive(storage, plan, needless(plan, before.over(plan), ended))
    return seen


async def conclude(storage: Storage, suite: Suite, plan: Plan, now: datetime) -> Look:
    """The courses over all that was asked, however little was looked at before. For the evaluation."""
    ended, before = await asyncio.gather(list_outcomes(storage, plan.run), read_control(storage, plan.run))
    return await _follow(storage, suite, plan, ended, before, now, len(plan.ranges))


async def _follow(
    storage: Storage, suite: Suite, plan: Plan, ended: Mapping[Chunk, Tally], control: Control, now: datetime, most: int
) -> Look:
    rules, courses = stopping_rules(suite), await _read_courses(storage, suite, plan)
    found: dict[str, Settled] = {}
    due = _due(plan, ended, courses)[:most]
    for first in range(0, len(due), _READ_AT_ONCE):
        batch = due[first : first + _READ_AT_ONCE]
        trials = await asyncio.gather(*(_trials_of(storage, plan, names, at) for at, names in batch))
        for (at, names), read in zip(batch, trials, strict=True):
            findings = _take_in(plan, rules, [courses[name] for name in names], read, at, now)
            found = {one.experiment: one for one in findings if not control.find(one.experiment)} | found
    # Before the courses are kept: what is found stands before anybody goes on from behind it.
    if found:
        control = await settle(storage, plan.run, list(found.values()))
    if due:
        await storage.write(layout.early_stop(plan.run), _COURSES.dump_json(courses), overwrite=True)
    return Look(courses, control)


def _due(plan: Plan, ended: Mapping[Chunk, Tally], courses: Courses) -> list[tuple[int, list[str]]]:
    """The row ranges to take in, in order, each with the variants that come to it without a gap."""
    due: list[tuple[int, list[str]]] = []
    reached = {name: course.ranges for name, course in courses.items()}
    for at in range(min(reached.values(), default=0), len(plan.ranges)):
        names = [name for name, ranges in reached.items() if ranges == at and _is_complete(plan, ended, name, at)]
        if names:
            due.append((at, names))
            reached |= {name: at + 1 for name in names}
        elif all(ranges <= at for ranges in reached.values()):
            break
    return due


def _take_in(
    plan: Plan,
    rules: tuple[StoppingRule, ...],
    courses: list[Course],
    trials: list[list[TrialSummary]],
    at: int,
    now: datetime,
) -> list[Settled]:
    """Adds a row range to the courses and gives what the rules find, also of those that are settled already.

    So a course depends on nothing but the outcomes, whoever counts them anew.
    """
    baseline, *variants = trials
    for course, variant in zip(courses, variants, strict=True):
        course.add(plan.ranges[at].rows, baseline, variant)
    return [found for course in courses if (found := _settled(rules, course, plan, now))]


def _settled(rules: tuple[StoppingRule, ...], course: Course, plan: Plan, now: datetime) -> Settled | None:
    """What the first rule finds that wants to look now; nothing at the end, where nothing is left to stop."""
    for rule in rules if course.ranges < len(plan.ranges) else ():
        if course.ranges % rule.look_every == 0 and (finding := rule.decide(course)):
            return Settled(
                **dict(finding),
                experiment=course.experiment,
                rule=rule.name,
                rows=course.rows,
                rows_planned=plan.rows,
                at=now,
            )
    return None


def _is_complete(plan: Plan, ended: Mapping[Chunk, Tally], variant: str, at: int) -> bool:
    """Whether a row range is asked in full, every repeat, of the baseline and the variant."""
    chunks = [*_chunks_of(plan, plan.experiments[0], at), *_chunks_of(plan, variant, at)]
    return all(chunk in ended and not ended[chunk].skipped for chunk in chunks)


def _chunks_of(plan: Plan, name: str, at: int) -> list[Chunk]:
    return [(name, plan.chunk(at, repeat)) for repeat in range(plan.repeats_of(name))]


async def _trials_of(blobs: Blobs, plan: Plan, variants: list[str], at: int) -> list[list[TrialSummary]]:
    """The trials of a row range: the baseline's, then those of each variant."""
    return list(await asyncio.gather(*(_trials(blobs, plan, name, at) for name in (plan.experiments[0], *variants))))


async def _trials(blobs: Blobs, plan: Plan, name: str, at: int) -> list[TrialSummary]:
    contents = await asyncio.gather(
        *(blobs.read(layout.outcome(plan.run, *chunk)) for chunk in _chunks_of(plan, name, at))
    )
    return await asyncio.to_thread(lambda: [summary_of(line) for one in contents for line in one.splitlines()])


def summary_of(line: bytes) -> TrialSummary:
    """What early stop needs of a stored outcome; far quicker than reading the whole record."""
    outcome = json.loads(line)
    costs = [one.get("cost_usd") for one in (*outcome["responses"], outcome.get("failure") or {})]
    return TrialSummary(
        row=outcome["row_number"],
        status=outcome["status"],
        cost_usd=sum((Decimal(cost) for cost in costs if cost is not None), NO_COST),
        scores={one["name"]: one["value"] for one in outcome["scores"] if _is_number(one["value"])},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


async def _read_courses(blobs: Blobs, suite: Suite, plan: Plan) -> Courses:
    """The courses as last kept; from the beginning when they are missing, or cannot be read."""
    fresh = begin_courses(suite, plan.experiments[1:])
    try:
        kept = _COURSES.validate_json(await blobs.read(layout.early_stop(plan.run)))
    except (BlobMissing, ValidationError):
        return fresh
    return kept if kept.keys() == fresh.keys() else fresh
