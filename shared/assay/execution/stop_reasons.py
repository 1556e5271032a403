"""When failures stop a run instead of failing one trial after the other, and what the person is told then.

Pure; `asking.py` counts here and raises what it is given.
"""

from collections import Counter
from dataclasses import dataclass, field

from assay.errors import RunStopped
from assay.llm.base import ModelError
from assay.llm.errors import TAXONOMY, FailureKind

_LONGEST_FOUND = 300

# `{resume}` is the command that goes on with the run.
_ADVICE = {
    FailureKind.UNAUTHORIZED: "Check the key (AZURE_OPENAI_API_KEY, ASSAY_ENDPOINTS), or give this identity the role "
    "Cognitive Services OpenAI User; then go on with {resume}.",
    FailureKind.FORBIDDEN: "Check the resource's network rules and this identity's roles; a resource that is blocked "
    "for abuse needs a support request. Then go on with {resume}.",
    FailureKind.QUOTA_EXHAUSTED: "Check plan and billing of the account; then go on with {resume}.",
    FailureKind.TLS: "Check the endpoint's address and certificate, and proxies between here and there; then go on "
    "with {resume}.",
    FailureKind.DEPLOYMENT_MISSING: "Create the deployment (a new one takes up to five minutes to appear), then go on "
    "with {resume}; or name one that exists, of a model that is not retired, in the suite and start a new run.",
    FailureKind.UNSUPPORTED_SETTING: "The model does not take this setting: leave it out of the suite's model, or "
    "choose a value that it takes, and start a new run.",
    FailureKind.MAX_TOKENS_SPENT: "All of max_tokens goes into what the model thinks: raise model.max_tokens or lower "
    "model.reasoning_effort in the suite, and start a new run. If only some rows are at fault, go on with {resume}.",
    FailureKind.INVALID_REQUEST: "The model refuses what the suite asks for: correct the suite and start a new run. If "
    "only some rows are at fault, go on with {resume}.",
}

# The first that the refusal names.
_SETTINGS = {
    "temperature": "While a model reasons it takes no temperature: leave temperature out of the suite's model, or set "
    "`reasoning_effort: none` beside it if the model knows that (docs/models.md), and start a new run.",
    "reasoning_effort": "Each model knows its own efforts, and one that does not reason takes none (docs/models.md): "
    "choose one that it knows, or leave reasoning_effort out of the suite's model, and start a new run.",
}
_OTHER_MODEL = (
    " If it is a fallback, name one that takes what the suite says; if it is the deployment that gets another model, "
    "go on with {resume}."
)

ELSEWHERE_STOPS_AFTER = 3
"""A setting refused by a fallback, or said by one call of a program, need not meet every question."""


@dataclass
class StopReasons:
    """Questions of one experiment that ended without an answer, in a row, by kind."""

    _in_a_row: Counter[FailureKind] = field(default_factory=Counter)

    def answered(self) -> None:
        """An answer came: whatever failed before was no reason to stop."""
        if self._in_a_row:
            self._in_a_row.clear()

    def unanswered(self, error: ModelError, reference: str, run: str, *, is_every_row_s: bool) -> RunStopped | None:
        """What to raise in place of the trial's failure, when there were as many of its kind as the taxonomy says.

        `is_every_row_s`: the experiment's own deployment was asked with what the suite says, as it will be for every
        row. Requests that are under way meanwhile, and those of a run that goes on too early, are told the same.
        """
        stops_after = TAXONOMY[error.kind].stops_after
        if stops_after is None:
            return None
        if error.kind is FailureKind.UNSUPPORTED_SETTING and not is_every_row_s:
            stops_after = ELSEWHERE_STOPS_AFTER
        self._in_a_row[error.kind] += 1
        return stopped(error, reference, run) if self._in_a_row[error.kind] >= stops_after else None


def stopped(error: ModelError, reference: str, run: str) -> RunStopped:
    """Says what was found, what to do, and how to go on."""
    status = f" ({error.status})" if error.status else ""
    found = " ".join(str(error).split())[:_LONGEST_FOUND]
    return RunStopped(
        f"The deployment '{reference}' ended with {error.kind}{status}: {found} "
        + _advice(error).format(resume=f"`assay resume {run}`")
    )


def _advice(error: ModelError) -> str:
    if error.kind is not FailureKind.UNSUPPORTED_SETTING:
        return _ADVICE[error.kind]
    named = (advice for setting, advice in _SETTINGS.items() if setting in str(error))
    return next(named, _ADVICE[error.kind]) + _OTHER_MODEL
