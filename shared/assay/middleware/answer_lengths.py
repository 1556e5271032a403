"""How long the answers to one criterion are, and which `max_tokens` charges least. Called by `answer_limits.py`; pure.

The distribution is Kaplan and Meier's (1958), as an answer that was cut is only known to be longer than its limit.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

REMEMBERED = 500
COHORT = 20
FRESH_SHARE = 0.2
"""Which part of the remembered answers has to be new before the limit is worked out again."""

HIGHEST_RERUN_SHARE = 0.05
"""As expected; what comes out scatters around less than that."""

LEAST_GAIN = 0.02
ENDING_TOKENS = 4
"""Room above the longest answer that a limit shall let through: an answer that just fits may be reported as cut."""


@dataclass(frozen=True, slots=True)
class Length:
    """Tokens of one answer; `is_cut`: it would have had more."""

    tokens: int
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A limit, and the share of answers that are expected to be longer."""

    limit: int
    rerun_share: float

    def charge(self, prompt_tokens: float, longest: int) -> float:
        """Expected charge of one trial: prompt and limit, and both again with the suite's own limit for a rerun."""
        return prompt_tokens + self.limit + self.rerun_share * (prompt_tokens + longest)


def candidates(lengths: Iterable[Length]) -> list[Candidate]:
    """Every length seen as a limit, shortest first.

    A new answer is longer than the longest of n with probability 1 / (n + 1), and longer than the k next with
    (k + 1) / (n + 1), whatever the distribution: so few answers give no false hope.
    """
    ordered = sorted(lengths, key=lambda one: (one.tokens, one.is_cut))
    at_risk = total = len(ordered)
    longer, found = 1.0, []
    for at, one in enumerate(ordered):
        if not one.is_cut:
            longer *= 1 - 1 / at_risk
        at_risk -= 1
        is_last_of_its_length = at + 1 == total or ordered[at + 1].tokens > one.tokens
        if is_last_of_its_length and not one.is_cut:
            found.append(Candidate(one.tokens + ENDING_TOKENS, (longer * total + 1) / (total + 1)))
    return found


def best_limit(lengths: Sequence[Length], prompt_tokens: float, longest: int) -> int:
    """The limit that minimises the expected charge, reruns included; `longest`, the suite's own, when none gains 2 %.

    Limits that more than 5 % of the answers are expected to exceed are out: a rerun pays for the cut answer as well.
    """
    whole = prompt_tokens + longest
    possible = [one for one in candidates(lengths) if one.limit < longest and one.rerun_share <= HIGHEST_RERUN_SHARE]
    best = min(possible, key=lambda one: one.charge(prompt_tokens, longest), default=None)
    if best is None or best.charge(prompt_tokens, longest) > whole * (1 - LEAST_GAIN):
        return longest
    return best.limit


class AnswerLengths:
    """The latest 500 answers to one criterion, and the limit that suits them; `longest` is the suite's own.

    Short answers come back first, so the first ones back tell of short answers only. Lengths are therefore taken in by
    cohorts: twenty questions in the order they were asked, once all of them are answered or have failed.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.limit = longest
        self._lengths: deque[Length] = deque(maxlen=REMEMBERED)
        self._cohort = Cohort()
        self._prompts = self._prompt_tokens = self._fresh = 0

    def asked(self) -> "Cohort":
        """Call for every question before it is asked; what comes back is for `answered`."""
        if self._cohort.asked == COHORT:
            self._cohort = Cohort()
        self._cohort.asked += 1
        return self._cohort

    def answered(self, cohort: "Cohort", length: Length | None, prompt_tokens: int) -> None:
        """Call once for every question that was asked. No length: it failed, and says nothing of lengths.

        Prompt tokens of 0 mean that nobody counted them.
        """
        cohort.answered += 1
        if length is not None:
            cohort.lengths.append(length)
            self._prompts += prompt_tokens > 0
            self._prompt_tokens += prompt_tokens
        if cohort.answered == COHORT:
            self._take_in(cohort)

    def _take_in(self, cohort: "Cohort") -> None:
        self._lengths.extend(cohort.lengths)
        self._fresh += len(cohort.lengths)
        if self._fresh > FRESH_SHARE * len(self._lengths):
            self._fresh = 0
            self.limit = best_limit(self._lengths, self._prompt_tokens / max(1, self._prompts), self.longest)


class Cohort:
    """Questions that were asked one after the other, and the lengths of their answers so far."""

    def __init__(self) -> None:
        self.asked = self.answered = 0
        self.lengths: list[Length] = []
