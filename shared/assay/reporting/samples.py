"""A few telling trials out of many: where variants disagree with the baseline, and what went wrong.

Fed one outcome at a time; the choice depends on row numbers only, never on the order of arrival.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from assay.records import Outcome, Record, Row, TrialStatus

MOST_DISAGREEMENTS = 10
MOST_SAMPLES = 3
MOST_CHARACTERS = 2_000


class Answer(Record):
    """What an experiment answered to one criterion, cut when long."""

    criterion: str
    text: str


class Side(Record):
    """One experiment's answers to a row, and the score they got."""

    score: float | None
    reason: str | None
    answers: tuple[Answer, ...]


class Disagreement(Record):
    """A row on which a variant and the baseline differ. `expected` is None when no column says what is right."""

    row_id: str
    row_number: int
    expected: str | None
    baseline: Side
    variant: Side


class TroubleSample(Record):
    """One trial that went wrong."""

    row_id: str
    row_number: int
    experiment: str
    repeat: int = 0
    message: str
    request_id: str | None = None


class Trouble(Record):
    """Trials that went wrong in the same way, with the first few of them."""

    kind: str
    count: int
    by_experiment: dict[str, int]
    samples: tuple[TroubleSample, ...]


def cut(text: str, limit: int = MOST_CHARACTERS) -> str:
    """The text, or its beginning and how much was left out."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"


class _Seen(NamedTuple):
    row_id: str
    side: Side | None


class DisagreementSampler:
    """Keeps the first rows on which each variant differs from the baseline: in the score, or without one in the answer.

    The first repeat stands for all. Holds a row's answers only until all its trials are seen, or until it can no
    longer be among the first.
    """

    def __init__(self, baseline: str, variants: Sequence[str], score: str | None) -> None:
        self._baseline, self._score = baseline, score
        self._kept: dict[str, list[tuple[int, Disagreement]]] = {variant: [] for variant in variants}
        self._waiting: dict[int, dict[str, _Seen]] = {}

    def add(self, outcome: Outcome) -> None:
        if outcome.repeat:
            return
        if not any(self._has_room(variant, outcome.row_number) for variant in self._kept):
            self._waiting.pop(outcome.row_number, None)
            return
        trials = self._waiting.setdefault(outcome.row_number, {})
        trials[outcome.experiment] = _Seen(outcome.row_id, self._side(outcome))
        if len(trials) == len(self._kept) + 1:
            self._choose(outcome.row_number, self._waiting.pop(outcome.row_number))

    @property
    def waiting(self) -> int:
        """How many rows' answers are held because some trial of theirs has not come yet."""
        return len(self._waiting)

    def samples(self, rows: Iterable[Row], expected: str | None) -> dict[str, tuple[Disagreement, ...]]:
        """By variant and row; `expected` is the column that says what is right, looked up in `rows`."""
        for number in sorted(self._waiting):
            self._choose(number, self._waiting[number])
        right = dict(self._expected(rows, expected)) if expected else {}
        return {
            variant: tuple(one.model_copy(update={"expected": right.get(number)}) for number, one in kept)
            for variant, kept in self._kept.items()
        }

    def _choose(self, number: int, trials: Mapping[str, _Seen]) -> None:
        if self._baseline not in trials:
            return
        row_id, baseline = trials[self._baseline]
        for variant, kept in self._kept.items():
            other = trials[variant].side if variant in trials else None
            if baseline and other and self._has_room(variant, number) and self._differ(baseline, other):
                one = Disagreement(row_id=row_id, row_number=number, expected=None, baseline=baseline, variant=other)
                insort(kept, (number, one), key=lambda pair: pair[0])
                del kept[MOST_DISAGREEMENTS:]

    def _has_room(self, variant: str, number: int) -> bool:
        kept = self._kept[variant]
        return len(kept) < MOST_DISAGREEMENTS or number < kept[-1][0]

    def _differ(self, baseline: Side, variant: Side) -> bool:
        if self._score is None:
            return baseline.answers != variant.answers
        return None not in (baseline.score, variant.score) and baseline.score != variant.score

    def _side(self, outcome: Outcome) -> Side | None:
        if outcome.status is not TrialStatus.SUCCEEDED:
            return None
        score = next((score for score in outcome.scores if score.name == self._score), None)
        return Side(
            score=score.value if score else None,
            reason=cut(score.reason) if score and score.reason else None,
            answers=tuple(Answer(criterion=one.criterion, text=cut(one.text)) for one in outcome.responses),
        )

    def _expected(self, rows: Iterable[Row], column: str) -> Iterator[tuple[int, str]]:
        wanted = {number for kept in self._kept.values() for number, _ in kept}
        for row in rows:
            if not wanted:
                return
            if row.number in wanted:
                wanted.discard(row.number)
                yield row.number, cut(str(row.fields.get(column, "")))


class TroubleSampler:
    """Counts what went wrong by kind, and keeps the first few trials of each."""

    def __init__(self, experiments: Sequence[str]) -> None:
        self._ranks = {name: rank for rank, name in enumerate(experiments)}
        self._counts: dict[str, dict[str, int]] = {}
        self._kept: dict[str, list[TroubleSample]] = {}

    def add(self, outcome: Outcome, kind: str, message: str, request_id: str | None = None) -> None:
        counts = self._counts.setdefault(kind, {})
        counts[outcome.experiment] = counts.get(outcome.experiment, 0) + 1
        kept = self._kept.setdefault(kind, [])
        place = (outcome.row_number, self._ranks[outcome.experiment], outcome.repeat)
        if len(kept) == MOST_SAMPLES and self._place(kept[-1]) < place:
            return
        sample = TroubleSample(
            row_id=outcome.row_id,
            row_number=outcome.row_number,
            experiment=outcome.experiment,
            repeat=outcome.repeat,
            message=cut(message, 500),
            request_id=request_id,
        )
        insort(kept, sample, key=self._place)
        del kept[MOST_SAMPLES:]

    def groups(self) -> tuple[Trouble, ...]:
        """The commonest kind first; kinds as common by name."""
        groups = [self._group(kind) for kind in self._counts]
        return tuple(sorted(groups, key=lambda group: (-group.count, group.kind)))

    def _group(self, kind: str) -> Trouble:
        counts = self._counts[kind]
        return Trouble(
            kind=kind,
            count=sum(counts.values()),
            by_experiment={name: counts[name] for name in self._ranks if name in counts},
            samples=tuple(self._kept[kind]),
        )

    def _place(self, sample: TroubleSample) -> tuple[int, int, int]:
        return sample.row_number, self._ranks[sample.experiment], sample.repeat
