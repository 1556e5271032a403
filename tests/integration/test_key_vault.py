"""Secrets from Key Vault, through the real SDK, against a stand-in that speaks the vault's protocol over HTTPS."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from assay.errors import ServiceError, UserError
from assay.settings import KeyVaultSecrets, resolve

SECRET = "7e57-confidential"
TOKEN = "token-confidential"
TENANT = "11111111-1111-1111-1111-111111111111"


@dataclass
class Vault:
    """A vault of one process: asks for a token first, as the real one does, then answers by name."""

    secrets: dict[str, str] = field(default_factory=lambda: {"openai-key": SECRET, "empty": ""})
    status_of: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.requests.append("challenge")
            challenge = (
                f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'
            )
            return web.json_response({}, status=401, headers={"WWW-Authenticate": challenge})
        self.requests.append(name)
        if name in self.status_of:
            error = {"code": "Refused", "message": f"No access to {name}."}
            return web.json_response({"error": error}, status=self.status_of[name])
        if name not in self.secrets:
            return web.json_response({"error": {"code": "SecretNotFound", "message": "Not found."}}, status=404)
        return web.json_response({"value": self.secrets[name], "id": f"https://{request.host}/secrets/{name}/1"})


class FixedCredential:
    """An identity whose token never changes; remembers for what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes.extend(scopes)
        return AccessToken(TOKEN, int(time.time()) + 3600)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> FixedCredential:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def identity() -> FixedCredential:
    return FixedCredential()


@pytest.fixture
async def secrets(vault: Vault, identity: FixedCredential, tmp_path: Path) -> AsyncIterator[KeyVaultSecrets]:
    certificate = write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_get("/secrets/{name}/", vault.answer)
    app.router.add_get("/secrets/{name}", vault.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    found = KeyVaultSecrets(
        f"https://127.0.0.1:{port}",
        identity,
        verify_challenge_resource=False,
        connection_verify=str(certificate),
        retry_total=0,
    )
    yield found
    await found.close()
    await runner.cleanup()


def write_certificate(folder: Path) -> Path:
    """A key and its self-signed certificate for 127.0.0.1, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "vault.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


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
