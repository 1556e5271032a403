"""Spans of a process as one tree per run: their ids, their parents, and which trials are kept.

Ids of a run's trace and of its own span derive from the run's id, so that all processes build one tree and no message
has to carry anything. Knows nothing of OpenTelemetry; `pipeline.py` sends what is kept.
"""

import hashlib
import random
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import TracebackType
from typing import Any

from assay.telemetry import Attributes, fields_in_force
from assay.telemetry_names import (
    BOUND_FIELDS,
    ERROR_TYPE,
    OUTCOME,
    QUOTA_WAIT,
    REPEAT,
    ROW,
    RUN_SPAN,
    RUN_TIME,
    SpanName,
    attribute,
)

FAILURES_PER_MINUTE = 60
"""So many failed trials are kept beside the share: enough to learn from, and a run that only fails costs no more."""

_KEPT_OUTCOMES = ("failed", "blocked")
_NANOSECONDS = 1e9


@lru_cache(64)
def trace_id_of(run: str) -> int:
    """The trace of a run, 128 bits; never 0, which means none."""
    return int.from_bytes(hashlib.sha256(f"assay trace {run}".encode()).digest()[:16]) or 1


@lru_cache(64)
def run_span_id(run: str) -> int:
    """The span of the run itself, which all else of it belongs to; 64 bits, never 0."""
    return int.from_bytes(hashlib.sha256(f"assay run {run}".encode()).digest()[:8]) or 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a tree something happened."""

    trace_id: int
    span_id: int


@dataclass(frozen=True, slots=True)
class FinishedSpan:
    """A span to be sent. `parent_id` is None for a run's; times are nanoseconds since 1970."""

    name: SpanName
    title: str
    place: Place
    parent_id: int | None
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    has_failed: bool


Keep = Callable[[FinishedSpan], None]


class Tree:
    """Opens spans, and hands those that are kept to `keep` when they end.

    `share` of the trials are kept with all that belongs to them, the same ones in every process.
    """

    def __init__(
        self,
        share: float,
        keep: Keep,
        now_ns: Callable[[], int] = time.time_ns,
        draw: Callable[[], float] = random.random,
        new_id: Callable[[], int] = lambda: random.getrandbits(64) or 1,
    ) -> None:
        self.share, self.keep, self.now_ns, self.draw, self.new_id = share, keep, now_ns, draw, new_id
        self._minute = self._failures = 0

    def span(self, name: SpanName, attributes: Attributes, began: datetime | None) -> "OpenSpan":
        """A span for a `with` block."""
        return OpenSpan(self, name, dict(attributes), began)

    def may_keep_failure(self, at_ns: int) -> bool:
        """Whether one more failed trial is kept in this minute."""
        minute = at_ns // 60_000_000_000
        if minute != self._minute:
            self._minute, self._failures = minute, 0
        self._failures += 1
        return self._failures <= FAILURES_PER_MINUTE


