"""The audit log: every question is on record before it goes out, and again before its answer is used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from chain_bench import Asked, Time, context, question, reply, unanswered

from assay.errors import RunStopped, StorageError
from assay.llm.errors import FailureKind
from assay.middleware import audit_journal
from assay.middleware.audit import AuditLog, AuditOptions, AuditRecord, digest
from assay.middleware.base import Question, Reply, Unanswered
from assay.quota.base import QuotaElsewhere
from assay.storage.memory import MemoryStorage
from builders import RUN


def audit_log(storage: MemoryStorage, content: Any = "none", time: Time | None = None, **changes: Any) -> AuditLog:
    return AuditLog(AuditOptions(content=content), context(storage, time, **changes))


async def journals(storage: MemoryStorage) -> list[str]:
    return [one.path async for one in storage.list(f"audit/{RUN}/")]


async def records(storage: MemoryStorage) -> list[AuditRecord]:
    lines = [line for path in await journals(storage) for line in (await storage.read(path)).splitlines()]
    return [AuditRecord.model_validate_json(line) for line in lines]


async def test_a_request_is_on_record_before_it_goes_out() -> None:
    """What goes out unrecorded would be found by nobody."""
    storage = MemoryStorage()
    seen: list[AuditRecord] = []

    async def ask(_: Question) -> Reply:
        seen.extend(await records(storage))
        return reply()

    await audit_log(storage).answer(question(), ask)

    assert [(one.event, one.row_id, one.experiment, one.criterion) for one in seen] == [
        ("asked", "T-0001", "plain", "queue")
    ]


async def test_the_end_of_a_request_says_what_came_of_it() -> None:
    """Both lines have one id; digests can be checked by whoever has the texts."""
    storage, time = MemoryStorage(), Time()

    await audit_log(storage, time=time).answer(question("Sort."), Asked())

    asked, answered = await records(storage)
    assert (asked.event, answered.event, asked.id) == ("asked", "answered", answered.id)
    assert (answered.deployment, answered.worker, answered.request_id) == ("gpt-4o-mini", "host-7", "scripted")
    assert (answered.input_tokens, answered.output_tokens, str(answered.cost_usd)) == (10, 5, "0.0000045")
    assert answered.prompt_sha256 == asked.prompt_sha256 == digest(RUN, "user: Sort.")
    assert answered.answer_sha256 == digest(RUN, "billing")
    assert answered.attempts is not None
    assert len(answered.attempts) == 1


async def test_texts_are_recorded_only_when_asked_for_and_then_redacted() -> None:
    """Prompts hold whatever rows hold."""
    plain, told = MemoryStorage(), MemoryStorage()
    asked = Asked(lambda _: reply("Wrote to jane@contoso.com"))

    await audit_log(plain).answer(question("Write to jane@contoso.com"), asked)
    await audit_log(told, "redacted").answer(question("Write to jane@contoso.com"), asked)

    assert all(one.prompt is None and one.answer is None for one in await records(plain))
    first, last = await records(told)
    assert (first.prompt, last.answer) == ("user: Write to [redacted:email]", "Wrote to [redacted:email]")


async def test_a_failure_is_recorded_with_its_kind_and_its_redacted_message() -> None:
    """And raised as it was."""
    storage, error = MemoryStorage(), unanswered("No such user: jane@contoso.com")

    with pytest.raises(Unanswered) as caught:
        await audit_log(storage).answer(question(), Asked(lambda _: error))

    assert caught.value is error
    failed = (await records(storage))[-1]
    assert (failed.event, failed.kind, failed.status) == ("failed", "server_error", 500)
    assert failed.message == "No such user: [redacted:email]"


@pytest.mark.parametrize("error", [RunStopped("Budget reached"), QuotaElsewhere("others hold it", 60.0)])
async def test_a_stop_of_the_run_or_of_the_work_on_it_here_is_recorded(error: Exception) -> None:
    """The question was asked, and nothing more may be, or not by this worker."""
    storage = MemoryStorage()

    with pytest.raises(type(error)):
        await audit_log(storage).answer(question(), Asked(lambda _: error))

    assert [one.event for one in await records(storage)] == ["asked", "stopped"]


async def test_without_a_journal_no_request_goes_out() -> None:
    """A guard fails closed, with a kind of its own; an event says so."""
    storage, asked = MemoryStorage(), Asked()
    storage.fail_next("append", StorageError("no space"), times=audit_journal.APPEND_ATTEMPTS)
    log = audit_log(storage)

    with pytest.raises(Unanswered) as caught:
        await log.answer(question(), asked)

    assert caught.value.last.kind is FailureKind.AUDIT_FAILED
    assert asked.questions == []
    await log.answer(question(), asked)
    assert [one.event for one in await records(storage)] == ["asked", "answered"]


async def test_a_reply_that_cannot_be_recorded_is_not_used_but_its_cost_is_known() -> None:
    """The question counts as not answered; what it cost was billed all the same."""
    storage = MemoryStorage()

    def reply_then_break(_: Question) -> Reply:
        storage.fail_next("append", StorageError("no space"), times=audit_journal.APPEND_ATTEMPTS)
        return reply()

    with pytest.raises(Unanswered) as caught:
        await audit_log(storage).answer(question(), Asked(reply_then_break))

    assert caught.value.last.kind is FailureKind.AUDIT_FAILED
    assert caught.value.spent == reply().spent
    assert len(caught.value.attempts) == 1


async def test_a_short_outage_costs_time_and_no_question() -> None:
    """Appends are tried again."""
    storage, time = MemoryStorage(), Time()
    storage.fail_next("append", StorageError("busy"), times=3)

    await audit_log(storage, time=time).answer(question(), Asked())

    assert [one.event for one in await records(storage)] == ["asked", "answered"]
    assert sum(time.slept) > 1


async def test_requests_at_once_share_appends() -> None:
    """Storage operations stay few: one for the first, one for all that came meanwhile."""
    storage = MemoryStorage()
    log = audit_log(storage)
    await log.begin()

    await asyncio.gather(*(log.answer(question(row_id=f"T-{n}"), Asked()) for n in range(50)))

    assert len(await records(storage)) == 100
    assert storage.operations["append"] <= 4


async def test_appends_keep_their_distance() -> None:
    """At most one per linger, however many questions come one after another."""
    time = Time()
    log = audit_log(MemoryStorage(), time=time, linger_seconds=0.2)

    for _ in range(5):
        await log.answer(question(), Asked())

    assert time.seconds == pytest.approx(0.2 * 9)


async def test_a_full_journal_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Append blobs take so many blocks and no more."""
    monkeypatch.setattr(audit_journal, "BLOCKS_PER_JOURNAL", 3)
    storage = MemoryStorage()
    log = audit_log(storage)

    for _ in range(4):
        await log.answer(question(), Asked())

    assert [path.rpartition("/")[2] for path in await journals(storage)] == [
        "host-7-0.jsonl",
        "host-7-1.jsonl",
        "host-7-2.jsonl",
    ]
    assert len(await records(storage)) == 8


