"""Opens what a run's results are signed with and published to, by the settings. The runtime asks for it.

Here and in `deployments.py` settings, secrets and identities meet; sinks know none of them.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from assay.errors import UserError
from assay.provenance.signing import HmacSigner, LocalKeySigner, Signer
from assay.registry import did_you_mean
from assay.settings import Settings
from assay.sinks.base import Sink
from assay.sinks.unusable import UnusableSink
from assay.storage.base import Storage
from assay.suite import sink_options as options
from assay.suite.models import Suite
from assay.suite.sink_options import SINKS, SinkOptions, sink_name
from assay.telemetry import Telemetry
from assay.vault import read_secret

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from pydantic import SecretStr

    from assay.sinks.http import Headers, HttpService
    from assay.sinks.webhook import Webhook

DEFAULT_KEY_FILE = Path(".assay/keys/signing.pem")

Secret = Callable[[], Awaitable[str]]


class Destinations:
    """The signer and the sinks of this process. `learn` is told every secret that is read, so that it is redacted."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        telemetry: Telemetry,
        credential: "Callable[[], AsyncTokenCredential]",
        learn: Callable[[str], None],
        address_of: Callable[[str], Awaitable[str]],
    ) -> None:
        self._settings, self._storage, self._telemetry = settings, storage, telemetry
        self._credential, self._learn, self._address_of = credential, learn, address_of

    async def signer(self) -> Signer | HmacSigner:
        """By a key in Key Vault, a secret, or a key in a file, whichever is set. Raises UserError for two of them."""
        settings = self._settings
        named = [one for one in (settings.signing_key, settings.signing_secret, settings.signing_key_file) if one]
        if len(named) > 1:
            raise UserError(
                "set one of ASSAY_SIGNING_KEY, ASSAY_SIGNING_SECRET and ASSAY_SIGNING_KEY_FILE, not several"
            )
        if settings.signing_key:
            from assay.provenance.key_vault import KeyVaultSigner

            return await KeyVaultSigner.open(settings.signing_key, self._credential())
        if settings.signing_secret:
            return HmacSigner((await self._read(settings.signing_secret)).encode())
        return LocalKeySigner.load_or_create(settings.signing_key_file or DEFAULT_KEY_FILE)

    def sinks(self, suite: Suite) -> tuple[Sink, ...]:
        """The sinks of a suite; its own container is always the first. One that lacks a setting says so when used."""
        made = [(one.plugin, SINKS.make(one.plugin, one.options)) for one in suite.sinks]
        own = next((one for _, one in made if isinstance(one, options.BlobOptions)), options.BlobOptions())
        others = ((plugin, one) for plugin, one in made if not isinstance(one, options.BlobOptions))
        return (self._open(own), *(self._opened(plugin, one) for plugin, one in others))

    def _opened(self, plugin: str, chosen: SinkOptions) -> Sink:
        try:
            return self._open(chosen)
        except UserError as error:
            return UnusableSink(sink_name(plugin, chosen), chosen.clearance, str(error))

    def _open(self, chosen: SinkOptions) -> Sink:
        match chosen:
            case options.BlobOptions():
                from assay.sinks.storage import BlobSink

                return BlobSink(chosen, self._storage)
            case options.FolderOptions():
                from assay.sinks.folder import FolderSink

                return FolderSink(chosen, self._results_folder("folder", "bundles"))
            case options.ExcelOptions():
                from assay.sinks.excel import ExcelSink

                return ExcelSink(chosen, self._results_folder("Excel", "workbooks"))
            case options.GitHubOptions():
                return self._github(chosen)
            case options.AzureDevOpsOptions():
                return self._devops(chosen)
            case options.SqlOptions():
                from assay.sinks.sql.sink import SqlSink

                return SqlSink(chosen, self._address_of)
            case options.WebhookOptions():
                return self._webhook(chosen)
        raise TypeError(f"no sink has the options {type(chosen).__name__}")

    def _results_folder(self, sink: str, files: str) -> Path:
        root = self._settings.results_folder
        if root is None:
            raise UserError(f"the {sink} sink needs ASSAY_RESULTS_FOLDER: the folder below which {files} may lie")
        return root

    def _github(self, chosen: options.GitHubOptions) -> Sink:
        from assay.sinks.github.access import AppAccess, TokenAccess
        from assay.sinks.github.api import explain, is_limited, waiting
        from assay.sinks.github.sink import GitHubSink

        def service(access: "Headers") -> "HttpService":
            made = self._service("GitHub", settings.github_api, access)
            made.explain, made.waiting, made.is_busy = explain, waiting, is_limited
            return made

        settings = self._settings
        access: Headers
        if app := settings.github_app:
            key, own = self._secret(app.private_key), service(_no_headers)
            access = AppAccess(own, app.app_id, app.installation_id, chosen.repository, key, learn=self._learn)
        elif settings.github_token:
            access = TokenAccess(self._secret(settings.github_token))
        else:
            raise UserError("the GitHub sink needs ASSAY_GITHUB_TOKEN or ASSAY_GITHUB_APP")
        return GitHubSink(chosen, service(access))

    def _devops(self, chosen: options.AzureDevOpsOptions) -> Sink:
        from assay.sinks.devops.access import IdentityAccess, PersonalAccess
        from assay.sinks.devops.api import explain, is_sign_in
        from assay.sinks.devops.sink import AzureDevOpsSink

        token = self._settings.devops_token
        access = PersonalAccess(self._secret(token), self._learn) if token else IdentityAccess(self._devops_token)
        service = self._service("Azure DevOps", f"{self._settings.devops_url}/{chosen.organization}", access)
        service.explain, service.is_no_answer = explain, is_sign_in
        return AzureDevOpsSink(chosen, service)

    def _webhook(self, chosen: options.WebhookOptions) -> Sink:
        from assay.sinks.webhook import WebhookSink, explain

        def service(url: str) -> "HttpService":
            made = self._service(f"webhook '{chosen.address}'", url, _no_headers)
            made.explain = explain
            return made

        return WebhookSink(chosen, self._webhook_of, service)

    def _service(self, name: str, base: str, access: "Headers") -> "HttpService":
        from assay.sinks.http import HttpService

        return HttpService(name, base, access, self._telemetry)

    async def _webhook_of(self, address: str) -> "Webhook":
        from assay.sinks.webhook import Webhook

        known = self._settings.webhooks
        if address not in known:
            hint, names = did_you_mean(address, list(known)), ", ".join(known) or "none"
            raise UserError(f"there is no webhook '{address}'{hint}. ASSAY_WEBHOOKS has: {names}")
        one = known[address]
        url = await self._read(one.url)
        self._learn(urlsplit(url)._replace(scheme="", netloc="").geturl())  # what a service repeats of it
        return Webhook(url, await self._read(one.secret) if one.secret else None)

    async def _devops_token(self) -> str:
        """A token of this process's identity. Raises UserError when there is no identity, or it gets none."""
        from azure.core.exceptions import AzureError

        from assay.sinks.devops.access import SCOPE

        try:
            token = (await self._credential().get_token(SCOPE)).token
        except AzureError as error:
            raise UserError(
                f"no identity gets a token for Azure DevOps: {error.message}. Give the process an identity that the"
                " organisation knows, or set ASSAY_DEVOPS_TOKEN"
            ) from error
        self._learn(token)
        return token

    def _secret(self, secret: "SecretStr") -> Secret:
        """Reads the secret anew whenever it is asked for: it may be renewed in the vault."""

        async def read() -> str:
            return await self._read(secret)

        return read

    async def _read(self, secret: "SecretStr") -> str:
        text = await read_secret(secret, self._settings.key_vault_url, self._credential)
        self._learn(text)
        return text


async def _no_headers() -> dict[str, str]:
    return {}
