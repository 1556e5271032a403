"""The options of one emulated deployment: its model, quota, headers, answer times and answer lengths.

Part of `emulator.yaml`, read by `emulator_config`; strict models only.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from assay.reasoning import ReasoningEffort

Share = Annotated[float, Field(ge=0, le=1)]
Pattern = re.Pattern[str]
Dialect = Literal["azure", "openai", "llama_cpp"]


class Strict(BaseModel):
    """A part of the file: unknown names are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Latency(Strict):
    """Log-normal answer times: the median in milliseconds, and the sigma of the logarithm (0: always the median)."""

    median: NonNegativeFloat = 0.0
    sigma: NonNegativeFloat = 0.0


class TokenCount(Strict):
    """Log-normal numbers of tokens: the median, the sigma of the logarithm (0: always the median), and the most."""

    median: NonNegativeFloat
    sigma: NonNegativeFloat = 0.0
    most: PositiveInt | None = None


class HeaderRules(Strict):
    """Which headers a deployment sends about its quota. On the service every one of them is optional.

    `values`: the `real` ones, `minus_one` or `zero` in place of each (both were seen), or none at all.
    `limit_period`: whether limits are told per `minute`, or per `window` of the axis, as deployments do whose
    `x-ratelimit-renewalperiod-requests` is 10. `renewal_period`: the spelling of that header, or none.
    `spelling`: `dashed` writes `x-rate-limit-...`. `extras`: adds `x-ratelimit-key`, `policy-id` and, on a 429,
    `x-ratelimit-abusepenalty-active`. `retry_after`: how a 429 tells the wait: `retry-after-ms` and `retry-after`
    (`both`), one of them, `x-ms-retry-after-ms`, an HTTP `date`, the value -1, or not at all.
    """

    values: Literal["real", "minus_one", "zero", "none"] = "real"
    limit_period: Literal["minute", "window"] = "minute"
    renewal_period: Literal["renewalperiod", "renewal-period", "none"] = "renewalperiod"
    spelling: Literal["usual", "dashed"] = "usual"
    extras: bool = False
    retry_after: Literal["both", "seconds", "milliseconds", "x_ms", "date", "minus_one", "none"] = "both"


class Deployment(Strict):
    """One emulated deployment. Without limits it has no quota.

    `accounting`: whether the token charge stays what it was at arrival (`standard`) or is corrected to the actual usage
    when the answer is sent (`settled`, as provisioned throughput does). `request_window_seconds` and `count_rejected`
    (which windows a rejected request fills) are the server's unless they are set here. `answer_tokens`: lengths of
    answers that no task scripts. `reasoning`: makes it a model that reasons, which refuses `max_tokens`, adds so many
    hidden tokens to each answer (at effort medium), and refuses sampling unless the effort is none. It knows the
    `efforts`, and takes `default_effort` unless a request says another. `prompt_cache`: prompts that begin alike are
    billed as cached, as on the service. `first_token_share`: which part of the answer time passes before a streamed
    answer begins. `dialect`: what it speaks below `/v1`; elsewhere it is always Azure's.
    """

    model: str
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    latency_ms: Latency = Latency()
    context_tokens: PositiveInt = 128_000
    max_output_tokens: PositiveInt = 16_384
    accounting: Literal["standard", "settled"] = "standard"
    embedding_dimensions: Annotated[int, Field(ge=1, le=8192)] = 1536
    request_window_seconds: PositiveFloat | None = None
    count_rejected: Literal["none", "requests", "both"] | None = None
    headers: HeaderRules = HeaderRules()
    answer_tokens: TokenCount | None = None
    reasoning: TokenCount | None = None
    efforts: tuple[ReasoningEffort, ...] = ("none", "low", "medium", "high", "xhigh")
    default_effort: ReasoningEffort = "medium"
    prompt_cache: bool = False
    first_token_share: Share = 0.3
    dialect: Literal["openai", "llama_cpp"] = "openai"
