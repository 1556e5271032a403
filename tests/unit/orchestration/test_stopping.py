"""Stopped runs: what is said of them, and that each goes on exactly where it stopped."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from run_bench import (
    CSV,
    NOW,
    SUITE,
    answer,
    asking,
    drop,
    ingest,
    plan_of,
    planned,
    progress_of,
    with_suite,
)

from assay.budget.account import Account, AccountSpoilt, Holding, change_account, open_account, read_account
from assay.budget.base import BudgetUsedUp
from assay.errors import RunStopped, StorageError, UserError
from assay.execution.ledger import read_outcomes
from assay.execution.stops import read_stop, write_stop
from assay.orchestration.drops import drop_file
from assay.orchestration.progress import write_progress
from assay.orchestration.stopping import LET_GO_SECONDS, UNHEARD_SECONDS, chunks_at_work, resume, stop_run
from assay.run_records import Stage
from assay.storage import layout
from assay.storage.memory import MemoryStorage

ON_BUDGET = SUITE.replace("limits: {", "limits: {budget_usd: 0.01, ")


async def stopped(suite: str = ON_BUDGET, error: RunStopped | None = None) -> tuple[MemoryStorage, str]:
    """A run with one chunk done and one half done, whose workers have stopped it."""
    storage = await with_suite(suite)
    run = await planned(storage)
    plan = await plan_of(storage, run)
    done, half = plan.messages(0, 2)
    await answer(storage, done)
    lines = (await storage.read(layout.outcome(run, done.experiment, done.chunk))).splitlines(keepends=True)
    await storage.write(layout.checkpoint(run, half.experiment, half.chunk), b"".join(lines[:1]))
    await write_stop(storage, run, error or BudgetUsedUp("Budget reached"), NOW)
    return storage, run


async def told(storage: MemoryStorage, run: str) -> str:
    assert await asking(storage).stop(run)
    return (await progress_of(storage, run)).message


async def test_a_look_tells_the_orchestrator_of_the_stop() -> None:
    """And how many chunks are still held."""
    storage, run = await stopped()
    path = layout.checkpoint(run, "short", 0)
    lease = await storage.acquire(path, 15)

    seen = await asking(storage).watch(run)
    await storage.release(path, lease)

    assert (seen["stopped"], seen["at_work"]) == (True, 1)
    assert await chunks_at_work(storage, run) == 0


async def test_a_stopped_run_counts_what_unfinished_chunks_hold() -> None:
    """Three trials of a finished chunk, one of a checkpoint; the money is the account's, or the outcomes' if more."""
    storage, run = await stopped()
    await open_account(storage, run, Decimal("0.01"), "enforce")

    message = await told(storage, run)

    progress = await progress_of(storage, run)
    assert (progress.stage, progress.tally.trials) == (Stage.STOPPED, 4)
    assert message.startswith("Budget reached: 4 of 14 trials are done and 0.0040 of 0.0100 USD is spent. Raise it")
    assert f"assay resume {run} --budget-usd " in message


async def test_a_checkpoint_of_a_finished_chunk_is_not_counted_twice() -> None:
    """Its worker died between the two."""
    storage, run = await stopped()
    done = await storage.read(layout.outcome(run, "plain", 0))
    await storage.write(layout.checkpoint(run, "plain", 0), done)

    await told(storage, run)

    assert (await progress_of(storage, run)).tally.trials == 3 + len(read_outcomes(done)) // 3


async def test_a_hopeless_run_says_what_a_person_can_do() -> None:
    """The worker's own words, how far the run came, and how it goes on."""
    storage, run = await stopped(SUITE, RunStopped("The key is refused"))

    assert await told(storage, run) == (f"The key is refused. 4 of 14 trials are done. Then go on: assay resume {run}")


async def test_a_run_that_goes_on_again_is_not_marked_as_stopped() -> None:
    """The marker went away between the look and the step."""
    storage, run = await stopped()
    await storage.delete(layout.stop(run))

    assert not await asking(storage).stop(run)
    assert (await progress_of(storage, run)).stage is Stage.PLANNING


async def test_resuming_removes_the_marker_and_names_the_run() -> None:
    """The queue's message starts the same run again, whatever the suite on storage says now."""
    storage, run = await stopped()
    await told(storage, run)
    await storage.write(layout.suite_file("triage"), b"changed", overwrite=True)

    begun = await resume(storage, run, NOW, budget_usd=Decimal(5))

    assert (begun.stage, begun.message) == (Stage.PLANNING, "")
    assert await read_stop(storage, run) is None
    account = await read_account(storage, run)
    assert account and account.limit_usd == 5
    (event,) = storage.take_messages(layout.INGEST_QUEUE)
    assert await ingest(storage).resumed(event) == run
    assert await ingest(storage).announced(event) == []