async def test_a_restarted_worker_begins_a_journal_of_its_own() -> None:
    """Nothing is appended to what another process wrote, even under the same name."""
    storage = MemoryStorage()
    await audit_log(storage).answer(question(), Asked())
    await audit_log(storage).answer(question(), Asked())

    assert len(await journals(storage)) == 2
    assert len({one.id for one in await records(storage)}) == 2


async def test_a_journal_that_was_deleted_is_replaced() -> None:
    """As by a retention rule while a worker lives on."""
    storage = MemoryStorage()
    log = audit_log(storage)
    await log.begin()
    await storage.delete((await journals(storage))[0])

    await log.answer(question(), Asked())

    assert len(await records(storage)) == 2


async def test_large_groups_go_in_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has a limit; no line is torn apart."""
    monkeypatch.setattr(audit_journal, "BLOCK_BYTES", 1000)
    storage = MemoryStorage()
    log = audit_log(storage, "redacted")

    await asyncio.gather(*(log.answer(question("x" * 400), Asked()) for _ in range(6)))

    assert len(await records(storage)) == 12
    assert storage.operations["append"] >= 6


async def test_a_question_that_is_cut_off_is_recorded_as_that() -> None:
    """As when its trial takes too long; the journal goes on for the others."""
    storage = MemoryStorage()
    log = audit_log(storage)

    gone_out = asyncio.Event()

    async def never(_: Question) -> Reply:
        gone_out.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(log.answer(question(), never))
    await gone_out.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await log.answer(question(), Asked())
    await log.end()
    assert [one.event for one in await records(storage)] == ["asked", "cut_off", "asked", "answered"]


@pytest.mark.parametrize("content", ["none", "redacted"])
async def test_what_utf_8_cannot_hold_costs_no_question(content: str) -> None:
    """Services quote halves of surrogate pairs, where they cut a prompt within an emoji."""
    storage = MemoryStorage()
    log = audit_log(storage, content)
    with pytest.raises(Unanswered):
        await log.answer(question("\ud83d"), Asked(lambda _: unanswered("The prompt '\ud83d' is refused")))
    await log.answer(question("\ud83d"), Asked(lambda _: reply("\udfff")))

    told = await records(storage)
    assert [one.event for one in told] == ["asked", "failed", "asked", "answered"]
    assert told[1].message == "The prompt '?' is refused"
