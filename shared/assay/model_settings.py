"""Where models are asked, and what their deployments grant: the settings that suites, quotas and estimates know too."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import NoDecode

from assay.field_problems import field_expectation
from assay.variables import Url, from_json

MOST_PER_MINUTE = 10**12
"""More is granted by nobody, and would be too large to count with."""

_ENDPOINT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

EndpointKind = Literal["azure", "openai", "llama_cpp", "litellm"]


class Endpoint(BaseModel):
    """Where models are asked, by the protocol of its kind.

    What is absent for an Azure OpenAI resource is taken from the AZURE_OPENAI_ variables; their key goes nowhere else.
    `provider` is LiteLLM's, which knows where most of its providers are without a `url`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: EndpointKind = "azure"
    url: Url | None = None
    api_key: SecretStr | None = None
    api_version: str | None = None
    provider: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")

    @property
    def address(self) -> str:
        """The URL of an endpoint whose kind needs one."""
        assert self.url is not None
        return self.url

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.url is None and self.kind != "litellm":
            raise ValueError(f"'url' is missing; an endpoint of kind '{self.kind}' needs its address")
        if self.provider is None and self.kind == "litellm":
            raise ValueError("'provider' is missing; LiteLLM needs one, such as anthropic")
        if self.provider is not None and self.kind != "litellm":
            raise ValueError(f"'provider' is for the kind 'litellm', and this endpoint's kind is '{self.kind}'")
        if self.api_version is not None and self.kind != "azure":
            raise ValueError(f"'api_version' is for the kind 'azure', and this endpoint's kind is '{self.kind}'")
        return self


Accounting = Literal["standard", "settled"]


class QuotaSettings(BaseModel):
    """What a deployment grants per minute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int = Field(ge=1, le=MOST_PER_MINUTE, strict=True)
    tokens_per_minute: int = Field(ge=1, le=MOST_PER_MINUTE, strict=True)
    accounting: Accounting = Field(
        "standard", description="Whether the service keeps its first estimate, or settles by usage (provisioned)"
    )
    request_window_seconds: Literal[1, 10] = Field(
        10, description="Over how many seconds the service counts requests, 10 or 1"
    )


def _endpoints(value: Any) -> Any:
    """Endpoints by name; an address alone stands for an endpoint of that address."""
    read = from_json(value)
    if not isinstance(read, Mapping) or not all(_ENDPOINT_NAME.fullmatch(str(name)) for name in read):
        raise ValueError("not names with addresses")
    return {name: {"url": one} if isinstance(one, str) else one for name, one in read.items()}


def endpoint_problem(error: ErrorDetails) -> str:
    """Without what was found, which may be a key in the wrong place."""
    if error["type"] == "extra_forbidden":
        return f"unknown key; an endpoint has: {', '.join(Endpoint.model_fields)}"
    return field_expectation(error)


Endpoints = Annotated[dict[str, Endpoint], NoDecode, BeforeValidator(_endpoints)]
Quotas = Annotated[dict[str, QuotaSettings], NoDecode, BeforeValidator(from_json)]
LimiterName = Literal["blob_lease", "window", "adaptive", "none"]