async def test_what_was_asked_before_is_skipped_after_a_resumption() -> None:
    """The orchestrator begins at the plan's beginning, and sends what is not done."""
    storage, run = await stopped()
    await told(storage, run)
    await resume(storage, run, NOW, budget_usd=Decimal(5))
    storage.take_messages(layout.TRIALS_QUEUE)

    await asking(storage, queue_depth=10).dispatch(run, 0, 1, lost=False)

    assert len(storage.messages(layout.TRIALS_QUEUE)) == (await plan_of(storage, run)).chunks - 1


@pytest.mark.parametrize(
    ("stage", "said"),
    [(Stage.DONE, "ended well"), (Stage.ASKING, "is not stopped but asking"), (Stage.PLANNING, "is not stopped")],
)
async def test_only_a_stopped_run_is_resumed(stage: Stage, said: str) -> None:
    """A second resumption, and one of a finished run, change nothing and say why."""
    storage, run = await stopped()
    await write_progress(storage, (await progress_of(storage, run)).model_copy(update={"stage": stage}))

    with pytest.raises(UserError, match=said):
        await resume(storage, run, NOW)
    assert storage.messages(layout.INGEST_QUEUE) == []


@pytest.mark.parametrize("run", ["unknown", "../x"])
async def test_an_unknown_run_is_said_to_be_unknown(run: str) -> None:
    """Whatever the name holds."""
    with pytest.raises(UserError, match="there is no run"):
        await resume(MemoryStorage(), run, NOW)


async def test_a_budget_below_what_is_spent_is_refused() -> None:
    """The run stays stopped."""
    storage, run = await stopped()
    await told(storage, run)

    with pytest.raises(UserError, match=r"0\.0040 USD is spent already"):
        await resume(storage, run, NOW, budget_usd=Decimal("0.004"))
    assert (await progress_of(storage, run)).stage is Stage.STOPPED
    assert await read_stop(storage, run)


async def test_a_budget_can_be_turned_soft() -> None:
    """Then nothing stops the run, however much is spent."""
    storage, run = await stopped()
    await told(storage, run)

    await resume(storage, run, NOW, mode="soft")

    account = await read_account(storage, run)
    assert account and (account.mode, account.limit_usd) == ("soft", Decimal("0.01"))


async def test_a_run_without_a_budget_has_none_to_change() -> None:
    """It can be resumed without."""
    storage, run = await stopped(SUITE, RunStopped("no key"))
    await told(storage, run)

    with pytest.raises(UserError, match="has no budget"):
        await resume(storage, run, NOW, budget_usd=Decimal(5))
    assert (await resume(storage, run, NOW)).stage is Stage.PLANNING


@pytest.mark.parametrize(("seconds", "counted"), [(LET_GO_SECONDS - 1, "0.009"), (LET_GO_SECONDS, "0.006")])
async def test_money_of_dead_workers_is_free_again_after_a_while(seconds: float, counted: str) -> None:
    """By storage's clock: then outcomes say what was spent, and a request under way at most is lost."""
    moment = NOW
    storage, run = await stopped()
    storage._now = lambda: moment
    dead = Holding(granted_usd=Decimal("0.009"), settled_usd=Decimal("0.001"), peak_usd=Decimal("0.002"))
    account = Account(limit_usd=Decimal("0.01"), holdings={"dead": dead})
    await storage.write(layout.budget(run), account.model_dump_json().encode())
    await told(storage, run)
    moment += timedelta(seconds=seconds)

    await resume(storage, run, moment, budget_usd=Decimal(5))

    after = await read_account(storage, run)
    assert after and after.counted_usd == Decimal(counted)


async def test_dropping_the_file_of_a_stopped_run_says_how_it_goes_on(tmp_path: Path) -> None:
    """From the command line as an error; a file in the inbox starts nothing."""
    storage, run = await stopped()
    await told(storage, run)
    file = tmp_path / "tickets.csv"
    file.write_text(CSV, encoding="utf-8")

    with pytest.raises(UserError, match=rf"is stopped\. Budget reached.*assay resume {run}"):
        await drop_file(storage, "triage", file)
    assert await ingest(storage).admit(await drop(storage)) is None


@pytest.mark.parametrize("body", ["{", "[]", '{"eventType": "Assay.RunResumed", "subject": "../x"}', "{}"])
async def test_other_messages_resume_nothing(body: str) -> None:
    """Event Grid's, and garbage."""
    assert await ingest(MemoryStorage()).resumed(body) is None


