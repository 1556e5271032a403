"""What to do after a failed attempt: the error taxonomy's rules applied to what has failed so far.

Pure; `asking.py` carries it out.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from assay.llm.base import ModelError
from assay.llm.errors import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, TAXONOMY, FailureKind, Rule

# A wait that the service asks for is kept, and stretched a little, so that workers do not return all at once.
_STRETCH, _STRETCH_SECONDS = 0.1, 0.2


class Step(Enum):
    """Ask the same deployment again, leave it for another one, or give up."""

    AGAIN = "again"
    FALL_BACK = "fall_back"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """What to do, and for how long to leave this deployment alone before that."""

    step: Step
    wait_seconds: float = 0.0


def decide_retry(
    error: ModelError,
    failures: Counter[FailureKind],
    attempts_limit: int,
    random: Callable[[], float],
    *,
    has_fallback: bool = False,
) -> RetryDecision:
    """What the taxonomy says after this error; `failures` counts all failures so far by kind, this one included.

    Every kind has its own number of retries; `attempts_limit` bounds all attempts together, without those whose kind
    does not count (rate limits, no connection). A wait asked for by the service is kept to within a tenth; one of more
    than ten minutes is not waited for. Without one, the back-off doubles per failure of this kind, fully jittered.
    Where there is a fallback, it is taken after as many failures as the kind says, or when no retry is left.
    """
    rule = TAXONOMY[error.kind]
    may_fall_back = has_fallback and rule.falls_back_after is not None
    if may_fall_back and failures[error.kind] >= (rule.falls_back_after or 0):
        return RetryDecision(Step.FALL_BACK)
    wait_seconds = _wait_seconds(error, rule, failures[error.kind], random)
    counted = sum(number for kind, number in failures.items() if TAXONOMY[kind].counts)
    is_spent = failures[error.kind] > rule.retries or (rule.counts and counted >= attempts_limit)
    if is_spent or wait_seconds is None:
        return RetryDecision(Step.FALL_BACK if may_fall_back else Step.GIVE_UP)
    return RetryDecision(Step.AGAIN, wait_seconds)


def _wait_seconds(error: ModelError, rule: Rule, failures: int, random: Callable[[], float]) -> float | None:
    """None: the service asks for a wait that is not worth it."""
    asked = error.retry_after_seconds if rule.honours_retry_after else None
    if asked is None:
        return min(rule.cap_seconds, FIRST_WAIT_SECONDS * 2.0 ** (failures - 1)) * random()
    if asked > LONGEST_WAIT_SECONDS:
        return None
    return asked + random() * (_STRETCH * asked + _STRETCH_SECONDS)
