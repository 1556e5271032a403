"""What a suite means, once its file is read and its defaults are merged.

`Suite` is what a run freezes into its header and what every other room reads.
"""

from decimal import Decimal
from math import inf
from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from assay.model_settings import LimiterName, QuotaSettings
from assay.reasoning import ReasoningEffort
from assay.run_records import BudgetMode
from assay.suite.answers import AnswerSchema
from assay.suite.datasets import DatasetSettings
from assay.suite.images import Images
from assay.suite.levels import Level, highest
from assay.suite.redacted_views import View
from assay.suite.strict import Strict

SUITE_NAME = r"^[a-z0-9][a-z0-9-]{1,39}$"
ITEM_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"
DEPLOYMENT = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}(@[a-z0-9][a-z0-9-]{0,39})?$"
PROGRAM = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
NAME_RULES = {
    SUITE_NAME: "2 to 40 lower-case letters, digits and dashes, with no dash at the start",
    ITEM_NAME: "1 to 40 letters, digits, dashes and underscores, with a letter or digit at the start",
    DEPLOYMENT: "a deployment's name, or name@endpoint with one of the endpoints of ASSAY_ENDPOINTS",
    PROGRAM: "a module and what it holds, such as my_package.my_module:my_function",
}

SuiteName = Annotated[str, StringConstraints(pattern=SUITE_NAME)]
ItemName = Annotated[str, StringConstraints(pattern=ITEM_NAME)]
DeploymentName = Annotated[str, StringConstraints(pattern=DEPLOYMENT)]
ProgramReference = Annotated[str, StringConstraints(pattern=PROGRAM)]
Template = Annotated[str, StringConstraints(min_length=1)]
Whole = Annotated[int, Field(strict=True)]

LEAST_BUDGET_USD, MOST_BUDGET_USD = Decimal("0.000001"), Decimal(1_000_000_000)
"""What lies beyond is a slip, and further beyond no amount that can be counted with or shown."""

MOST_EXPERIMENTS = 1_000
"""Written out or made by matrices."""

PROGRAM_CRITERION = "answer"
"""The criterion that a program's answer stands under."""


def named_model(deployment: str) -> str:
    """The model that a deployment (`name` or `name@endpoint`) is named for."""
    return deployment.partition("@")[0]


class ModelSettings(Strict):
    """Which deployment answers, and how."""

    deployment: DeploymentName = Field(description="Name of the Azure OpenAI deployment, or name@endpoint")
    spread: tuple[DeploymentName, ...] = Field((), description="More deployments of the same model, used all at once")
    fallbacks: tuple[DeploymentName, ...] = Field((), description="Deployments to ask, in order, when those above fail")
    priced_as: str | None = Field(
        None,
        min_length=1,
        description="Model whose price budgets and estimates take; absent: the one that the deployment is named for",
    )
    temperature: float | None = Field(None, ge=0, le=2)
    reasoning_effort: ReasoningEffort | None = Field(
        None,
        description="How much the model may think before it answers; absent: as the service does by default",
        exclude_if=lambda effort: effort is None,  # so that suites without it keep their digests
    )
    max_tokens: Whole = Field(400, ge=1, description="Longest answer in tokens; the service charges it to the quota")
    seed: Whole | None = None
    json_answer: bool = Field(False, alias="json", description="Ask the service for a JSON object")
    stop: tuple[str, ...] = Field((), max_length=4)
    stream: bool = Field(False, description="Take answers piece by piece and measure the time to the first one")

    @property
    def deployments(self) -> tuple[str, ...]:
        """Every deployment that may answer, in the order of preference."""
        return tuple(dict.fromkeys((self.deployment, *self.spread, *self.fallbacks)))

    def priced_as_of(self, deployment: str) -> str:
        """The model whose price one of the deployments is taken to have, before its answers name their model.

        A fallback, and any deployment of which the suite does not say it, is named for its model.
        """
        said = self.priced_as if deployment in (self.deployment, *self.spread) else None
        return said or named_model(deployment)


class Example(Strict):
    """A question and its answer, told to the model before it is asked."""

    user: Template = Field(description="What a user asked, a Jinja2 template over the row's columns")
    assistant: Template = Field(description="What the model should have answered, a template as well")


class Criterion(Strict):
    """A named prompt put to a row."""

    name: ItemName
    system: Template | None = Field(None, description="System prompt, a Jinja2 template over the row's columns")
    user: Template = Field(description="User prompt, a Jinja2 template over the row's columns")
    examples: tuple[Example, ...] = Field((), description="Questions with answers that go before the prompt")
    history: str | None = Field(None, min_length=1, description="Column that holds the conversation before the prompt")
    images: Images = Field((), description="Images that the model sees beside the user prompt")
    answer_schema: AnswerSchema | None = Field(None, alias="schema", description="What every answer must look like")


