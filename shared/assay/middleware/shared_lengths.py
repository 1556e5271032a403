"""How long a run's answers are, as its finished chunks tell in the metadata of their outcome blobs.

Written with a chunk by `execution/ledger.py`; read by `answer_limits.py`, so that workers learn from each other.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from assay.records import Outcome
from assay.storage import layout
from assay.storage.base import Blobs

ANSWER_LENGTHS = "answer_lengths"
STEPS = (1.04, 1.1, 1.3)
"""Lengths are rounded up to powers of the first of these with which the text is short enough."""

MOST_CHARACTERS = 1_000
ENOUGH = 500
"""Of an experiment's chunks no more are read than bring so many lengths of each criterion."""


@dataclass
class SharedLengths:
    """Answers to one criterion: how many of each length, rounded up, and the tokens of all their prompts."""

    counts: Counter[int] = field(default_factory=Counter)
    prompt_tokens: int = 0


Known = Mapping[tuple[str, str], SharedLengths]
"""By experiment and criterion."""


def lengths_metadata(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """One entry for a blob's metadata, at most 1,000 ASCII characters; none when nothing was asked, or too much.

    Outcomes hold final answers, so no length is cut by a lowered limit. Cached answers were not sent and do not count.
    """
    found: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for outcome in outcomes:
        for one in outcome.responses:
            if not one.cached:
                found[one.criterion].append((one.usage.output_tokens, one.usage.input_tokens))
    texts = (_text(found, step) for step in STEPS) if found else iter(())
    short = next((text for text in texts if len(text) <= MOST_CHARACTERS), "")
    return {ANSWER_LENGTHS: short} if short else {}


async def read_lengths(blobs: Blobs, run: str) -> Known:
    """What the finished chunks of a run tell, from one listing. Raises StorageError."""
    known: defaultdict[tuple[str, str], SharedLengths] = defaultdict(SharedLengths)
    read: Counter[str] = Counter()
    prefix = layout.outcomes(run)
    async for entry in blobs.list(prefix):
        experiment = entry.path.removeprefix(prefix).split("/")[0]
        if read[experiment] >= ENOUGH:
            continue
        told = json.loads(entry.metadata.get(ANSWER_LENGTHS, "{}"))
        for criterion, (prompt_tokens, counts) in told.items():
            one = known[experiment, criterion]
            one.prompt_tokens += prompt_tokens
            one.counts.update({int(length): count for length, count in counts.items()})
        read[experiment] = min((known[experiment, criterion].counts.total() for criterion in told), default=0)
    return known


def _text(found: Mapping[str, list[tuple[int, int]]], step: float) -> str:
    told = {
        criterion: [sum(prompt for _, prompt in answers), Counter(_rounded_up(length, step) for length, _ in answers)]
        for criterion, answers in found.items()
    }
    return json.dumps(told, separators=(",", ":"))


def _rounded_up(tokens: int, step: float) -> int:
    if tokens <= 1:
        return 1
    return max(tokens, math.ceil(step ** math.ceil(math.log(tokens, step))))
