"""The prompt shield: a guard that blocks questions which try to turn the model against its instructions.

Fails closed: while the shield cannot answer, no question goes out. What judges is in `shields.py`.
"""

from re import compile, error
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from assay.errors import RunStopped, UserError
from assay.llm.base import ModelError
from assay.llm.errors import FailureKind
from assay.middleware.base import Ask, Question, Reply, Unanswered
from assay.middleware.context import Context
from assay.middleware.shields import ContentSafetyShield, PatternShield, Shield, ShieldFailed
from assay.repetition import repeats_in_repeats

# One question may be what the shield cannot cope with; so many in a row are the shield's own trouble.
FAILURES_THAT_STOP = 3


class PromptShieldOptions(BaseModel):
    """Options of the plugin `prompt_shield`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["patterns", "content_safety"] = Field("patterns", description="Who judges")
    messages: Literal["user", "all"] = Field("user", description="'all' judges system prompts too")
    patterns: tuple[str, ...] = Field((), description="More patterns of attacks, as regular expressions")
    defaults: bool = Field(True, description="Whether the shipped patterns are used")
    timeout_seconds: float = Field(5, gt=0, le=60, description="Longest wait for one verdict of content_safety")
    attempts: int = Field(4, ge=1, le=10, description="Most tries of one verdict of content_safety")

    @field_validator("patterns")
    @classmethod
    def _patterns_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for one in patterns:
            try:
                compile(one)
            except error as found:
                raise ValueError(f"{one!r} is not a regular expression: {found}") from None
            if repeats_in_repeats(one):
                raise ValueError(
                    f"{one!r} repeats a group that itself repeats or has alternatives; it may take for ever"
                )
        return patterns


class PromptShield:
    """Asks the shield before every question goes on."""

    def __init__(self, shield: Shield, options: PromptShieldOptions, context: Context) -> None:
        self._shield, self._telemetry = shield, context.telemetry
        self._judges_all = options.messages == "all"
        self._failures_in_a_row = 0

    async def begin(self) -> None:
        """Nothing to prepare: connections are made by the first verdict."""

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The reply of `ask`. Raises Unanswered (`prompt_shielded`, `shield_failed`) for what may not go out.

        Raises RunStopped when the shield cannot judge several questions in a row: it would fail all others too.
        """
        messages = question.request.messages
        texts = [one.content for one in messages if self._judges_all or one.role != "system"]
        try:
            attack = await self._shield.attack_in(texts)
        except ShieldFailed as failed:
            self._telemetry.problem("shield_failed", reason=str(failed))
            self._failures_in_a_row += 1
            raise self._failed(question.run, failed) from failed
        self._failures_in_a_row = 0
        if attack is not None:
            self._telemetry.event("prompt_shielded", attack=attack, row_id=question.row_id)
            raise _refused(FailureKind.PROMPT_SHIELDED, f"The prompt shield found an attack in the prompt: {attack}")
        return await ask(question)

    def _failed(self, run: str, failed: ShieldFailed) -> Unanswered | RunStopped:
        found = f"The prompt shield cannot judge: {failed}"
        if self._failures_in_a_row < FAILURES_THAT_STOP:
            return _refused(FailureKind.SHIELD_FAILED, found)
        return RunStopped(f"{found}. See to the Content Safety resource, then go on with `assay resume {run}`.")

    async def end(self) -> None:
        """Closes connections."""
        await self._shield.close()


def prompt_shield(options: PromptShieldOptions, context: Context) -> PromptShield:
    """The guard with the shield that the options name. Raises UserError when that has no endpoint."""
    if options.provider == "patterns":
        return PromptShield(PatternShield(options.patterns, with_defaults=options.defaults), options, context)
    if context.content_safety is None:
        raise UserError(
            "prompt_shield with provider content_safety has no endpoint; set CONTENT_SAFETY_ENDPOINT to the address of "
            "an Azure AI Content Safety resource, or use provider: patterns"
        )
    shield = ContentSafetyShield(context.content_safety, options.timeout_seconds, options.attempts, context.sleep)
    return PromptShield(shield, options, context)


def _refused(kind: FailureKind, message: str) -> Unanswered:
    return Unanswered(ModelError(kind, message, sent=False))
