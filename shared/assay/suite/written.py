"""What a suite file may say, as written. `loading.py` checks a file against `SuiteFile` and turns it into a `Suite`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, StringConstraints, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from assay.model_settings import QuotaSettings
from assay.reasoning import ReasoningEffort
from assay.suite.answers import AnswerSchema
from assay.suite.datasets import DatasetSettings
from assay.suite.images import Images
from assay.suite.levels import Level
from assay.suite.models import (
    DEPLOYMENT,
    ComparisonSettings,
    DeploymentName,
    Example,
    ItemName,
    JudgeSettings,
    Limits,
    PluginSettings,
    ProgramReference,
    StoppingRules,
    SuiteName,
    Template,
    Whole,
)
from assay.suite.redacted_views import View
from assay.suite.strict import Strict

VARIABLE = r"^ASSAY_SUITE_[A-Z0-9_]{1,60}$"
Variable = Annotated[str, StringConstraints(pattern=VARIABLE)]
"""Only such variables: a suite must not be able to publish what other variables hold."""

ExamplesBefore = Annotated[
    tuple[Example, ...] | None, Field(description="Questions with answers that go before the prompt, in order")
]
HistoryColumn = Annotated[
    str | None,
    Field(min_length=1, description="Column that holds the conversation before the prompt, a list of messages"),
]
ImagesBeside = Annotated[Images | None, Field(description="Images that the model sees beside the user prompt")]
WrittenSchema = Annotated[
    AnswerSchema | None, Field(description="What answers must look like: a JSON Schema, or a list of fields")
]


class ModelFile(Strict):
    """`model:` as written; what is absent comes from `defaults`."""

    model_config = ConfigDict(populate_by_name=False)

    deployment: DeploymentName | None = Field(None, description="Name of the Azure OpenAI deployment, or name@endpoint")
    spread: tuple[DeploymentName, ...] | None = Field(
        None, description="More deployments of the same model, used all at once"
    )
    fallbacks: tuple[DeploymentName, ...] | None = Field(
        None, description="Deployments to ask, in order, when those above fail"
    )
    priced_as: str | None = Field(
        None,
        min_length=1,
        description="Model whose price budgets and estimates take; absent: the one that the deployment is named for",
    )
    temperature: float | None = Field(None, ge=0, le=2)
    reasoning_effort: ReasoningEffort | None = Field(
        None, description="How much the model may think before it answers; absent: as the service does by default"
    )
    max_tokens: Whole | None = Field(
        None, ge=1, description="Longest answer in tokens; the service charges it to the quota"
    )
    seed: Whole | None = None
    json_answer: bool | None = Field(None, alias="json", description="Ask the service for a JSON object")
    stop: tuple[str, ...] | None = Field(None, max_length=4)
    stream: bool | None = Field(None, description="Take answers piece by piece and measure the time to the first one")


class CriterionFile(Strict):
    """A criterion as written; `system` and `user` may come from above."""

    name: ItemName
    system: Template | None = None
    user: Template | None = None
    examples: ExamplesBefore = None
    history: HistoryColumn = None
    images: ImagesBeside = None
    answer_schema: WrittenSchema = Field(None, alias="schema")


class AskingFile(Strict):
    """How to ask: what experiments, their defaults and packs may say alike."""

    model: ModelFile = ModelFile()
    system: Template | None = Field(None, description="System prompt, a Jinja2 template over the row's columns")
    user: Template | None = Field(None, description="User prompt, a Jinja2 template over the row's columns")
    examples: ExamplesBefore = None
    history: HistoryColumn = None
    images: ImagesBeside = None
    answer_schema: WrittenSchema = Field(None, alias="schema")
    criteria: tuple[CriterionFile, ...] | None = Field(None, min_length=1)


class DefaultsFile(AskingFile):
    """What all experiments share unless they say otherwise."""

    pack: ItemName | None = Field(None, description="The pack of `packs` that stands under what is said here")


class PackFile(AskingFile):
    """Prompts, plugins and limits under a name; experiments take them up with `pack`."""

    scorers: tuple[PluginSettings, ...] = ()
    aggregators: tuple[PluginSettings, ...] = ()
    comparers: tuple[PluginSettings, ...] = ()
    judges: tuple[JudgeSettings, ...] = ()
    middleware: tuple[PluginSettings, ...] = ()
    sinks: tuple[PluginSettings, ...] = ()
    limits: Limits = Limits()
    templates: dict[ItemName, Template] = Field(default_factory=dict)


class MatrixModel(ModelFile):
    """A model of a matrix. In the suite file a deployment alone stands for one without further settings."""

    name: ItemName | None = Field(None, description="Stands in the names of its experiments; absent: the deployment")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler.resolve_ref_schema(handler(schema))
        return {
            "anyOf": [{"type": "string", "pattern": DEPLOYMENT}, described],
            "description": described.get("description", ""),
        }


class MatrixPrompt(DefaultsFile):
    """A prompt of a matrix: what it says goes over what the experiment says."""

    name: ItemName


class MatrixParameters(Strict):
    """Values of model settings, each tried with each."""

    temperature: tuple[Annotated[float, Field(ge=0, le=2)], ...] | None = Field(None, min_length=1)
    reasoning_effort: tuple[ReasoningEffort, ...] | None = Field(None, min_length=1)
    max_tokens: tuple[Annotated[Whole, Field(ge=1)], ...] | None = Field(None, min_length=1)
    seed: tuple[Whole, ...] | None = Field(None, min_length=1)
    json_answer: tuple[bool, ...] | None = Field(None, alias="json", min_length=1)


class MatrixChoice(Strict):
    """Which combination of a matrix is the baseline; what has only one value may be left out."""

    model: str | None = Field(None, description="Name of a model, or its deployment where it has no name")
    prompt: str | None = Field(None, description="Name of a prompt")
    temperature: float | None = None
    reasoning_effort: ReasoningEffort | None = None
    max_tokens: Whole | None = None
    seed: Whole | None = None
    json_answer: bool | None = Field(None, alias="json")


class Matrix(Strict):
    """Models x parameters x prompts: every combination becomes an experiment."""

    models: tuple[MatrixModel, ...] | None = Field(None, min_length=1)
    parameters: MatrixParameters = MatrixParameters()
    prompts: tuple[MatrixPrompt, ...] | None = Field(None, min_length=1)
    baseline: MatrixChoice | None = Field(None, description="The combination that the others are compared with")

    @field_validator("models", mode="before")
    @classmethod
    def _deployments_or_settings(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple({"deployment": one} if isinstance(one, str) else one for one in value)


class ExperimentFile(DefaultsFile):
    """An experiment as written."""

    name: ItemName
    description: str = ""
    baseline: bool = Field(False, description="The experiment that the others are compared with; exactly one")
    program: ProgramReference | None = Field(
        None, description="Python code that asks in place of prompts, package.module:callable"
    )
    repeats: Whole | None = Field(None, ge=1, le=100, description="How often every row is asked; absent: as the suite")
    matrix: Matrix | None = Field(None, description="Makes an experiment of every combination; absent: the suite's")


class ProfileFile(Strict):
    """What a suite says differently under a profile, key by key; lists replace lists."""

    description: str = ""
    seed: Whole | None = Field(None, ge=0)
    dataset: DatasetSettings | None = None
    defaults: DefaultsFile | None = None
    scorers: tuple[PluginSettings, ...] | None = None
    aggregators: tuple[PluginSettings, ...] | None = None
    comparers: tuple[PluginSettings, ...] | None = None
    judges: tuple[JudgeSettings, ...] | None = None
    middleware: tuple[PluginSettings, ...] | None = None
    early_stop: StoppingRules | None = None
    comparison: ComparisonSettings | None = None
    limits: Limits | None = None
    quota: dict[str, QuotaSettings] | None = None
    level: Level | None = None
    views: tuple[View, ...] | None = None
    sinks: tuple[PluginSettings, ...] | None = None
    matrix: Matrix | None = None
    repeats: Whole | None = Field(None, ge=1, le=100)


class SuiteFile(Strict):
    """A suite file as written."""

    version: Literal[1] = Field(description="Version of the file format")
    name: SuiteName = Field(description="The folder's name")
    description: str = ""
    seed: Whole = Field(0, ge=0, description="Seeds every random choice of the evaluation")
    dataset: DatasetSettings = DatasetSettings()
    templates: dict[ItemName, Template] = Field(
        default_factory=dict, description="Jinja2 templates that prompts may extend or include, by name"
    )
    packs: dict[ItemName, PackFile] = Field(
        default_factory=dict, description="Bundles of prompts, criteria, plugins and limits, by name"
    )
    defaults: DefaultsFile = DefaultsFile()
    repeats: Whole = Field(1, ge=1, le=100, description="How often every row is asked, by every experiment")
    matrix: Matrix | None = Field(None, description="Expands every experiment that has no matrix of its own")
    experiments: tuple[ExperimentFile, ...] = Field(min_length=1)
    scorers: tuple[PluginSettings, ...] = Field((), description="What judges each trial; every scorer gives a score")
    aggregators: tuple[PluginSettings, ...] = Field((), description="What sums up each experiment, beside its scores")
    comparers: tuple[PluginSettings, ...] = Field(
        (), description="What sets each variant against the baseline, beside the comparison of scores"
    )
    judges: tuple[JudgeSettings, ...] = Field((), description="What has other models judge the answers")
    middleware: tuple[PluginSettings, ...] = Field((), description="What questions pass on their way to the model")
    early_stop: StoppingRules = Field((), description="What ends an experiment early; absent: every row is asked")
    comparison: ComparisonSettings = ComparisonSettings()
    limits: Limits = Limits()
    quota: dict[str, QuotaSettings] = Field(
        default_factory=dict, description="Per deployment; absent: as ASSAY_QUOTA says"
    )
    level: Level = Field("internal", description="How far the suite, and all that is made with it, may go")
    views: tuple[View, ...] = Field((), description="Bundles of a lower level, with columns hidden, for sinks that ask")
    sinks: tuple[PluginSettings, ...] = Field((), description="Where bundles are published, beside the own container")
    profiles: dict[ItemName, ProfileFile | None] = Field(
        default_factory=dict, description="What `--profile NAME` changes, by name"
    )
    environment: dict[Variable, str] = Field(
        default_factory=dict,
        description="Environment variables that replace values at deployment, each with a path such as limits.attempts",
    )