async def test_a_marker_that_cannot_be_read_stops_the_run_too() -> None:
    """What it should say is missing, and how the run goes on is told all the same."""
    storage, run = await stopped()
    await storage.write(layout.stop(run), b'{"reason":', overwrite=True)

    message = await told(storage, run)

    assert f"{layout.stop(run)}, which should say why, cannot be read. 4 of 14 trials are done." in message
    assert (await resume(storage, run, NOW)).stage is Stage.PLANNING


async def test_a_spoilt_account_is_told_to_who_resumes_and_hides_nothing_else() -> None:
    """Progress is counted and the stop is told; without the blob, what the outcomes cost counts."""
    storage, run = await stopped()
    await storage.write(layout.budget(run), b"{}")

    await asking(storage).watch(run)
    assert "Budget reached. 4 of 14 trials are done." in await told(storage, run)
    with pytest.raises(AccountSpoilt, match=layout.budget(run)):
        await resume(storage, run, NOW)
    await storage.delete(layout.budget(run))
    await resume(storage, run, NOW, budget_usd=Decimal(5))

    account = await read_account(storage, run)
    assert account and account.spent_usd == Decimal("0.004")


async def test_a_resumption_that_was_cut_off_is_made_once_more() -> None:
    """The run counts as going on, and nobody was told: after a minute the same command tells them."""
    storage, run = await stopped()
    await told(storage, run)
    storage.fail_next("send", StorageError("gone"))
    with pytest.raises(StorageError):
        await resume(storage, run, NOW)
    with pytest.raises(UserError, match="is not stopped"):
        await resume(storage, run, NOW + timedelta(seconds=UNHEARD_SECONDS - 1))

    await resume(storage, run, NOW + timedelta(seconds=UNHEARD_SECONDS))

    (event,) = storage.take_messages(layout.INGEST_QUEUE)
    assert await ingest(storage).resumed(event) == run


async def test_money_that_dead_workers_hold_is_told() -> None:
    """Then the budget need not be raised: the run goes on with what is free again."""
    storage, run = await stopped()
    dead = Holding(granted_usd=Decimal("0.005"), settled_usd=Decimal("0.001"))
    await storage.write(
        layout.budget(run), Account(limit_usd=Decimal("0.01"), holdings={"dead": dead}).model_dump_json().encode()
    )

    message = await told(storage, run)

    assert "0.0010 USD is held by workers" in message and message.endswith(f"goes on: assay resume {run}")


async def test_money_that_is_drawn_while_a_run_is_resumed_is_not_let_go() -> None:
    """Of two resumptions at once the slower one finds the workers of the faster one at work."""
    moment = NOW
    storage, run = await stopped()
    storage._now = lambda: moment
    await open_account(storage, run, Decimal("0.01"), "enforce")
    await told(storage, run)
    moment += timedelta(seconds=LET_GO_SECONDS)
    alive, looked, replace = Holding(granted_usd=Decimal("0.003")), asyncio.Event(), storage.replace

    async def noticed(path: str, content: bytes, *, etag: str) -> str:
        looked.set()
        return await replace(path, content, etag=etag)

    async def draw() -> None:
        await looked.wait()
        await change_account(storage, run, lambda now: now.model_copy(update={"holdings": {"alive": alive}}))

    storage.replace = noticed  # type: ignore[method-assign]
    await asyncio.gather(resume(storage, run, moment), draw())

    after = await read_account(storage, run)
    assert after and after.holdings["alive"] == alive


async def test_a_person_stops_a_run_and_lets_it_go_on() -> None:
    """What is done is kept, the reason is told, and stopping twice changes nothing."""
    storage = await with_suite()
    run = await planned(storage)
    await answer(storage, next(iter((await plan_of(storage, run)).messages(0, 1))))
    await stop_run(storage, run, NOW, "wrong prompt")
    await stop_run(storage, run, NOW, "another reason")
    assert "Stopped by a person: wrong prompt." in await told(storage, run)
    assert (await progress_of(storage, run)).stage is Stage.STOPPED
    await resume(storage, run, NOW)
    assert await read_stop(storage, run) is None


@pytest.mark.parametrize("stage", [Stage.EVALUATING, Stage.PUBLISHING, Stage.DONE, Stage.FAILED])
async def test_a_run_that_asks_nothing_cannot_be_stopped(stage: Stage) -> None:
    """Nor can one that is not there."""
    storage = await with_suite()
    run = await planned(storage)
    await write_progress(storage, (await progress_of(storage, run)).model_copy(update={"stage": stage}))
    with pytest.raises(UserError, match=f"asks nothing any more: it is {stage}"):
        await stop_run(storage, run, NOW)
    with pytest.raises(UserError, match="there is no run"):
        await stop_run(storage, "no-such-run", NOW)
    assert await read_stop(storage, run) is None
