"""Runs with programs: a dataset for one that cannot be used is refused, and a stopped run counts its calls."""

from __future__ import annotations

import hashlib
import string
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from run_bench import NOW, SUITE, admitted, drop, header_of, ingest, refused_files, with_suite
from test_stopping import LET_GO_SECONDS

from assay.budget.account import Account, Holding, read_account
from assay.orchestration.progress import read_progress, write_progress
from assay.orchestration.stopping import resume
from assay.run_records import Stage
from assay.storage import layout

PROGRAM = SUITE.replace('{name: short, user: "Sort shortly: {{ text }}"}', "{name: short, program: 'string:capwords'}")
PROGRAM = PROGRAM.replace("path: label, expected: label", "criterion: answer, expected: label")


async def test_a_dataset_for_a_program_that_is_not_there_is_refused_with_its_line() -> None:
    """Nothing is asked, not even by the other experiments."""
    storage = await with_suite(PROGRAM.replace("string:capwords", "no_such_module:answer"))

    assert await ingest(storage).admit(await drop(storage)) is None

    (record,) = await refused_files(storage)
    assert record.reason.startswith(
        "triage/suite.yaml:7: experiment 'short': program 'no_such_module:answer': there is"
    )


async def test_a_dataset_for_a_program_begins_a_run() -> None:
    """Any function of two parameters will do; the header says which file it was."""
    storage = await with_suite(PROGRAM)
    run = await ingest(storage).admit(await drop(storage))
    assert run is not None
    digest = hashlib.sha256(Path(string.__file__).read_bytes()).hexdigest()
    assert (await header_of(storage, run)).versions["program string:capwords"] == f"sha256:{digest}"


async def test_calls_under_way_of_a_dead_worker_s_programs_are_taken_for_spent() -> None:
    """Each of its trials may have paid as many as the limit allows."""
    storage = await with_suite(PROGRAM.replace("limits: {", "limits: {budget_usd: 1, calls_per_trial: 4, "))
    run = await admitted(storage)
    moment = NOW
    storage._now = lambda: moment
    dead = Holding(granted_usd=Decimal("0.9"), settled_usd=Decimal("0.1"), peak_usd=Decimal("0.01"))
    account = Account(limit_usd=Decimal(1), holdings={"dead": dead})
    await storage.write(layout.budget(run), account.model_dump_json().encode())
    progress = await read_progress(storage, run)
    assert progress is not None
    await write_progress(storage, progress.model_copy(update={"stage": Stage.STOPPED}))
    moment += timedelta(seconds=LET_GO_SECONDS)
    await resume(storage, run, moment)

    account_now = await read_account(storage, run)
    assert account_now is not None and account_now.counted_usd == Decimal("0.1") + 4 * Decimal("0.01")
