"""The file `emulator.yaml`: how the Azure OpenAI emulator answers a suite. Strict models, loading, merging.

Called by `openai_emulator` at start; nothing here runs per request.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from assay.errors import SuiteError
from assay.suite.yaml_text import read_yaml

Share = Annotated[float, Field(ge=0, le=1)]
Pattern = re.Pattern[str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Latency(_Strict):
    """Log-normal answer times: the median in milliseconds, and the sigma of the logarithm (0: always the median)."""

    median: NonNegativeFloat = 0.0
    sigma: NonNegativeFloat = 0.0


class Deployment(_Strict):
    """One emulated deployment. Without limits it has no quota.

    `accounting`: whether the token charge stays what it was at arrival (`standard`) or is corrected to the actual usage
    when the answer is sent (`settled`, as provisioned throughput does).
    """

    model: str
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    latency_ms: Latency = Latency()
    context_tokens: PositiveInt = 128_000
    max_output_tokens: PositiveInt = 16_384
    accounting: Literal["standard", "settled"] = "standard"
    embedding_dimensions: Annotated[int, Field(ge=1, le=8192)] = 1536


class AnswerFile(_Strict):
    """The true answers: a CSV or JSON-lines file beside the emulator file, and which of its columns mean what."""

    file: str
    key: str
    answer: str
    difficulty: str | None = None


class NumberRange(_Strict):
    minimum: float
    maximum: float


class SkillRule(_Strict):
    """How good the model is when `when` is found in a message (absent: always) and `deployment` (absent: any) answers.

    Labels: the probability of the right one on easy and on hard rows. Numbers: bias and noise (standard deviation).
    """

    name: str
    when: Pattern | None = None
    deployment: str | list[str] | None = None
    easy: Share | None = None
    hard: Share | None = None
    bias: float = 0.0
    noise: NonNegativeFloat = 0.0
    range: NumberRange | None = None
    step: PositiveFloat | None = None
    reply: str | None = None

    def serves(self, deployment: str) -> bool:
        """Whether the rule is meant for this deployment."""
        if self.deployment is None:
            return True
        return deployment == self.deployment or (isinstance(self.deployment, list) and deployment in self.deployment)


class Task(_Strict):
    """A task whose true answers are known. `reply` is what the model says, with ANSWER for the label or number."""

    name: str
    find: Pattern
    answers: AnswerFile
    kind: Literal["label", "number"] = "label"
    reply: str = "ANSWER"
    skill: Annotated[list[SkillRule], Field(min_length=1)]
    range: NumberRange | None = None
    step: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "key" not in self.find.groupindex:
            raise ValueError("find: the pattern needs a group named key, as in 'Ticket (?P<key>T-[0-9]+)'")
        unskilled = [rule.name for rule in self.skill if rule.easy is None]
        if self.kind == "label" and unskilled:
            raise ValueError(f"skill: rule {unskilled[0]!r} needs `easy`, the probability of a right label")
        return self


class FaultShares(_Strict):
    """Shares of admitted requests that go wrong, by kind."""

    error_500: Share = 0.0
    error_503: Share = 0.0
    timeout: Share = 0.0
    dropped: Share = 0.0
    malformed: Share = 0.0

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        total = self.error_500 + self.error_503 + self.timeout + self.dropped + self.malformed
        if total > 1 + 1e-9:
            raise ValueError(f"the shares add up to {total:g}; expected at most 1")
        return self


class Faults(FaultShares):
    """Shares of requests that go wrong, drawn by content and attempt; and prompts that the filter always refuses.

    `first_attempts` spares the later ones: with 1, the second attempt at the same content is never faulted.
    """

    first_attempts: PositiveInt | None = None
    content_filter: list[Pattern] = []


class ScheduleEntry(FaultShares):
    """What happens from `from_seconds` until just before `to_seconds` after the server's start, at every deployment.

    Shares of faults; `quota_factor`, what is left of each limit, and whether `headers_tell` the smaller limits; `down`:
    every request is dropped without an answer and without a charge. Entries at the same time add up.
    """

    from_seconds: NonNegativeFloat = 0.0
    to_seconds: PositiveFloat = math.inf
    quota_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    headers_tell: bool = True
    down: bool = False

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.to_seconds <= self.from_seconds:
            raise ValueError(
                f"to_seconds is {self.to_seconds:g}; expected more than from_seconds, {self.from_seconds:g}"
            )
        return self


class EmulatorFile(_Strict):
    """The content of one `emulator.yaml`."""

    seed: int = 0
    deployments: dict[str, Deployment] = {}
    tasks: list[Task] = []
    faults: Faults = Faults()
    schedule: list[ScheduleEntry] = []


@dataclass(frozen=True)
class EmulatorScript:
    """One file and the folder that its answer files lie in."""

    path: Path
    content: EmulatorFile


@dataclass(frozen=True)
class EmulatorConfig:
    """What one emulator serves: the deployments of all files, and each file's own seed, tasks and faults."""

    deployments: dict[str, Deployment]
    scripts: tuple[EmulatorScript, ...]


def load_emulator_config(paths: Iterable[Path]) -> EmulatorConfig:
    """Read and merge emulator files, in order. Raises SuiteError, which names the file, and the line where known."""
    return merge_scripts([EmulatorScript(path, _read_file(path)) for path in paths])


def merge_scripts(scripts: Sequence[EmulatorScript]) -> EmulatorConfig:
    """Join files into one config. Raises SuiteError when two of them define a deployment differently."""
    deployments: dict[str, Deployment] = {}
    origins: dict[str, Path] = {}
    for script in scripts:
        for name, deployment in script.content.deployments.items():
            if deployments.setdefault(name, deployment) != deployment:
                raise SuiteError(
                    f"{script.path}: deployment {name!r} differs from the one in {origins[name]}. "
                    "Files that one emulator serves must agree on it; make them equal, or rename one."
                )
            origins.setdefault(name, script.path)
    return EmulatorConfig(deployments, tuple(scripts))


def _read_file(path: Path) -> EmulatorFile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}. Expected an emulator file.") from error
    source, content = read_yaml(text, str(path))
    try:
        return EmulatorFile.model_validate({} if content is None else content)
    except ValidationError as error:
        source.refuse((detail["loc"], _sentence(detail)) for detail in error.errors())
        raise


def _sentence(detail: ErrorDetails) -> str:
    where = ".".join(map(str, detail["loc"])) or "the file"
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
