"""Secrets by name in Azure Key Vault, and settings that name one. `runtime.py` and `deployments.py` read them.

Importing this module loads no Azure SDK; `KeyVaultSecrets` loads its own when it is made.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from assay.errors import ServiceError, UserError

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.exceptions import HttpResponseError

KEY_VAULT_PREFIX = "keyvault:"


class Secrets(Protocol):
    """A place that keeps secrets by name."""

    async def get(self, name: str) -> str:
        """The secret's current value. Raises UserError when it is not there or not for us, else ServiceError."""
        ...


async def resolve(secret: SecretStr, secrets: Secrets | None) -> str:
    """The secret's text; for `keyvault:<name>` what `secrets` keeps under that name.

    Raises UserError when that is needed and there are no `secrets`, and whatever `secrets.get` raises.
    """
    text = secret.get_secret_value()
    if not text.startswith(KEY_VAULT_PREFIX):
        return text
    name = text.removeprefix(KEY_VAULT_PREFIX)
    if secrets is None:
        raise UserError(f"KEY_VAULT_URI is not set; expected the vault that keeps the secret '{name}'")
    return await secrets.get(name)


class KeyVaultSecrets:
    """The secrets of one Azure Key Vault. `client_options` go to the SDK's `SecretClient`."""

    def __init__(self, vault_url: str, credential: "AsyncTokenCredential", **client_options: Any) -> None:
        from azure.keyvault.secrets.aio import SecretClient

        self._vault_url = vault_url
        self._client = SecretClient(vault_url, credential, **client_options)

    async def get(self, name: str) -> str:
        from azure.core.exceptions import AzureError, HttpResponseError

        try:
            value = (await self._client.get_secret(name)).value
        except HttpResponseError as error:
            raise self._refused(name, error) from error
        except AzureError as error:
            raise ServiceError(f"reading the secret '{name}' of {self._vault_url} failed: {error.message}") from error
        if not value:
            raise UserError(f"the secret '{name}' of {self._vault_url} is empty; expected a value")
        return value

    async def close(self) -> None:
        """Closes connections but not the credential; a second call does nothing."""
        await self._client.close()

    def _refused(self, name: str, error: "HttpResponseError") -> Exception:
        if error.status_code == 404:
            return UserError(f"{self._vault_url} has no secret '{name}'; create it or name another one")
        attempted = f"reading the secret '{name}' of {self._vault_url} failed (HTTP {error.status_code})"
        if error.status_code in (401, 403):
            return UserError(f"{attempted}: {error.message}. Give the identity the role Key Vault Secrets User.")
        return ServiceError(f"{attempted}: {error.message}")


async def read_secret(
    secret: SecretStr, vault_url: str | None, credential: "Callable[[], AsyncTokenCredential]"
) -> str:
    """The secret's text, as it is now: from the vault where it names one, else its own. Raises as `resolve` does."""
    secrets = KeyVaultSecrets(vault_url, credential()) if vault_url else None
    try:
        return await resolve(secret, secrets)
    finally:
        if secrets:
            await secrets.close()
