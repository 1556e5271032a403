"""The file `emulator.yaml`: how the Azure OpenAI emulator answers a suite. Strict models, loading, merging.

Called by `openai_emulator` at start, and by who starts the local stack; nothing here runs per request.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from assay.errors import SuiteError
from assay.field_problems import field_sentence
from assay.local.emulator_deployment import Deployment, HeaderRules, Latency, Pattern, Share, Strict, TokenCount
from assay.local.emulator_mishaps import (
    ContentSafety,
    Faults,
    FaultShares,
    ScheduleEntry,
    Verdict,
    Verdicts,
)
from assay.suite.yaml_text import read_yaml

__all__ = [
    "DEFAULT_REGION",
    "AnswerFile",
    "ContentSafety",
    "Deployment",
    "EmulatorConfig",
    "EmulatorFile",
    "EmulatorScript",
    "FaultShares",
    "Faults",
    "HeaderRules",
    "Latency",
    "NumberRange",
    "Region",
    "ScheduleEntry",
    "SkillRule",
    "Task",
    "TokenCount",
    "Verdict",
    "Verdicts",
    "load_emulator_config",
    "merge_scripts",
]

DEFAULT_REGION = "default"
"""The region of the deployments at a file's top level, served without a path prefix."""


class AnswerFile(Strict):
    """The true answers: a CSV or JSON-lines file beside the emulator file, and which of its columns mean what."""

    file: str
    key: str
    answer: str
    difficulty: str | None = None


class NumberRange(Strict):
    minimum: float
    maximum: float


class SkillRule(Strict):
    """How good the model is when `when` is found in a message (absent: always) and `deployment` (absent: any) answers.

    Labels: the probability of the right one on easy and on hard rows. Numbers: bias and noise (standard deviation).
    `says` renames what is said: a judge that saw the variant first says "first" where "variant" is right.
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
    says: dict[str, str] = Field(default_factory=dict)

    def serves(self, deployment: str) -> bool:
        """Whether the rule is meant for this deployment."""
        if self.deployment is None:
            return True
        return deployment == self.deployment or (isinstance(self.deployment, list) and deployment in self.deployment)


class Task(Strict):
    """A task whose true answers are known. `reply` is what the model says, with ANSWER for the label or number.

    `varies`: times the temperature, the chance that one more answer to the same request is a draw of its own.
    """

    name: str
    find: Pattern
    answers: AnswerFile
    kind: Literal["label", "number"] = "label"
    reply: str = "ANSWER"
    varies: Share = 0.0
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


class Region(Strict):
    """An endpoint of its own below `/regions/NAME`: deployments, key, and faults in place of the file's shares."""

    deployments: dict[str, Deployment] = Field(default_factory=dict)
    key: str | None = None
    faults: Faults | None = None


class EmulatorFile(Strict):
    """The content of one `emulator.yaml`."""

    seed: int = 0
    deployments: dict[str, Deployment] = Field(default_factory=dict)
    regions: dict[str, Region] = Field(default_factory=dict)
    tasks: list[Task] = Field(default_factory=list)
    faults: Faults = Faults()
    verdicts: Verdicts = Verdicts()
    content_safety: ContentSafety = ContentSafety()
    schedule: list[ScheduleEntry] = Field(default_factory=list)

    @field_validator("regions")
    @classmethod
    def _check_regions(cls, regions: dict[str, Region]) -> dict[str, Region]:
        bad = [name for name in regions if name == DEFAULT_REGION or not re.fullmatch(r"[A-Za-z0-9._-]+", name)]
        if bad:
            raise ValueError(f"{bad[0]!r} cannot name a region; expected letters, digits, '.', '_', '-'; not 'default'")
        return regions


@dataclass(frozen=True)
class EmulatorScript:
    """One file and the folder that its answer files lie in."""

    path: Path
    content: EmulatorFile


@dataclass(frozen=True)
class EmulatorConfig:
    """What one emulator serves: deployments and regions of all files, and each file's own seed, tasks and faults."""

    deployments: dict[str, Deployment]
    scripts: tuple[EmulatorScript, ...]
    regions: Mapping[str, Region] = field(default_factory=dict)


def load_emulator_config(paths: Iterable[Path]) -> EmulatorConfig:
    """Read and merge emulator files, in order. Raises SuiteError, which names the file, and the line where known."""
    return merge_scripts([EmulatorScript(path, _read_file(path)) for path in paths])


def merge_scripts(scripts: Sequence[EmulatorScript]) -> EmulatorConfig:
    """Join files into one config. Raises SuiteError when two of them define a deployment or region differently."""
    deployments: dict[str, Deployment] = {}
    regions: dict[str, Region] = {}
    origins: dict[tuple[str, str], Path] = {}
    for script in scripts:
        _join(deployments, script.content.deployments, "deployment", script.path, origins)
        _join(regions, script.content.regions, "region", script.path, origins)
    return EmulatorConfig(deployments, tuple(scripts), regions)


def granted_quota(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """What each deployment of the files grants, as ASSAY_QUOTA says it; none for one that lacks a limit.

    Deployments of regions are left out: the local stack has no endpoints for them. Raises SuiteError.
    """
    return {
        name: {
            "requests_per_minute": one.requests_per_minute,
            "tokens_per_minute": one.tokens_per_minute,
            "accounting": one.accounting,
        }
        for name, one in load_emulator_config(paths).deployments.items()
        if one.requests_per_minute and one.tokens_per_minute
    }


_Part = TypeVar("_Part", Deployment, Region)


def _join(
    known: dict[str, _Part], more: Mapping[str, _Part], kind: str, path: Path, origins: dict[tuple[str, str], Path]
) -> None:
    for name, part in more.items():
        if known.setdefault(name, part) != part:
            raise SuiteError(
                f"{path}: {kind} {name!r} differs from the one in {origins[kind, name]}. "
                "Files that one emulator serves must agree on it; make them equal, or rename one."
            )
        origins.setdefault((kind, name), path)


def _read_file(path: Path) -> EmulatorFile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}. Expected an emulator file.") from error
    source, content = read_yaml(text, str(path))
    try:
        return EmulatorFile.model_validate({} if content is None else content)
    except ValidationError as error:
        source.refuse((detail["loc"], field_sentence(detail, "the file")) for detail in error.errors())
        raise
