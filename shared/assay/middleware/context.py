"""What the links of a chain are given: the run, its worker, what a process shares. `runtime.py` makes one per run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from assay.middleware.redaction import Redactor
from assay.storage.base import Storage
from assay.telemetry import Telemetry

Secret = Callable[[], Awaitable[str]]
"""Gives a key or a token when it is needed; caches by itself."""


@dataclass(frozen=True, slots=True)
class ContentSafety:
    """An Azure AI Content Safety resource, and what lets us in: a key, or tokens for its scope."""

    endpoint: str
    key: Secret | None = None
    token: Secret | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """One run in one worker. `charged` are the deployments that keep the charge of a request's arrival.

    `clock` and `sleep` are in seconds; records wait for others up to `linger_seconds`.
    """

    run: str
    worker: str
    storage: Storage
    telemetry: Telemetry
    redactor: Redactor
    clock: Callable[[], float]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    linger_seconds: float = 0.2
    charged: frozenset[str] = frozenset()
    content_safety: ContentSafety | None = None
