"""What the environment tells a process: variables and a `.env` file. Read once, by `runtime.py`.

Importing this module loads no Azure SDK; `credential` loads its own when it is called.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from assay.errors import UserError
from assay.vault import KEY_VAULT_PREFIX

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

ENV_FILE = ".env"

MOST_PER_MINUTE = 10**12
"""More is granted by nobody, and would be too large to count with."""

_LONGEST_SHOWN = 80
_SECRET_VARIABLES = {
    "ASSAY_STORAGE",
    "AZURE_OPENAI_API_KEY",
    "ASSAY_ENDPOINTS",
    "ASSAY_CONNECTIONS",
    "CONTENT_SAFETY_KEY",
    "ASSAY_SIGNING_SECRET",
    "ASSAY_GITHUB_TOKEN",
    "ASSAY_GITHUB_APP",
    "ASSAY_DEVOPS_TOKEN",
    "ASSAY_WEBHOOKS",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
}
_ENDPOINT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_CONNECTION_STRING = re.compile(r"(?i)(^|;)\s*(UseDevelopmentStorage=true|AccountName=|BlobEndpoint=)")
_INSIGHTS_STRING = re.compile(r"(?i)(^|;)\s*InstrumentationKey=[0-9a-f-]{36}\s*(;|$)")
_URL = re.compile(r"(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?)(/[^\s?#]*)?")
_URL_EXPECTED = "an https:// address (http:// only on this machine) without user name and query"


def _checked_url(value: str) -> str:
    # Keys and tokens travel to these addresses: plain http only where it cannot leave the machine.
    if not _URL.fullmatch(value):
        raise ValueError(_URL_EXPECTED)
    return value.rstrip("/")


def _with(part: re.Pattern[str]) -> AfterValidator:
    """Refuses a secret in which that is not found."""

    def checked(value: SecretStr) -> SecretStr:
        if not part.search(value.get_secret_value()):
            raise ValueError("something is missing")
        return value

    return AfterValidator(checked)


def _from_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, unless it says two things of one name, of which one would be lost silently."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def _variable(name: str, expected: str, default: Any = None, **limits: Any) -> Any:
    """A field that is read from the variable `name`; `expected` ends the sentence that refuses a value."""
    return Field(default, validation_alias=name, description=expected, **limits)


Url = Annotated[str, AfterValidator(_checked_url)]
ConnectionString = Annotated[SecretStr, _with(_CONNECTION_STRING)]
InsightsString = Annotated[SecretStr, _with(_INSIGHTS_STRING)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda value: str(value).upper())]
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
    read = _from_json(value)
    if not isinstance(read, Mapping) or not all(_ENDPOINT_NAME.fullmatch(str(name)) for name in read):
        raise ValueError("not names with addresses")
    return {name: {"url": one} if isinstance(one, str) else one for name, one in read.items()}


class GitHubApp(BaseModel):
    """An app's installation that may write to repositories of results."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    app_id: str
    installation_id: str
    private_key: SecretStr


