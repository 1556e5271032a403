"""Secrets from Key Vault, through the real SDK, against a stand-in that speaks the vault's protocol over HTTPS."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from vault import SECRET, TOKEN, FixedCredential, Vault, served

from assay.errors import ServiceError, UserError
from assay.vault import KeyVaultSecrets, resolve


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def identity() -> FixedCredential:
    return FixedCredential()


@pytest.fixture
async def secrets(vault: Vault, identity: FixedCredential, tmp_path: Path) -> AsyncIterator[KeyVaultSecrets]:
    async with served(vault, tmp_path):
        found = KeyVaultSecrets(vault.url, identity, **vault.options)
        yield found
        await found.close()


async def test_a_secret_is_read_with_the_identitys_token(
    secrets: KeyVaultSecrets, vault: Vault, identity: FixedCredential
) -> None:
    """The vault's challenge says which token it wants; with that one it answers."""
    assert await secrets.get("openai-key") == SECRET

    assert vault.requests == ["challenge", "openai-key"]
    assert identity.scopes == ["https://vault.azure.net/.default"]


async def test_a_setting_may_name_a_secret_of_the_vault(secrets: KeyVaultSecrets) -> None:
    """`keyvault:<name>` in AZURE_OPENAI_API_KEY is replaced by the vault's value."""
    assert await resolve(SecretStr("keyvault:openai-key"), secrets) == SECRET


async def test_a_rotated_secret_is_seen_at_the_next_read(secrets: KeyVaultSecrets, vault: Vault) -> None:
    """Nothing is kept between reads."""
    await secrets.get("openai-key")
    vault.secrets["openai-key"] = "rotated"

    assert await secrets.get("openai-key") == "rotated"


async def test_a_missing_secret_is_the_users_to_fix(secrets: KeyVaultSecrets) -> None:
    """The error names vault and secret."""
    with pytest.raises(UserError, match=r"https://127\.0\.0\.1:\d+ has no secret 'other'") as caught:
        await secrets.get("other")
    assert caught.value.__cause__ is not None


async def test_a_refusal_names_the_role_that_is_missing(secrets: KeyVaultSecrets, vault: Vault) -> None:
    """403: the identity is known, but may not read."""
    vault.status_of["openai-key"] = 403

    with pytest.raises(UserError, match="Key Vault Secrets User"):
        await secrets.get("openai-key")


async def test_an_empty_secret_is_refused(secrets: KeyVaultSecrets) -> None:
    """An empty key would only fail later, and less clearly."""
    with pytest.raises(UserError, match=r"'empty' .* is empty"):
        await secrets.get("empty")


async def test_a_vault_in_trouble_may_recover(secrets: KeyVaultSecrets, vault: Vault) -> None:
    """A server error is the service's: trying again later may help."""
    vault.status_of["openai-key"] = 500

    with pytest.raises(ServiceError, match="HTTP 500"):
        await secrets.get("openai-key")


async def test_an_unreachable_vault_may_recover(identity: FixedCredential) -> None:
    """No answer at all is no reason to look for a mistake in the settings."""
    secrets = KeyVaultSecrets("https://127.0.0.1:1", identity, retry_total=0)

    with pytest.raises(ServiceError, match="reading the secret 'openai-key'"):
        await secrets.get("openai-key")
    await secrets.close()


async def test_closing_twice_is_fine(secrets: KeyVaultSecrets) -> None:
    """A second close does nothing."""
    await secrets.get("openai-key")
    await secrets.close()
    await secrets.close()


async def test_no_secret_is_shown(secrets: KeyVaultSecrets, caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr nor the log at its loudest holds the secret or the token."""
    with caplog.at_level(logging.DEBUG):
        value = await secrets.get("openai-key")

    assert value == SECRET
    assert caplog.text
    for shown in (repr(secrets), str(secrets), caplog.text):
        assert SECRET not in shown
        assert TOKEN not in shown
