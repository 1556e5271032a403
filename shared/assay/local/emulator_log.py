"""What reached the emulator and what became of it: a JSON-lines file for crash tests and benchmarks, and live counts.

Called by `openai_emulator`. Each line is one write to the file, so a kill of either side loses none.
"""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from assay.local.emulated_bill import Billed


@dataclass(slots=True)
class Arrival:
    """One request as the log knows it. Fields are filled in as the request is understood; None is not known.

    `worker` is what the request says in the header `x-assay-worker`. `charge` counts against the quota; `billed` is
    set when an answer, or a refusal that costs money, was made, whether or not anybody got it.
    """

    id: int
    t: float
    wall: float
    region: str | None = None
    deployment: str | None = None
    worker: str | None = None
    task: str | None = None
    rule: str | None = None
    key: str | None = None
    content: str | None = None
    attempt: int | None = None
    charge: int | None = None
    client: str | None = None
    prompt_tokens: int = 0
    billed: Billed | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "region": self.region,
            "deployment": self.deployment,
            "worker": self.worker,
            "task": self.task,
            "rule": self.rule,
            "key": self.key,
            "content": self.content,
            "attempt": self.attempt,
            "charge": self.charge,
            "client": self.client,
        }


class ArrivalLog:
    """Counts arrivals, and appends two lines for each to `path` if there is one.

    `{"event": "received", "t", "wall", ...}` before anything is waited for, and `{"event": "answered", "t", "wall",
    "received_t", "status", "verdict", "sent", "billed", ...}` after the answer was written. `t` is the system's
    monotonic clock, `wall` Unix time, both in seconds; `status` is null when nothing was answered; `sent` is false when
    the caller had left or was never to be answered; `billed` is null, or prompt, cached prompt and completion tokens. A
    content that is received and never answered was in flight when the log ended.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._by_status: Counter[str] = Counter()
        self._by_verdict: Counter[str] = Counter()
        self._completions: Counter[str] = Counter()
        self._received = self._in_flight = self._max_in_flight = self._unsent = self._charged_tokens = 0
        self._first: Arrival | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def arrive(self) -> Arrival:
        """Number and time a new arrival. Each must be given to `answered` in the end."""
        self._received += 1
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)
        arrival = Arrival(self._received, time.monotonic(), time.time())
        self._first = self._first or arrival
        return arrival

    def received(self, arrival: Arrival) -> None:
        """Write the line of arrival, with what is known of the request by now."""
        self._write({"event": "received", "t": arrival.t, "wall": arrival.wall, **arrival.fields()})

    def answered(self, arrival: Arrival, status: int | None, verdict: str, sent: bool) -> None:
        """Count what became of the request, and write its second line."""
        self._in_flight -= 1
        self._by_status["none" if status is None else str(status)] += 1
        self._by_verdict[verdict] += 1
        self._unsent += not sent
        if status is not None and status != 429:
            self._charged_tokens += arrival.charge or 0
        if status == 200 and arrival.content is not None:
            self._completions[arrival.content] += 1
        times = {"t": time.monotonic(), "wall": time.time(), "received_t": arrival.t}
        outcome = {"status": status, "verdict": verdict, "sent": sent, "billed": arrival.billed}
        self._write({"event": "answered", **times, **arrival.fields(), **outcome})

    def stats(self) -> dict[str, Any]:
        """Counts since the start. `repeated_completions` are 200 answers to content that had one before."""
        return {
            "received": self._received,
            "by_status": dict(sorted(self._by_status.items())),
            "by_verdict": dict(sorted(self._by_verdict.items())),
            "in_flight": self._in_flight,
            "max_in_flight": self._max_in_flight,
            "unsent": self._unsent,
            "charged_tokens": self._charged_tokens,
            "distinct_completions": len(self._completions),
            "repeated_completions": self._completions.total() - len(self._completions),
            "first_request_at": self._first and self._first.wall,
            "first_request_t": self._first and self._first.t,
        }

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is not None:
            os.write(self._file, json.dumps(record).encode() + b"\n")
