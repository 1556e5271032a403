"""docs/limits.md says what the code says: every number of its tables is taken from the constant that it stands for."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError

from assay import records
from assay.budget import tranches
from assay.cli import runs as cli_runs
from assay.execution import job, ledger, program_threads, worker
from assay.llm import errors as llm_errors
from assay.llm import openai_sdk, schemas
from assay.middleware import audit_journal, images
from assay.middleware.cache import CacheOptions
from assay.model_settings import MOST_PER_MINUTE
from assay.orchestration import budgets, finishing, ingest, links, run, steps
from assay.planning import datasets, estimate, history, plan, sandbox, templates
from assay.planning import images as image_addresses
from assay.planning.judges import llm_judge
from assay.provenance import files, manifest, remote, verification
from assay.quota import deployments, leases, shares
from assay.reporting import evaluation, trial_page, trial_table, workbook
from assay.run_records import ChunkMessage
from assay.scoring import calls, views
from assay.scoring.statistics import choice, intervals
from assay.settings import Settings
from assay.sinks.devops import sink as devops
from assay.sources import base, unpacking
from assay.sources import workbook as sheets
from assay.suite import models, yaml_text
from assay.suite.datasets import DatasetSettings
from assay.suite.models import Limits
from assay.suite.sink_options import GitSinkOptions
from assay.telemetry_export import pipeline, plain, tree

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/limits.md").read_text(encoding="utf-8")
TEMPLATE = (ROOT / "infra/main.bicep").read_text(encoding="utf-8")
APP_TEMPLATE = (ROOT / "infra/modules/app.bicep").read_text(encoding="utf-8")
HOST: dict[str, Any] = json.loads((ROOT / "function_app/host.json").read_text(encoding="utf-8"))
TRIGGERS = (ROOT / "function_app/triggers/runs.py").read_text(encoding="utf-8")

KIB, MIB, GIB = 1024, 1024**2, 1024**3
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
MEASURED = {"use of the quota, saturated", "3,000,000 trials, two cores", "overshoot of an enforced budget"}
"""Promises that no constant makes: docs/benchmarks.md has how they were measured."""


def _bounds(model: type[BaseModel], field: str) -> tuple[Any, Any, Any]:
    """Default, lowest and highest value of a field."""
    info = model.model_fields[field]
    lowest = next((one.ge for one in info.metadata if isinstance(one, Ge)), None)
    highest = next((one.le for one in info.metadata if isinstance(one, Le)), None)
    return info.default, lowest, highest


def _default_and_most(model: type[BaseModel], field: str) -> tuple[Any, Any]:
    default, _, most = _bounds(model, field)
    return default, most


def _parameter(name: str) -> int:
    found = re.search(rf"^param {name} int = (\d+)$", TEMPLATE, re.MULTILINE)
    assert found, name
    return int(found[1])


def _highest_parameter(name: str) -> int:
    found = re.search(rf"@maxValue\((\d+)\)\nparam {name} ", TEMPLATE)
    assert found, name
    return int(found[1])


def _in_text(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, pattern
    return int(found[1].replace("_", ""))


def _minutes(time_span: str) -> int:
    hours, minutes, _ = map(int, time_span.split(":"))
    return 60 * hours + minutes


def _most_rows_per_message() -> int:
    most = 10_000
    assert Limits(rows_per_message=most)
    with pytest.raises(ValidationError):
        Limits(rows_per_message=most + 1)
    return most


SETTINGS = Settings()
QUEUES = HOST["extensions"]["queues"]
DURABLE = HOST["extensions"]["durableTask"]

LIMITS: dict[str, tuple[Any, ...]] = {
    "size of a file": (SETTINGS.max_file_bytes / GIB,),
    "size of gzip content": (
        unpacking.MAX_UNPACKED_BYTES / GIB,
        unpacking.FREE_BYTES / MIB,
        unpacking.MAX_RATIO,
    ),
    "rows": (base.MAX_ROWS,),
    "bad rows": (int(str(DatasetSettings().max_bad_rows).rstrip("%")), base.MAX_BAD_ROWS),
    "a line, element or row": (base.MAX_LINE_BYTES,),
    "a cell": (base.MAX_CELL_CHARACTERS,),
    "columns": (base.MAX_COLUMNS,),
    "nesting in a cell": (base.MAX_DEPTH,),
    "an id": (base.MAX_ID_CHARACTERS,),
    "the name of a file": (ingest.MAX_NAME_CHARACTERS,),
    "rows of a sheet": (sheets.MAX_SHEET_ROWS,),
    "a query's file": (datasets.MAX_QUERY_BYTES,),
    "a suite, all its files together": (yaml_text.MAX_CHARACTERS, yaml_text.MAX_GROWN_CHARACTERS),
    "nesting of YAML": (yaml_text.MAX_DEPTH,),
    "experiments that matrices make": (Limits().experiments,),
    "experiments in all": (models.MOST_EXPERIMENTS,),
    "repeats of a row": (_bounds(models.Experiment, "repeats")[2],),
    "names": (40,),
    "work of one template for one row": (sandbox.MAX_STEPS, sandbox.MAX_CHARACTERS, templates.MAX_LEVELS),
    "messages of a history": (history.MAX_MESSAGES,),
    "the address of an image; one of `blob://`": (image_addresses.MAX_CHARACTERS, images.MAX_BYTES),
    "an answer's schema": (schemas.MAX_LEVELS, schemas.MAX_PROPERTIES),
    "steps of a judge's scale": (llm_judge.MOST_STEPS,),
    "rows that `assay estimate` renders": (estimate.MAX_RENDERED_ROWS,),
    "rows of a message": (plan.MAX_ROWS_PER_MESSAGE, _most_rows_per_message()),
    "bytes of a message's rows": (plan.MAX_RANGE_BYTES / MIB,),
    "messages of an experiment": (plan.MAX_RANGES,),
    "messages of a run, of experiments times repeats and of judges": (plan.MAX_CHUNKS,),
    "size of a message": (1,),
    "life of a message": (),
    "deliveries of a message": (QUEUES["maxDequeueCount"],),
    "messages of a run in the queue": (SETTINGS.queue_depth, steps.DEEPEST_QUEUE),
    "messages that a worker process has at once": (QUEUES["batchSize"], QUEUES["newBatchThreshold"]),
    "time for a message in one go": (worker.LONGEST_TURN_SECONDS / 60, _minutes(HOST["functionTimeout"])),
    "tries of a request": _default_and_most(Limits, "attempts"),
    "waits for a 429, which are not counted as tries": (
        llm_errors.TAXONOMY[llm_errors.FailureKind.RATE_LIMITED].retries,
    ),
    "a wait that the service asks for": (llm_errors.LONGEST_WAIT_SECONDS,),
    "whole answer": _default_and_most(Limits, "request_timeout_seconds"),
    "connection": _default_and_most(Limits, "connect_timeout_seconds"),
    "trial, without waits for quota and budget": _default_and_most(Limits, "trial_timeout_seconds"),
    "length of a model's answer": (_bounds(models.ModelSettings, "max_tokens")[0],),
    "length of a program's answer": (base.MAX_CELL_CHARACTERS,),
    "calls of a program for a row": _default_and_most(Limits, "calls_per_trial"),
    "threads of programs in a process; hung ones": (program_threads.MOST_THREADS, program_threads.MOST_LEFT),
    "trials at once in a process": _default_and_most(Settings, "worker_concurrency"),
    "connections to an endpoint": (openai_sdk.CONNECTIONS,),
    "a scorer's reason; a label": (calls.MOST_REASON, records.MOST_LABEL),
    "requests and tokens per minute": (MOST_PER_MINUTE,),
    "workers that a deployment feeds": (shares.MOST_PARTITIONS,),
    "replicas": (_parameter("maxReplicas"), _highest_parameter("maxReplicas")),
    "until a new worker has its share": (leases.LEASE_SECONDS,),
    "until a lower quota holds": (deployments.REREAD_SECONDS,),
    "until a higher quota holds": (deployments.REREAD_SECONDS + leases.LEASE_SECONDS + 2 * deployments.CLOCKS_SECONDS,),
    "a budget": (models.LEAST_BUDGET_USD, models.MOST_BUDGET_USD),
    "marks of a soft budget": budgets.WARN_AT_PERCENT,
    "wait for money that other workers hold": (tranches.PATIENCE_SECONDS,),
    "an append to a checkpoint": (ledger.BLOCK_BYTES / MIB,),
    "appends to a checkpoint": (_most_rows_per_message(),),
    "appends to an audit journal": (audit_journal.BLOCKS_PER_JOURNAL, audit_journal.BLOCK_BYTES / MIB),
    "storage away while a run is watched": (
        _in_text(r"PATIENCE = .*max_number_of_attempts=(\d+)", TRIGGERS),
        _in_text(r"PATIENCE = .*first_retry_interval_in_milliseconds=([\d_]+)", TRIGGERS) / 1000,
    ),
    "deleted and overwritten blobs": (_parameter("softDeleteDays"),),
    "kept answers": (CacheOptions().days,),
    "runs, audit, bundles": (_parameter("coolAfterDays"), _parameter("deleteAfterDays")),
    "history of orchestrations": (SETTINGS.history_days,),
    "runs at once": (),
    "steps (plan, evaluate, ...) at once in a process": (
        DURABLE["maxConcurrentActivityFunctions"],
        finishing.SMALL_RUN_TRIALS,
    ),
    "runs that a worker process keeps in mind": (job.KEPT_JOBS,),
    "a look at a run": (run.SHORTEST_PAUSE_SECONDS, run.LONGEST_PAUSE_SECONDS),
    "lost messages": (run.STALLED_SECONDS / 60,),
    "the alert for a stalled run": (_parameter("alertStalledMinutes"),),
    "a worker that is told to end": (_in_text(r"terminationGracePeriodSeconds: (\d+)", APP_TEMPLATE),),
    "claim of a worker that died on its chunk": (ledger.CLAIM_SECONDS,),
    "time of a run": (),
    "pairs of a permutation test": (choice.MOST_PERMUTED,),
    "values of a bootstrap": (intervals.MOST_BOOTSTRAPPED,),
    "different labels of a score": (views.MOST_LABELS,),
    "trials on the page": (trial_table.MOST_TRIALS,),
    "the page": (trial_page.MOST_PACKED_BYTES, trial_page.MOST_CHARACTERS),
    "bad rows that reports show": (evaluation.MOST_BAD_ROWS,),
    "a cell of the workbook": (workbook.MOST_CELL_CHARACTERS,),
    "a path in a bundle": (manifest.MAX_PATH_LENGTH,),
    "a manifest that is verified": (verification.MAX_MANIFEST_BYTES / MIB,),
    "a zip that is verified": (files.MOST_ZIP_ENTRIES, files.MOST_UNPACKED_BYTES / GIB),
    "a zip that is fetched for it": (remote.MOST_ZIP_BYTES / GIB,),
    "file in a Git repository": _default_and_most(GitSinkOptions, "largest_file_mb"),
    "push to Azure DevOps": (devops._MOST_BYTES_PER_PUSH / MIB,),
    "a link": (links.MOST_HOURS,),
    "trials whose spans are sent": (SETTINGS.trace_share,),
    "failed trials, beside that": (tree.FAILURES_PER_MINUTE,),
    "records that wait to be sent": (pipeline.MOST_WAITING,),
    "a text": (plain.LONGEST_TEXT,),
    "runs that `GET /api/runs` and `assay ls` give": (),
    "refused files that `assay ls` shows": (cli_runs.SHOWN_REFUSALS,),
    "workers' clocks apart": (deployments.CLOCKS_SECONDS,),
    "reader's clock behind, for a link": (links._CLOCKS_APART.total_seconds() / 60,),
}


def _rows() -> dict[str, str]:
    """The limit of every row of the tables that have a column of that name and say how it is known."""
    found: dict[str, str] = {}
    for table in re.findall(r"^\| what \| limit \| beyond it .*?\n\n", f"{PAGE}\n\n", re.MULTILINE | re.DOTALL):
        for line in table.strip().splitlines()[2:]:
            what, limit, *others = (cell.strip() for cell in line.strip("|").split("|"))
            assert len(others) == 3, line
            assert what not in found, f"'{what}' stands twice"
            found[what] = limit
    return found


def test_every_documented_limit_is_a_constant_s_and_every_constant_is_documented() -> None:
    """A row without a constant is a promise that nobody holds; the measured ones are named."""
    assert set(_rows()) == set(LIMITS) | MEASURED


@pytest.mark.parametrize("what", LIMITS)
def test_a_documented_limit_has_the_code_s_numbers(what: str) -> None:
    """And no others."""
    found = [float(number.replace(",", "")) for number in NUMBER.findall(_rows()[what])]
    assert found == [float(number) for number in LIMITS[what]]


def test_a_name_may_have_as_many_characters_as_the_page_says() -> None:
    """Of suites and of what is in them."""
    (most,) = LIMITS["names"]
    for rule in (models.SUITE_NAME, models.ITEM_NAME):
        assert re.fullmatch(rule, "a" * most) and not re.fullmatch(rule, "a" * (most + 1))


def test_the_longest_message_is_as_small_as_the_page_says() -> None:
    """As Base64, with the longest names; a queue takes 64 KiB."""
    name, many = "x" * 40, 10**12
    message = ChunkMessage(
        run=f"{name}-0123456789",
        experiment=f"{name}.{name}.{name}",
        chunk=many,
        repeat=100,
        first_row=many,
        rows=many,
        offset=many,
        length=many,
    )
    assert len(b64encode(message.model_dump_json().encode())) <= LIMITS["size of a message"][0] * KIB


def test_the_memory_of_a_replica_is_the_template_s() -> None:
    """By its cores."""
    memory = dict(re.findall(r"'([\d.]+)': '(\d+)Gi'", re.findall(r"var memoryOf = (.*)", APP_TEMPLATE)[0]))
    table = PAGE.partition("| `cpu` | memory |")[2]
    for line in table.partition("\n\n")[0].splitlines()[2:]:
        cores, sizes = (NUMBER.findall(cell) for cell in line.strip("|").split("|")[:2])
        assert [memory[one] for one in cores] == sizes, line
