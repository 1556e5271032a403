"""Signs with a P-256 key that never leaves Azure Key Vault. `runtime.py` opens it when a key's address is set.

The vault gives ES256 signatures as r and s side by side; files hold them as DER, which OpenSSL reads.
"""

import hashlib
import re
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from assay.errors import ServiceError, UserError
from assay.provenance.signing import public_pem

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.exceptions import HttpResponseError
    from azure.keyvault.keys import KeyVaultKey
    from azure.keyvault.keys.crypto.aio import CryptographyClient

_KEY_URL = re.compile(r"(https://[^/\s?#@]+)/keys/([0-9A-Za-z-]{1,127})(?:/([0-9A-Za-z]{1,64}))?/?")
KEY_URL_EXPECTED = "the address of a key, https://<vault>.vault.azure.net/keys/<name> or .../<name>/<version>"


class KeyVaultSigner:
    """A signer whose key is one version of a key in a vault; `key_id` is the address of that. `open` makes it."""

    def __init__(self, key_id: str, public_key_pem: bytes, client: "CryptographyClient") -> None:
        self.key_id, self.public_key_pem, self._client = key_id, public_key_pem, client

    @classmethod
    async def open(cls, key_url: str, credential: "AsyncTokenCredential", **client_options: Any) -> "KeyVaultSigner":
        """The signer of the key at an address, pinned to the version that is the newest now when none is named.

        `client_options` go to the SDK's clients. Raises UserError for what is no P-256 key of that vault or not for
        us, else ServiceError.
        """
        from azure.keyvault.keys.crypto.aio import CryptographyClient

        key = await _read_key(key_url, credential, client_options)
        return cls(key.id, public_pem(_public_key(key)), CryptographyClient(key, credential, **client_options))

    async def sign(self, payload: bytes) -> bytes:
        """Raises UserError when the identity may not sign, ServiceError when the vault does not answer."""
        from azure.core.exceptions import AzureError, HttpResponseError
        from azure.keyvault.keys.crypto import SignatureAlgorithm

        try:
            digest = hashlib.sha256(payload).digest()
            signature = (await self._client.sign(SignatureAlgorithm.es256, digest)).signature
        except HttpResponseError as error:
            raise _refused(f"signing with {self.key_id}", error) from error
        except AzureError as error:
            raise ServiceError(f"signing with {self.key_id} failed: {error.message}") from error
        half = len(signature) // 2
        return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))

    async def close(self) -> None:
        """Closes connections but not the credential; a second call does nothing."""
        await self._client.close()


async def read_public_key(key_url: str, credential: "AsyncTokenCredential", **client_options: Any) -> bytes:
    """The public key in PEM of a key in a vault. Raises as `KeyVaultSigner.open` does."""
    return public_pem(_public_key(await _read_key(key_url, credential, client_options)))


async def _read_key(key_url: str, credential: "AsyncTokenCredential", client_options: dict[str, Any]) -> "KeyVaultKey":
    from azure.core.exceptions import AzureError, HttpResponseError
    from azure.keyvault.keys.aio import KeyClient

    parts = _KEY_URL.fullmatch(key_url)
    if parts is None:
        raise UserError(f"'{key_url}' is no key of a vault; expected {KEY_URL_EXPECTED}")
    vault, name, version = parts.groups()
    try:
        async with KeyClient(vault, credential, **client_options) as client:
            return await client.get_key(name, version)
    except HttpResponseError as error:
        if error.status_code == 404:
            raise UserError(f"there is no key {key_url}; create it or name another one") from error
        raise _refused(f"reading the key {key_url}", error) from error
    except AzureError as error:
        raise ServiceError(f"reading the key {key_url} failed: {error.message}") from error


def _public_key(key: "KeyVaultKey") -> ec.EllipticCurvePublicKey:
    jwk: Any = key.key  # its fields are made at run time
    if jwk.crv != "P-256":
        kind = " ".join(str(getattr(part, "value", part)) for part in (jwk.kty, jwk.crv) if part)
        raise UserError(f"{key.id} is a key of type {kind}; expected EC on P-256")
    x, y = (int.from_bytes(part, "big") for part in (jwk.x, jwk.y))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _refused(attempt: str, error: "HttpResponseError") -> Exception:
    attempted = f"{attempt} failed (HTTP {error.status_code}): {error.message}"
    if error.status_code in (401, 403):
        return UserError(f"{attempted}. Give the identity the role Key Vault Crypto User on the key.")
    return ServiceError(attempted)
