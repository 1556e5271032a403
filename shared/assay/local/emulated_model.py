"""The model of the Azure OpenAI emulator: it knows the true answers and is right with a set probability.

Called by `openai_emulator`. An answer depends on the seed and the request's content only, never on arrival order.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from assay.local.emulated_draws import normal, pick, uniform
from assay.local.emulated_filler import filler_answer
from assay.local.emulated_truths import Truth, read_truths
from assay.local.emulator_config import EmulatorConfig, EmulatorFile, EmulatorScript, NumberRange, SkillRule, Task
from assay.local.emulator_deployment import Pattern, TokenCount
from assay.local.emulator_mishaps import Fault, Verdicts
from assay.local.emulator_requests import ChatRequest

PLACEHOLDER = "ANSWER"
UNKNOWN_LABEL = "unknown"
VERDICTS = cast(tuple[Fault, ...], tuple(Verdicts.model_fields))


@dataclass(frozen=True)
class EmulatedTask:
    """A task with its truths in memory."""

    task: Task
    truths: dict[str, Truth]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Every label that is right for some row, in order."""
        return tuple(sorted({truth.label for truth in self.truths.values()}))

    def find_row(self, chat: ChatRequest) -> str | None:
        """The key of the row that the messages are about. The last message is searched first: examples come before."""
        for text in reversed(chat.texts):
            for match in self.task.find.finditer(text):
                if match["key"] in self.truths:
                    return match["key"]
        return None

    def find_rule(self, chat: ChatRequest) -> SkillRule | None:
        """The first rule that is meant for the deployment and whose pattern some message holds."""
        for rule in self.task.skill:
            if rule.serves(chat.deployment) and (rule.when is None or any(map(rule.when.search, chat.texts))):
                return rule
        return None


@dataclass(frozen=True)
class Match:
    """What a request is about: the script that answers it, and its task, rule and row when they are known."""

    script: EmulatorFile
    task: EmulatedTask | None = None
    rule: SkillRule | None = None
    key: str | None = None

    def answer(self, chat: ChatRequest, filler_tokens: TokenCount | None = None, attempt: int = 1) -> str:
        """The model's text before any token limit cuts it. `filler_tokens`: its length when no task is known.

        `attempt` counts the admissions of this content from 1: later ones may be answered otherwise, see `Task.varies`.
        """
        if self.task is None or self.rule is None or self.key is None:
            return filler_answer(chat, self.script.seed, filler_tokens)
        truth = self.task.truths[self.key]
        drawn_for = _drawn_for(chat, self.task.task.varies, self.script.seed, attempt)
        if self.task.task.kind == "label":
            said = _label(self.task.labels, self.rule, truth, self.script.seed, drawn_for)
        else:
            said = _number(self.task.task, self.rule, truth, self.script.seed, drawn_for)
        return _fill(self.rule.reply or self.task.task.reply, self.rule.says.get(said, said))


class EmulatedModel:
    """All tasks of a config, ready to answer. Reads the answer files once; raises SuiteError when one is unusable."""

    def __init__(self, config: EmulatorConfig) -> None:
        scripts = config.scripts or (EmulatorScript(Path("-"), EmulatorFile()),)
        self._default = scripts[0].content
        self._tasks = [
            (script.content, EmulatedTask(task, read_truths(task, script.path.parent)))
            for script in scripts
            for task in script.content.tasks
        ]
        contents = [script.content for script in scripts]
        self._patterns = {kind: _patterns(kind, contents) for kind in VERDICTS}

    def match(self, chat: ChatRequest) -> Match:
        """The first task, in file order, that knows the request's row; without one, the first file's filler answers."""
        for script, task in self._tasks:
            key = task.find_row(chat)
            if key is not None and (rule := task.find_rule(chat)) is not None:
                return Match(script, task, rule, key)
        return Match(self._default)

    def verdict(self, chat: ChatRequest, match: Match) -> Fault | None:
        """What is said of this content at every attempt: by the patterns of all files, or by the shares of its own."""
        for kind in VERDICTS:
            if any(pattern.search(text) for pattern in self._patterns[kind] for text in chat.texts):
                return kind
        return _drawn_verdict(match.script, chat.digest)


def _patterns(kind: Fault, contents: list[EmulatorFile]) -> list[Pattern]:
    found = [pattern for content in contents for pattern in getattr(content.verdicts, kind).patterns]
    if kind == "prompt_filtered":
        found += [pattern for content in contents for pattern in content.faults.content_filter]
    return found


def _drawn_verdict(script: EmulatorFile, digest: str) -> Fault | None:
    for kind in VERDICTS:
        share: float = getattr(script.verdicts, kind).share
        if share and uniform(script.seed, digest, kind) < share:
            return kind
    return None


def _drawn_for(chat: ChatRequest, varies: float, seed: int, attempt: int) -> str:
    """What an answer is drawn for: the content, or this attempt at it where the answers to a request vary."""
    if varies == 0 or attempt == 1 or uniform(seed, chat.digest, attempt, "varies") >= varies * chat.temperature:
        return chat.digest
    return f"{chat.digest} {attempt}"


def _label(labels: tuple[str, ...], rule: SkillRule, truth: Truth, seed: int, digest: str) -> str:
    easy = rule.easy or 0.0
    probability = rule.hard if truth.hard and rule.hard is not None else easy
    if uniform(seed, digest, "right") < probability:
        return truth.label
    wrong = [label for label in labels if label != truth.label] or [UNKNOWN_LABEL]
    return wrong[pick(len(wrong), seed, digest, "wrong")]


def _number(task: Task, rule: SkillRule, truth: Truth, seed: int, digest: str) -> str:
    value = truth.number + rule.bias + rule.noise * normal(seed, digest, "noise")
    step = rule.step or task.step
    value = _clamp(round(value / step) * step, rule.range or task.range)
    return f"{value:.10g}"


def _clamp(value: float, allowed: NumberRange | None) -> float:
    return value if allowed is None else min(max(value, allowed.minimum), allowed.maximum)


def _fill(reply: str, said: str) -> str:
    # A label may hold quotes; inside a JSON reply they have to be escaped.
    escaped = json.dumps(said)[1:-1] if reply.lstrip().startswith("{") else said
    return reply.replace(PLACEHOLDER, escaped)