class WebhookAddress(BaseModel):
    """Where to send, which may be a secret by itself, and what signs it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: SecretStr
    secret: SecretStr | None = None


Endpoints = Annotated[dict[str, Endpoint], NoDecode, BeforeValidator(_endpoints)]
Connections = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_from_json)]
Webhooks = Annotated[dict[str, WebhookAddress], NoDecode, BeforeValidator(_from_json)]
Quotas = Annotated[dict[str, QuotaSettings], NoDecode, BeforeValidator(_from_json)]
LimiterName = Literal["blob_lease", "window", "adaptive", "none"]


class Settings(BaseSettings):
    """Everything a process is told by its environment. `Settings(...)` itself reads nothing: see `load`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    storage_connection_string: ConnectionString | None = _variable("ASSAY_STORAGE", "a storage connection string")
    storage_blob_url: Url | None = _variable("ASSAY_STORAGE__blobServiceUri", _URL_EXPECTED)
    storage_queue_url: Url | None = _variable("ASSAY_STORAGE__queueServiceUri", _URL_EXPECTED)
    storage_client_id: str | None = _variable("ASSAY_STORAGE__clientId", "the client id of an identity")
    storage_credential: Literal["managedidentity"] | None = _variable("ASSAY_STORAGE__credential", "'managedidentity'")
    azure_openai_endpoint: Url | None = _variable("AZURE_OPENAI_ENDPOINT", _URL_EXPECTED)
    azure_openai_api_key: SecretStr | None = _variable("AZURE_OPENAI_API_KEY", "a key or keyvault:<secret-name>")
    azure_openai_api_version: str = _variable("AZURE_OPENAI_API_VERSION", "an API version", "2024-10-21")
    endpoints: Endpoints = _variable("ASSAY_ENDPOINTS", 'JSON such as {"west": "https://..."}', {})
    content_safety_endpoint: Url | None = _variable("CONTENT_SAFETY_ENDPOINT", _URL_EXPECTED)
    content_safety_key: SecretStr | None = _variable("CONTENT_SAFETY_KEY", "a key or keyvault:<secret-name>")
    connections: Connections = _variable(
        "ASSAY_CONNECTIONS", 'JSON such as {"warehouse": "keyvault:warehouse-url"}: database addresses by name', {}
    )
    azure_client_id: str | None = _variable("AZURE_CLIENT_ID", "the client id of an identity")
    key_vault_url: Url | None = _variable("KEY_VAULT_URI", _URL_EXPECTED)
    worker_concurrency: int = _variable("ASSAY_WORKER_CONCURRENCY", "a whole number from 1 to 4096", 64, ge=1, le=4096)
    checkpoint_seconds: float = _variable("ASSAY_CHECKPOINT_SECONDS", "seconds from 0 to 60", 0.2, ge=0, le=60)
    queue_depth: int = _variable("ASSAY_QUEUE_DEPTH", "a whole number from 1 to 1000", 64, ge=1, le=1000)
    limiter: LimiterName = _variable("ASSAY_LIMITER", "'blob_lease', 'window', 'adaptive' or 'none'", "blob_lease")
    quota: Quotas = _variable(
        "ASSAY_QUOTA",
        'JSON such as {"gpt-4o-mini": {"requests_per_minute": 600, "tokens_per_minute": 100000}}',
        {},
    )
    prices_file: Path | None = _variable("ASSAY_PRICES", "the path of a price table in YAML")
    redaction_patterns: str | None = _variable("ASSAY_REDACTION_PATTERNS", "regular expressions, one per line")
    on_exhausted: str | None = _variable(
        "ASSAY_ON_EXHAUSTED", "package.module:callable", pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
    )
    code: str | None = _variable("ASSAY_CODE", f"folders with Python code, with '{os.pathsep}' between them")
    inject_failures: str | None = _variable(
        "ASSAY_INJECT_FAILURES", "failures to inject, such as rate=0.05,kinds=429|500|timeout|malformed"
    )
    signing_key_file: Path | None = _variable("ASSAY_SIGNING_KEY_FILE", "the path of a private key in PEM form")
    signing_key: Url | None = _variable(
        "ASSAY_SIGNING_KEY", "the address of a key in Key Vault: https://<vault>.vault.azure.net/keys/<name>"
    )
    signing_secret: SecretStr | None = _variable("ASSAY_SIGNING_SECRET", "32 bytes or more, or keyvault:<secret-name>")
    github_token: SecretStr | None = _variable("ASSAY_GITHUB_TOKEN", "a token or keyvault:<secret-name>")
    github_app: GitHubApp | None = _variable(
        "ASSAY_GITHUB_APP", 'JSON such as {"app_id": "1", "installation_id": "2", "private_key": "keyvault:app-key"}'
    )
    github_api: Url = _variable("ASSAY_GITHUB_API", _URL_EXPECTED, "https://api.github.com")
    devops_token: SecretStr | None = _variable("ASSAY_DEVOPS_TOKEN", "a token or keyvault:<secret-name>")
    devops_url: Url = _variable("ASSAY_DEVOPS_URL", _URL_EXPECTED, "https://dev.azure.com")
    webhooks: Webhooks = _variable(
        "ASSAY_WEBHOOKS", 'JSON such as {"team": {"url": "keyvault:team-hook", "secret": "keyvault:team-secret"}}', {}
    )
    results_folder: Path | None = _variable("ASSAY_RESULTS_FOLDER", "the path of a folder")
    max_file_bytes: int = _variable("ASSAY_MAX_FILE_BYTES", "a whole number of bytes, 1 or more", 2 * 1024**3, ge=1)
    history_days: int = _variable("ASSAY_HISTORY_DAYS", "a whole number of days, 1 or more", 30, ge=1)
    log_level: LogLevel = _variable("ASSAY_LOG_LEVEL", "'debug', 'info', 'warning' or 'error'", "INFO")
    trace_share: float = _variable("ASSAY_TRACE_SAMPLE", "a share of the trials, from 0 to 1", 0.01, ge=0, le=1)
    insights: InsightsString | None = _variable(
        "APPLICATIONINSIGHTS_CONNECTION_STRING", "the connection string of an Application Insights resource"
    )
    insights_authentication: str | None = _variable(
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "Authorization=AAD, or Authorization=AAD;ClientId=<client id of an identity>",
        pattern=r"^Authorization=AAD(;ClientId=[0-9A-Fa-f-]{1,64})?$",
    )
    otlp_endpoint: Url | None = _variable("OTEL_EXPORTER_OTLP_ENDPOINT", _URL_EXPECTED)
    service_name: str = _variable("OTEL_SERVICE_NAME", "the name of this service", "assay")
    site_name: str | None = _variable("WEBSITE_SITE_NAME", "the name of the app in Azure, which sets it")
    git_sha: str | None = _variable("ASSAY_GIT_SHA", "the commit that the code was built from")
    image_digest: str | None = _variable("ASSAY_IMAGE_DIGEST", "the digest of the container image")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings of this process: its environment before `.env` of the current folder; or `environ` alone.

        A variable without text counts as missing. Raises UserError with a line for every wrong variable: its name,
        what was found (unless that is a secret) and what is expected.
        """
        values: dict[str, Any] = {}
        if environ is None:
            values = DotEnvSettingsSource(cls, ENV_FILE, "utf-8", env_ignore_empty=True)()
        values |= _Environment(cls, os.environ if environ is None else environ)()
        try:
            return cls(**values)
        except ValidationError as error:
            raise UserError("\n".join(map(_sentence, error.errors()))) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class names it
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller passes: `load` is the one place that reads the environment."""
        return (init_settings,)

    @property
    def code_folders(self) -> tuple[Path, ...]:
        """The folders from which programs may be imported."""
        return tuple(Path(one) for one in (self.code or "").split(os.pathsep) if one)

    @property
    def names_storage(self) -> bool:
        """Whether a storage account is set at all."""
        return bool(self.storage_connection_string or self.storage_blob_url)

    @property
    def blob_url(self) -> str:
        """The blob service's address. Raises UserError when storage is not set at all."""
        return self.storage_blob_url or _no_storage()

    @property
    def queue_url(self) -> str:
        """The queue service's address. Raises UserError when storage is not set at all."""
        return self.storage_queue_url or _no_storage()

    def credential(self) -> "AsyncTokenCredential":
        """A new credential for Azure, for the caller to close.

        With ASSAY_STORAGE__credential=managedidentity it is the managed identity alone, otherwise the usual chain:
        environment, workload identity, managed identity, Azure CLI.
        """
        only_managed = self.storage_credential == "managedidentity"
        return azure_credential(self.storage_client_id or self.azure_client_id, only_managed=only_managed)

    @model_validator(mode="after")
    def _name_storage_once(self) -> Self:
        urls = [self.storage_blob_url, self.storage_queue_url]
        if self.storage_connection_string and any(urls):
            raise ValueError(
                "ASSAY_STORAGE and ASSAY_STORAGE__blobServiceUri or __queueServiceUri are both set; "
                "expected either a connection string or the two addresses"
            )
        if any(urls) and not all(urls):
            missing = "queueServiceUri" if self.storage_blob_url else "blobServiceUri"
            raise ValueError(f"ASSAY_STORAGE__{missing} is not set; expected beside the other service's address")
        return self

    @model_validator(mode="after")
    def _locate_the_key(self) -> Self:
        key = self.azure_openai_api_key.get_secret_value() if self.azure_openai_api_key else ""
        if not key.startswith(KEY_VAULT_PREFIX):
            return self
        if not _SECRET_NAME.fullmatch(key.removeprefix(KEY_VAULT_PREFIX)):
            raise ValueError(
                "AZURE_OPENAI_API_KEY begins with 'keyvault:' and goes on with no secret name; "
                "expected 1 to 127 letters, digits and hyphens"
            )
        if not self.key_vault_url:
            raise ValueError("KEY_VAULT_URI is not set; AZURE_OPENAI_API_KEY names a secret of that vault")
        return self


