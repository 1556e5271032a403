"""What the environment tells a process: variables and a `.env` file. Read once, by `runtime.py`.

Importing this module loads no Azure SDK; `credential` loads its own when it is called.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from assay.errors import UserError
from assay.model_settings import Endpoints, LimiterName, Quotas, endpoint_problem
from assay.publishing_settings import Connections, GitHubApp, Webhooks
from assay.variables import URL_EXPECTED, ConnectionString, InsightsString, LogLevel, Url, shown, variable
from assay.vault import KEY_VAULT_PREFIX

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

ENV_FILE = ".env"

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
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")


class Settings(BaseSettings):
    """Everything a process is told by its environment. `Settings(...)` itself reads nothing: see `load`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    storage_connection_string: ConnectionString | None = variable("ASSAY_STORAGE", "a storage connection string")
    storage_blob_url: Url | None = variable("ASSAY_STORAGE__blobServiceUri", URL_EXPECTED)
    storage_queue_url: Url | None = variable("ASSAY_STORAGE__queueServiceUri", URL_EXPECTED)
    storage_client_id: str | None = variable("ASSAY_STORAGE__clientId", "the client id of an identity")
    storage_credential: Literal["managedidentity"] | None = variable("ASSAY_STORAGE__credential", "'managedidentity'")
    azure_openai_endpoint: Url | None = variable("AZURE_OPENAI_ENDPOINT", URL_EXPECTED)
    azure_openai_api_key: SecretStr | None = variable("AZURE_OPENAI_API_KEY", "a key or keyvault:<secret-name>")
    azure_openai_api_version: str = variable("AZURE_OPENAI_API_VERSION", "v1, or a dated API version", "v1")
    endpoints: Endpoints = variable("ASSAY_ENDPOINTS", 'JSON such as {"west": "https://..."}', {})
    content_safety_endpoint: Url | None = variable("CONTENT_SAFETY_ENDPOINT", URL_EXPECTED)
    content_safety_key: SecretStr | None = variable("CONTENT_SAFETY_KEY", "a key or keyvault:<secret-name>")
    connections: Connections = variable(
        "ASSAY_CONNECTIONS", 'JSON such as {"warehouse": "keyvault:warehouse-url"}: database addresses by name', {}
    )
    azure_client_id: str | None = variable("AZURE_CLIENT_ID", "the client id of an identity")
    key_vault_url: Url | None = variable("KEY_VAULT_URI", URL_EXPECTED)
    worker_concurrency: int = variable("ASSAY_WORKER_CONCURRENCY", "a whole number from 1 to 4096", 64, ge=1, le=4096)
    checkpoint_seconds: float = variable("ASSAY_CHECKPOINT_SECONDS", "seconds from 0 to 60", 0.2, ge=0, le=60)
    queue_depth: int = variable("ASSAY_QUEUE_DEPTH", "a whole number from 1 to 1000", 64, ge=1, le=1000)
    limiter: LimiterName = variable("ASSAY_LIMITER", "'blob_lease', 'window', 'adaptive' or 'none'", "blob_lease")
    quota: Quotas = variable(
        "ASSAY_QUOTA",
        'JSON such as {"gpt-5.4-mini": {"requests_per_minute": 600, "tokens_per_minute": 100000}}',
        {},
    )
    prices_file: Path | None = variable("ASSAY_PRICES", "the path of a price table in YAML")
    redaction_patterns: str | None = variable("ASSAY_REDACTION_PATTERNS", "regular expressions, one per line")
    on_exhausted: str | None = variable(
        "ASSAY_ON_EXHAUSTED", "package.module:callable", pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
    )
    code: str | None = variable("ASSAY_CODE", f"folders with Python code, with '{os.pathsep}' between them")
    inject_failures: str | None = variable(
        "ASSAY_INJECT_FAILURES", "failures to inject, such as rate=0.05,kinds=429|500|timeout|malformed"
    )
    signing_key_file: Path | None = variable("ASSAY_SIGNING_KEY_FILE", "the path of a private key in PEM form")
    signing_key: Url | None = variable(
        "ASSAY_SIGNING_KEY", "the address of a key in Key Vault: https://<vault>.vault.azure.net/keys/<name>"
    )
    signing_secret: SecretStr | None = variable("ASSAY_SIGNING_SECRET", "32 bytes or more, or keyvault:<secret-name>")
    github_token: SecretStr | None = variable("ASSAY_GITHUB_TOKEN", "a token or keyvault:<secret-name>")
    github_app: GitHubApp | None = variable(
        "ASSAY_GITHUB_APP", 'JSON such as {"app_id": "1", "installation_id": "2", "private_key": "keyvault:app-key"}'
    )
    github_api: Url = variable("ASSAY_GITHUB_API", URL_EXPECTED, "https://api.github.com")
    devops_token: SecretStr | None = variable("ASSAY_DEVOPS_TOKEN", "a token or keyvault:<secret-name>")
    devops_url: Url = variable("ASSAY_DEVOPS_URL", URL_EXPECTED, "https://dev.azure.com")
    webhooks: Webhooks = variable(
        "ASSAY_WEBHOOKS", 'JSON such as {"team": {"url": "keyvault:team-hook", "secret": "keyvault:team-secret"}}', {}
    )
    results_folder: Path | None = variable("ASSAY_RESULTS_FOLDER", "the path of a folder")
    max_file_bytes: int = variable("ASSAY_MAX_FILE_BYTES", "a whole number of bytes, 1 or more", 2 * 1024**3, ge=1)
    history_days: int = variable("ASSAY_HISTORY_DAYS", "a whole number of days, 1 or more", 30, ge=1)
    log_level: LogLevel = variable("ASSAY_LOG_LEVEL", "'debug', 'info', 'warning' or 'error'", "INFO")
    trace_share: float = variable("ASSAY_TRACE_SAMPLE", "a share of the trials, from 0 to 1", 0.01, ge=0, le=1)
    insights: InsightsString | None = variable(
        "APPLICATIONINSIGHTS_CONNECTION_STRING", "the connection string of an Application Insights resource"
    )
    insights_authentication: str | None = variable(
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "Authorization=AAD, or Authorization=AAD;ClientId=<client id of an identity>",
        pattern=r"^Authorization=AAD(;ClientId=[0-9A-Fa-f-]{1,64})?$",
    )
    otlp_endpoint: Url | None = variable("OTEL_EXPORTER_OTLP_ENDPOINT", URL_EXPECTED)
    service_name: str = variable("OTEL_SERVICE_NAME", "the name of this service", "assay")
    site_name: str | None = variable("WEBSITE_SITE_NAME", "the name of the app in Azure, which sets it")
    git_sha: str | None = variable("ASSAY_GIT_SHA", "the commit that the code was built from")
    image_digest: str | None = variable("ASSAY_IMAGE_DIGEST", "the digest of the container image")

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
    name, *below = map(str, error["loc"])
    if name == "ASSAY_ENDPOINTS" and below:
        return f"ASSAY_ENDPOINTS: {'.'.join(below)}: {endpoint_problem(error)}"
    fields = Settings.model_fields.values()
    expected = next(field.description for field in fields if field.validation_alias == name)
    found = "something else, not shown here" if name in _SECRET_VARIABLES else shown(error["input"])
    return f"{name} is {found}; expected {expected}"


def _no_storage() -> str:
    raise UserError(
        "ASSAY_STORAGE is not set; expected a connection string, or the addresses ASSAY_STORAGE__blobServiceUri "
        "and ASSAY_STORAGE__queueServiceUri. `assay up` starts a local storage account and sets it."
    )