class Experiment(Strict):
    """One way of asking."""

    name: ItemName
    description: str = ""
    baseline: bool = False
    model: ModelSettings
    criteria: tuple[Criterion, ...] = ()
    program: ProgramReference | None = Field(None, description="What asks in place of prompts, package.module:callable")
    repeats: Whole = Field(1, ge=1, le=100, description="How often every row is asked")

    @model_validator(mode="after")
    def _prompts_or_program(self) -> Self:
        if bool(self.criteria) == bool(self.program):
            raise ValueError("expected either criteria or a program")
        return self

    @property
    def criterion_names(self) -> tuple[str, ...]:
        """The names under which its answers stand, in order; a program has one answer."""
        return (PROGRAM_CRITERION,) if self.program else tuple(criterion.name for criterion in self.criteria)


class PluginSettings(Strict):
    """A plugin and its options; the options stand beside `plugin` in the suite file."""

    model_config = ConfigDict(frozen=True, extra="allow")

    plugin: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class JudgeSettings(PluginSettings):
    """A judge: a plugin that has another model judge answers."""

    name: ItemName | None = Field(None, description="The score's name; absent: the plugin's")
    model: ModelSettings = Field(description="Which deployment judges, and how")

    @property
    def score(self) -> str:
        """The name of the score that it gives."""
        return self.name or self.plugin

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "name": self.score, "model": self.model}


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, dict) else value


StoppingRules = Annotated[
    tuple[PluginSettings, ...],
    BeforeValidator(_one_or_several, json_schema_input_type=PluginSettings | tuple[PluginSettings, ...]),
]
"""Rules that end experiments early: a list of them, or one."""

TestName = Literal["mcnemar_exact", "paired_t", "clustered_t", "wilcoxon", "sign", "permutation"]
"""The tests that a comparison may use; the same names as in `scoring/results.py`, which this room does not import."""

Goal = Literal["maximise", "minimise"]
"""Whether higher or lower scores are better; as in `scoring/results.py`."""

Margin = Annotated[float, Field(gt=0)]


class ComparisonSettings(Strict):
    """How variants are set against the baseline."""

    primary: str | None = Field(None, description="The score that decides; absent: the first scorer's")
    goal: Goal | dict[str, Goal] = Field(
        "maximise", description="Whether higher scores are better or lower ones, for every score or per score"
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="Chance of a false alarm over all comparisons of a run")
    test: TestName | dict[str, TestName] | None = Field(
        None, description="The test for every score, or one per score; absent: by the kind of score"
    )
    interval: Literal["t", "bootstrap"] | None = Field(
        None, description="The interval of the difference; absent: the one that goes with the test"
    )
    correction: Literal["holm", "bh"] = Field(
        "holm", description="Holm holds the chance of any false alarm, bh (Benjamini-Hochberg) their expected share"
    )
    margin: Margin | dict[str, Margin] | None = Field(
        None,
        description="Difference too small to matter, of the primary score or per score: equivalence is then tested",
    )
    group: str | None = Field(
        None, min_length=1, description="Column whose equal values mark rows that are not independent of each other"
    )
    power: float = Field(0.8, gt=0, lt=1, description="Chance at which the smallest detectable difference is reported")
    resamples: Whole = Field(9_999, ge=999, le=999_999, description="Draws of a bootstrap or a permutation test")
    zeros: Literal["wilcox", "pratt"] = Field("wilcox", description="What Wilcoxon's test does with equal scores")

    @field_validator("test", mode="before")
    @classmethod
    def _known_tests(cls, value: Any) -> Any:
        for name in value.values() if isinstance(value, dict) else [value]:
            if name is not None and name not in get_args(TestName):
                raise ValueError(f"expected one of {', '.join(get_args(TestName))}, or a mapping of scores to these")
        return value

    @field_validator("goal", mode="before")
    @classmethod
    def _known_goals(cls, value: Any) -> Any:
        for name in value.values() if isinstance(value, dict) else [value]:
            if name not in get_args(Goal):
                raise ValueError(f"expected {' or '.join(get_args(Goal))}, or a mapping of scores to these")
        return value

    @field_validator("margin", mode="before")
    @classmethod
    def _positive_margins(cls, value: Any) -> Any:
        for one in value.values() if isinstance(value, dict) else [value]:
            is_number = isinstance(one, int | float) and not isinstance(one, bool)
            if one is not None and not (is_number and 0 < one < inf):
                raise ValueError("expected a number above 0, or a mapping of scores to such numbers")
        return value

    @field_validator("interval", "correction", "zeros", mode="before")
    @classmethod
    def _known_choices(cls, value: Any, field: ValidationInfo) -> Any:
        names = _CHOICES[field.field_name or ""]
        if value is not None and value not in names:
            raise ValueError(f"expected {' or '.join(names)}")
        return value

    def goal_of(self, score: str) -> Goal:
        """Whether a score is better when it is higher or when it is lower; a score that is not named: higher."""
        return self.goal.get(score, "maximise") if isinstance(self.goal, dict) else self.goal

    def test_of(self, score: str) -> TestName | None:
        """The test that the suite demands for a score; None: by the rule."""
        return self.test.get(score) if isinstance(self.test, dict) else self.test

    def margin_of(self, score: str, primary: str | None) -> float | None:
        """The margin of a score; a single margin is the primary score's."""
        if isinstance(self.margin, dict):
            return self.margin.get(score)
        return self.margin if score == primary else None


