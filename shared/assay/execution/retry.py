"""When to ask again: the error taxonomy's rules applied to what has failed so far. Pure; `asking.py` carries it out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from assay.llm.base import ModelError
from assay.llm.errors import LONGEST_WAIT_SECONDS, TAXONOMY, FailureKind

# A wait that the service asks for is kept, and stretched a little, so that workers do not return all at once.
_STRETCH, _STRETCH_SECONDS = 0.1, 0.2


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Whether to ask again, and after how long."""

    again: bool
    wait_seconds: float = 0.0


_STOP = RetryDecision(again=False)


def decide_retry(
    error: ModelError, failures: Counter[FailureKind], attempts_limit: int, random: Callable[[], float]
) -> RetryDecision:
    """What the taxonomy says after this error; `failures` counts all failures so far by kind, this one included.

    Every kind has its own number of retries; `attempts_limit` bounds all attempts together, without those whose kind
    does not count (rate limits, no connection). A wait asked for by the service is kept to within a tenth; one of more
    than ten minutes is not waited for. Without one, the back-off doubles per failure of this kind, fully jittered.
    """
    rule = TAXONOMY[error.kind]
    counted = sum(number for kind, number in failures.items() if TAXONOMY[kind].counts)
    if failures[error.kind] > rule.retries or (rule.counts and counted >= attempts_limit):
        return _STOP
    asked = error.retry_after_seconds if rule.honours_retry_after else None
    if asked is None:
        longest = min(rule.cap_seconds, rule.base_seconds * 2.0 ** (failures[error.kind] - 1))
        return RetryDecision(again=True, wait_seconds=longest * random())
    if asked > LONGEST_WAIT_SECONDS:
        return _STOP
    return RetryDecision(again=True, wait_seconds=asked + random() * (_STRETCH * asked + _STRETCH_SECONDS))
