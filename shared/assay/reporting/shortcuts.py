"""What an experiment did not pay for: answers from the cache, and answers asked for with a lowered `max_tokens`.

`columns.py` gathers it, `contents.py` puts it into the report.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from assay.records import Record, Response, Usage
from assay.reporting import wording


class Shortcuts(Record):
    """Counts of answers, and tokens. `limit_low` and `limit_high` are the lowest and highest lowered limit sent.

    `tokens_saved` is how much less the quota was charged than with the suite's own limit, reruns taken off.
    """

    answers: int = 0
    cached: int = 0
    limited: int = 0
    limit_low: int | None = None
    limit_high: int | None = None
    reruns: int = 0
    discarded: Usage = Usage()
    tokens_saved: int = 0


@dataclass
class ShortcutCounts:
    """The sums behind `Shortcuts`; in bounded memory."""

    answers: int = 0
    cached: int = 0
    limited: int = 0
    cut: int = 0
    reruns: int = 0
    limits: int = 0
    cut_prompt_tokens: int = 0
    discarded: Usage = field(default_factory=Usage)
    _low: int | None = None
    _high: int | None = None

    def add(self, responses: Iterable[Response]) -> None:
        """Takes a trial's responses in."""
        for one in responses:
            self.answers += 1
            self.cached += one.cached
            self.reruns += one.reruns
            if one.reruns:
                self.discarded += one.discarded
            if one.limit_sent is not None:
                self._add_limit(one, one.limit_sent)

    def shortcuts(self, max_tokens: int) -> Shortcuts:
        """The figures of an experiment whose own limit is `max_tokens`."""
        charged = self.limits + self.cut_prompt_tokens + self.cut * max_tokens
        return Shortcuts(
            answers=self.answers,
            cached=self.cached,
            limited=self.limited,
            limit_low=self._low,
            limit_high=self._high,
            reruns=self.reruns,
            discarded=self.discarded,
            tokens_saved=self.limited * max_tokens - charged,
        )

    def _add_limit(self, response: Response, limit: int) -> None:
        self.limited += 1
        self.limits += limit
        self._low = limit if self._low is None else min(self._low, limit)
        self._high = limit if self._high is None else max(self._high, limit)
        if response.reruns:
            self.cut += 1
            self.cut_prompt_tokens += response.usage.input_tokens


def shortcut_sentences(experiment: str, of: Shortcuts) -> tuple[str, ...]:
    """What there is to say of an experiment; nothing where neither cache nor lowered limits took part."""
    said = []
    if of.cached:
        said.append(f"{experiment}: {wording.count(of.cached)} of {wording.noun(of.answers, 'answer')} from the cache.")
    if of.limited:
        low, high = wording.count(of.limit_low or 0), wording.count(of.limit_high or 0)
        limits = low if low == high else f"{low} to {high}"
        effect = "charged less to the quota" if of.tokens_saved >= 0 else "charged more to the quota"
        said.append(
            f"{experiment}: {wording.noun(of.limited, 'answer')} asked for with a lowered max_tokens ({limits});"
            f" {wording.noun(abs(of.tokens_saved), 'token')} {effect}."
        )
    if of.reruns:
        share = wording.share(of.reruns / of.answers)
        discarded = of.discarded.input_tokens + of.discarded.output_tokens
        said.append(
            f"{experiment}: {wording.count(of.reruns)} asked again ({share} of the answers);"
            f" {wording.noun(discarded, 'token')} billed for answers that were not used."
        )
    return tuple(said)