_CHOICES = {"interval": ("t", "bootstrap"), "correction": ("holm", "bh"), "zeros": ("wilcox", "pratt")}


class Limits(Strict):
    """Bounds on messages, requests and attempts."""

    experiments: Whole = Field(50, ge=1, le=MOST_EXPERIMENTS, description="Most experiments that matrices may make")
    rows_per_message: int | Literal["auto"] = Field("auto", description="Rows per queue message; 1: one message a row")
    request_timeout_seconds: float = Field(60, gt=0, le=600, description="Longest wait for a whole answer")
    connect_timeout_seconds: float = Field(10, gt=0, le=60, description="Longest wait for a connection")
    read_timeout_seconds: float | None = Field(
        None, gt=0, le=600, description="Longest silence of the service; absent: as long as the whole answer may take"
    )
    trial_timeout_seconds: float = Field(
        1800,
        gt=0,
        le=86_400,
        description="Longest time for one trial: all its criteria and retries, but no waits for quota or budget",
    )
    attempts: Whole = Field(6, ge=1, le=20, description="Most tries of one model request")
    calls_per_trial: Whole = Field(50, ge=1, le=10_000, description="Most model calls of a program for one row")
    budget_usd: Decimal | None = Field(
        None, ge=LEAST_BUDGET_USD, le=MOST_BUDGET_USD, description="What the run may cost; absent: no budget"
    )
    budget: BudgetMode = Field("enforce", description="Whether the budget stops the run or only warns")
    adaptive_max_tokens: bool = Field(
        True, description="Send a lower max_tokens where answers are known to be shorter; a cut answer is asked again"
    )
    limiter: LimiterName | None = Field(None, description="How the quota is kept; absent: as ASSAY_LIMITER says")

    @field_validator("rows_per_message", mode="before")
    @classmethod
    def _auto_or_count(cls, value: Any) -> int | str:
        if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000):
            return cast(int | str, value)
        raise ValueError("expected 'auto' or a number from 1 to 10000")


class Suite(Strict):
    """A suite with everything resolved."""

    name: SuiteName
    description: str = ""
    seed: Whole = 0
    dataset: DatasetSettings = DatasetSettings()
    templates: dict[ItemName, Template] = Field(default_factory=dict)
    experiments: tuple[Experiment, ...]
    scorers: tuple[PluginSettings, ...] = ()
    aggregators: tuple[PluginSettings, ...] = ()
    comparers: tuple[PluginSettings, ...] = ()
    judges: tuple[JudgeSettings, ...] = ()
    middleware: tuple[PluginSettings, ...] = ()
    early_stop: StoppingRules = ()
    comparison: ComparisonSettings = ComparisonSettings()
    limits: Limits = Limits()
    quota: dict[str, QuotaSettings] = Field(default_factory=dict)
    level: Level = "internal"
    views: tuple[View, ...] = ()
    sinks: tuple[PluginSettings, ...] = ()

    @property
    def models(self) -> tuple[ModelSettings, ...]:
        """Every model that a run asks: the experiments', then the judges'."""
        return (*(experiment.model for experiment in self.experiments), *(judge.model for judge in self.judges))

    @property
    def baseline(self) -> Experiment:
        return next(experiment for experiment in self.experiments if experiment.baseline)

    @property
    def bundle_level(self) -> Level:
        """How far what a run makes of suite and dataset may go."""
        return highest((self.level, self.dataset.level))

    @property
    def is_repeated(self) -> bool:
        """Whether some experiment asks every row more than once."""
        return any(experiment.repeats > 1 for experiment in self.experiments)

    @property
    def ordered(self) -> tuple[Experiment, ...]:
        """The baseline, then the variants as written."""
        return (self.baseline, *(experiment for experiment in self.experiments if not experiment.baseline))

    def experiment(self, name: str) -> Experiment:
        return next(experiment for experiment in self.experiments if experiment.name == name)
