"""The options that every plugin of a kind takes; each plugin adds its own."""

from pydantic import BaseModel, ConfigDict, Field


class PluginOptions(BaseModel):
    """Options of every plugin that judges or sums up: strict, frozen, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field("", description="What the result is called; absent: as the plugin")


class AnswerOptions(PluginOptions):
    """Options of scorers that judge one answer."""

    criterion: str | None = Field(None, description="Which criterion's answer is judged; absent: the first")


class ScorerOptions(AnswerOptions):
    """Options of scorers that judge an answer or a part of it."""

    path: str | None = Field(None, min_length=1, description="Dotted path into the JSON answer, such as 'result.label'")
