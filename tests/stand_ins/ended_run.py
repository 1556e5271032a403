"""A run in memory that has ended: its artifacts are there, and it waits to be sealed and published."""

from __future__ import annotations

import json
from typing import Any

from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.memory import MemoryStorage
from builders import triage_run
from evaluations import evaluate

RUN = triage_run(rows=40)
ID = RUN.header.run
CONTENTS = evaluate(RUN.header, RUN.suite, RUN.plan, RUN.outcomes, RUN.bad_rows, 0, RUN.rows)


async def ended_run(*sinks: dict[str, Any]) -> MemoryStorage:
    """The storage of the run `ID`, whose suite names these sinks."""
    storage = MemoryStorage()
    suite = {**RUN.header.suite, "sinks": list(sinks)}
    header = RUN.header.model_copy(update={"suite": suite})
    await storage.write(layout.header(ID), header.model_dump_json().encode())
    await storage.write(layout.plan(ID), RUN.plan.model_dump_json().encode())
    for name, content in artifacts().items():
        await storage.write(layout.bundle(ID) + name, content)
    return storage


def artifacts() -> dict[str, bytes]:
    lines = [{"rank": at, **one.model_dump(mode="json")} for at, one in enumerate(RUN.outcomes, start=1)]
    return {
        "summary.json": CONTENTS.model_dump_json().encode(),
        "results.jsonl": "".join(json.dumps(line) + "\n" for line in lines).encode(),
        "report.md": b"## think-first is better\n",
        "plots/box.png": b"\x89PNG\x00\xff",
    }


async def blobs(storage: Storage, *prefixes: str) -> dict[str, bytes]:
    """Every blob below the prefixes."""
    return {one.path: await storage.read(one.path) for prefix in prefixes async for one in storage.list(prefix)}
