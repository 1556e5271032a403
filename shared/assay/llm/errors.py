"""The error taxonomy of model calls: which kinds of failure there are, and what to do about each.

Adapters say which kind a failure is (`refusals.py`, `answers.py`); `execution/` carries out the rules.
"""

from dataclasses import dataclass
from enum import StrEnum

from assay.records import TrialStatus


class FailureKind(StrEnum):
    """Why a model request has no usable answer."""

    RATE_LIMITED = "rate_limited"
    SERVICE_BUSY = "service_busy"
    AT_CAPACITY = "at_capacity"
    UNITS_BUSY = "units_busy"
    QUOTA_EXHAUSTED = "quota_exhausted"
    TOO_LARGE = "too_large"
    CONTENT_FILTER = "content_filter"
    CONTEXT_LENGTH = "context_length"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_SETTING = "unsupported_setting"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    DEPLOYMENT_MISSING = "deployment_missing"
    TIMEOUT = "timeout"
    CONFLICT = "conflict"
    SERVER_ERROR = "server_error"
    GATEWAY_ERROR = "gateway_error"
    UNREACHABLE = "unreachable"
    CONNECTION_LOST = "connection_lost"
    READ_TIMEOUT = "read_timeout"
    MALFORMED_ANSWER = "malformed_answer"
    INVALID_ANSWER = "invalid_answer"
    MAX_TOKENS_SPENT = "max_tokens_spent"
    ANSWER_FILTERED = "answer_filtered"
    TLS = "tls"
    TRIAL_TIMEOUT = "trial_timeout"
    PROMPT_SHIELDED = "prompt_shielded"
    SHIELD_FAILED = "shield_failed"
    IMAGE_UNUSABLE = "image_unusable"
    AUDIT_FAILED = "audit_failed"


FIRST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do about one kind of failure.

    `retries` is how often this kind alone may be retried; between retries a wait doubles from FIRST_WAIT_SECONDS up to
    `cap_seconds`, fully jittered, unless the service names one and `honours_retry_after` is set. `counts` says whether
    the attempt uses up the caller's limit of attempts. `charged` says whether the service is assumed to have counted
    the request against the quota, `maybe_billed` whether it may bill it although no answer came.

    `falls_back_after` so many failures another deployment is asked, if there is one; None: never. `stops_after` so
    many questions in a row that end this way the run stops; None: never. `breaks` says whether it speaks against the
    deployment's health, so that its breaker counts it. `outcome` is what the trial becomes when nothing is left.
    """

    retries: int
    cap_seconds: float = 8.0
    honours_retry_after: bool = False
    counts: bool = True
    charged: bool = True
    maybe_billed: bool = False
    falls_back_after: int | None = None
    stops_after: int | None = None
    breaks: bool = False
    outcome: TrialStatus = TrialStatus.FAILED


_NEVER = 0
_BLOCKED = TrialStatus.BLOCKED

# One line per kind. 429s do not use up attempts: waiting helps for certain, and thirty waits of a minute bound it.
# Nor do endpoints that cannot be reached: nothing was sent or paid for, and eight waits outlast half a minute's outage.
# A missing deployment is not retried, although a new one may take five minutes to appear: a wrong name is likelier.
# A refused identity or network, and an account without money, stop the run: nothing else would answer differently, and
# a suspension must not be dodged through another deployment. Provisioned units say 429 on purpose, to spill over.
# A setting that the model does not take is refused with every row, so the first refusal stops the run (a fallback's
# only the third, see `execution/stop_reasons.py`). Thoughts that leave no room for an answer are billed, and would be
# again; twenty such questions in a row are no chance.
TAXONOMY: dict[FailureKind, Rule] = {
    FailureKind.RATE_LIMITED: Rule(30, cap_seconds=60, honours_retry_after=True, counts=False, falls_back_after=3),
    FailureKind.SERVICE_BUSY: Rule(6, cap_seconds=30, honours_retry_after=True, falls_back_after=3, breaks=True),
    FailureKind.AT_CAPACITY: Rule(30, cap_seconds=30, honours_retry_after=True, counts=False, falls_back_after=3),
    FailureKind.UNITS_BUSY: Rule(30, cap_seconds=30, honours_retry_after=True, counts=False, falls_back_after=1),
    FailureKind.QUOTA_EXHAUSTED: Rule(_NEVER, charged=False, stops_after=1),
    FailureKind.TOO_LARGE: Rule(_NEVER, charged=False, falls_back_after=1),
    FailureKind.CONTENT_FILTER: Rule(_NEVER, outcome=_BLOCKED),
    FailureKind.CONTEXT_LENGTH: Rule(_NEVER, falls_back_after=1),
    FailureKind.INVALID_REQUEST: Rule(_NEVER, stops_after=3),
    FailureKind.UNSUPPORTED_SETTING: Rule(_NEVER, stops_after=1),
    FailureKind.UNAUTHORIZED: Rule(1, charged=False, stops_after=1),
    FailureKind.FORBIDDEN: Rule(_NEVER, charged=False, stops_after=1),
    FailureKind.DEPLOYMENT_MISSING: Rule(_NEVER, charged=False, falls_back_after=1, stops_after=1, breaks=True),
    FailureKind.TIMEOUT: Rule(3, honours_retry_after=True, falls_back_after=2, breaks=True),
    FailureKind.CONFLICT: Rule(2, honours_retry_after=True),
    FailureKind.SERVER_ERROR: Rule(4, honours_retry_after=True, falls_back_after=3, breaks=True),
    FailureKind.GATEWAY_ERROR: Rule(4, honours_retry_after=True, falls_back_after=3, breaks=True),
    FailureKind.UNREACHABLE: Rule(8, cap_seconds=30, counts=False, charged=False, falls_back_after=5, breaks=True),
    FailureKind.CONNECTION_LOST: Rule(4, maybe_billed=True, falls_back_after=2, breaks=True),
    FailureKind.READ_TIMEOUT: Rule(3, maybe_billed=True, falls_back_after=2, breaks=True),
    FailureKind.MALFORMED_ANSWER: Rule(4, maybe_billed=True, falls_back_after=3, breaks=True),
    FailureKind.INVALID_ANSWER: Rule(2),
    FailureKind.MAX_TOKENS_SPENT: Rule(_NEVER, maybe_billed=True, stops_after=20),
    FailureKind.ANSWER_FILTERED: Rule(_NEVER, outcome=_BLOCKED),
    FailureKind.TLS: Rule(_NEVER, charged=False, stops_after=1),
    FailureKind.TRIAL_TIMEOUT: Rule(_NEVER),
    FailureKind.PROMPT_SHIELDED: Rule(_NEVER, charged=False, outcome=_BLOCKED),
    FailureKind.SHIELD_FAILED: Rule(_NEVER, charged=False),
    FailureKind.IMAGE_UNUSABLE: Rule(_NEVER, charged=False),
    FailureKind.AUDIT_FAILED: Rule(_NEVER, charged=False),
}

# A longer wait means that the request alone is above the deployment's limit (up to 86,400 seconds have been seen).
LONGEST_WAIT_SECONDS = 600.0
