"""What an experiment did not pay for: answers from the cache, and answers asked for with a lowered `max_tokens`.

`tallies.py` gathers it, `contents.py` puts it into the report.
"""

from dataclasses import dataclass, field

from assay.records import Record, Usage
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
    lowest: int | None = None
    highest: int | None = None

    def add(self, other: "ShortcutCounts") -> None:
        """Takes the sums of more answers in."""
        for name in ("answers", "cached", "limited", "cut", "reruns", "limits", "cut_prompt_tokens", "discarded"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lowest = min((one for one in (self.lowest, other.lowest) if one is not None), default=None)
        self.highest = max((one for one in (self.highest, other.highest) if one is not None), default=None)

    def shortcuts(self, max_tokens: int) -> Shortcuts:
        """The figures of an experiment whose own limit is `max_tokens`."""
        charged = self.limits + self.cut_prompt_tokens + self.cut * max_tokens
        return Shortcuts(
            answers=self.answers,
            cached=self.cached,
            limited=self.limited,
            limit_low=self.lowest,
            limit_high=self.highest,
            reruns=self.reruns,
            discarded=self.discarded,
            tokens_saved=self.limited * max_tokens - charged,
        )


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