def azure_credential(client_id: str | None, *, only_managed: bool) -> "AsyncTokenCredential":
    """The managed identity of that client id alone, or the usual chain with it; for the caller to close."""
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    if only_managed:
        return ManagedIdentityCredential(client_id=client_id)
    return DefaultAzureCredential(managed_identity_client_id=client_id)


class _Environment(EnvSettingsSource):
    """Reads the given mapping, whatever the case of its names, in place of `os.environ`."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): text for name, text in self._environ.items() if text}


def _sentence(error: ErrorDetails) -> str:
    if not error["loc"]:
        return str(error["ctx"]["error"])
    variable, *below = map(str, error["loc"])
    if variable == "ASSAY_ENDPOINTS" and below:
        return f"ASSAY_ENDPOINTS: {'.'.join(below)}: {_endpoint_problem(error)}"
    fields = Settings.model_fields.values()
    expected = next(field.description for field in fields if field.validation_alias == variable)
    found = "something else, not shown here" if variable in _SECRET_VARIABLES else _shown(error["input"])
    return f"{variable} is {found}; expected {expected}"


def _endpoint_problem(error: ErrorDetails) -> str:
    """Without what was found, which may be a key in the wrong place."""
    if error["type"] == "extra_forbidden":
        return f"unknown key; an endpoint has: {', '.join(Endpoint.model_fields)}"
    return error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")


def _shown(value: object) -> str:
    """The value as a person wrote it; addresses may carry a password or a signature, which stay out."""
    text = re.sub(r"//[^/\s]*@", "//...@", str(value)).partition("?")[0]
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")


def _no_storage() -> str:
    raise UserError(
        "ASSAY_STORAGE is not set; expected a connection string, or the addresses ASSAY_STORAGE__blobServiceUri "
        "and ASSAY_STORAGE__queueServiceUri. `assay up` starts a local storage account and sets it."
    )