class OpenSpan:
    """A span under way. Trials hold what belongs to them until their end says whether it is kept."""

    __slots__ = (
        "_attributes",
        "_began_ns",
        "_ended_ns",
        "_fields",
        "_held",
        "_is_chosen",
        "_name",
        "_parent",
        "_placed",
        "_token",
        "_tree",
        "_waited_seconds",
    )

    def __init__(self, tree: Tree, name: SpanName, attributes: dict[str, Any], began: datetime | None) -> None:
        self._tree, self._name, self._attributes = tree, name, attributes
        self._began_ns = round(began.timestamp() * _NANOSECONDS) if began else tree.now_ns()
        self._fields = fields_in_force()
        self._parent = _innermost.get()
        self._placed: Place | None = None
        self._held: list[OpenSpan] = []
        self._is_chosen = not name.sampled or self._choose()
        self._ended_ns = 0
        self._waited_seconds = 0.0
        self._token: Token[OpenSpan | None] | None = None

    def set(self, attributes: Attributes) -> None:
        """Adds what is known by now."""
        self._attributes.update(attributes)

    @property
    def kept_place(self) -> Place:
        """The nearest place around here that is sure to be kept; a trial is only once it has failed."""
        if self._is_chosen or self._parent is None:
            return self._place
        return self._parent.kept_place

    def __enter__(self) -> "OpenSpan":
        self._token = _innermost.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._token is not None:
            _innermost.reset(self._token)
        if kind is not None:
            self._attributes.setdefault(ERROR_TYPE, kind.__name__)
        self._end()

    @property
    def _place(self) -> Place:
        """Found when it is first asked for: most spans are never sent."""
        if self._placed is None:
            self._placed = self._find_place()
        return self._placed

    def _find_place(self) -> Place:
        run = self._fields.get("run")
        if self._name is RUN_SPAN:
            return Place(trace_id_of(run), run_span_id(run))
        if run is not None:
            return Place(trace_id_of(run), self._tree.new_id())
        if self._parent is not None:
            return Place(self._parent._place.trace_id, self._tree.new_id())
        return Place(self._tree.new_id() << 64 | self._tree.new_id(), self._tree.new_id())

    @property
    def _head(self) -> "OpenSpan | None":
        """The sampled span that this one belongs to, and shares its fate with."""
        parent = self._parent
        return parent if parent is not None and parent._name.sampled and self._name.sampled else None

    def _choose(self) -> bool:
        head, share = self._head, self._tree.share
        if head is not None:
            return head._is_chosen
        if share >= 1 or share <= 0:
            return share >= 1
        fields, own = self._fields, self._attributes
        if ROW not in own:
            return self._tree.draw() < share
        trial = f"{fields.get('run')} {fields.get('experiment')} {own[ROW]} {own.get(REPEAT, 0)}"
        drawn = int.from_bytes(hashlib.blake2b(trial.encode(), digest_size=8).digest())
        return drawn < share * 2**64

    def _end(self) -> None:
        self._ended_ns, parent, head = self._tree.now_ns(), self._parent, self._head
        self._waited_seconds = self._attributes.get(QUOTA_WAIT, self._waited_seconds)
        if parent is not None:
            parent._waited_seconds += self._waited_seconds
        if head is not None:
            head._held.append(self)
            return
        if self._is_kept(self._ended_ns):
            self._keep()
        self._held.clear()  # they know this span: a cycle would wait for the garbage collector

    def _keep(self) -> None:
        self._tree.keep(self._finished())
        for one in self._held:
            one._keep()

    def _is_kept(self, at_ns: int) -> bool:
        if self._is_chosen:
            return True
        return self._attributes.get(OUTCOME) in _KEPT_OUTCOMES and self._tree.may_keep_failure(at_ns)

    def _finished(self) -> FinishedSpan:
        name, known = self._name, self._attributes
        ended_ns, waited = self._ended_ns, self._waited_seconds
        known.update((attribute(one), self._fields[one]) for one in BOUND_FIELDS if one in self._fields)
        if RUN_TIME in name.attributes:
            known[QUOTA_WAIT] = round(waited, 4)
            known[RUN_TIME] = round(max(0.0, (ended_ns - self._began_ns) / _NANOSECONDS - waited), 4)
        return FinishedSpan(
            name=name,
            title=f"{name.name} {known[name.named_by]}" if name.named_by in known else name.name,
            place=self._place,
            parent_id=self._parent_id(),
            began_ns=self._began_ns,
            ended_ns=max(ended_ns, self._began_ns),
            attributes={one: known[one] for one in name.attributes if known.get(one) is not None},
            has_failed=ERROR_TYPE in known or known.get(OUTCOME) == "failed",
        )

    def _parent_id(self) -> int | None:
        if self._name is RUN_SPAN:
            return None
        parent, run = self._parent, self._fields.get("run")
        if parent is not None and parent._place.trace_id == self._place.trace_id:
            return parent._place.span_id
        return run_span_id(run) if run is not None else None


_innermost: ContextVar[OpenSpan | None] = ContextVar("assay_span", default=None)


def place_here(run: str | None) -> Place | None:
    """Where something happens that is no span: in the innermost span that is kept, else in the run's own."""
    span = _innermost.get()
    if span is not None:
        return span.kept_place
    return Place(trace_id_of(run), run_span_id(run)) if run is not None else None
