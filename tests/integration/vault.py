"""A stand-in for one Azure Key Vault: speaks its protocol over HTTPS, so that the real SDK can be used against it."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from stand_ins.certificate import write_certificate

SECRET = "7e57-confidential"
TOKEN = "token-confidential"
TENANT = "11111111-1111-1111-1111-111111111111"


@dataclass
class Vault:
    """A vault of one process: asks for a token first, as the real one does, then answers by name.

    `keys` has the versions of each key, the newest last. `url` and `options` are what a client needs to reach it.
    """

    secrets: dict[str, str] = field(default_factory=lambda: {"openai-key": SECRET, "empty": ""})
    keys: dict[str, list[ec.EllipticCurvePrivateKey]] = field(default_factory=dict)
    status_of: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    async def secret(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if refused := self._refused(request, name):
            return refused
        if name not in self.secrets:
            return _not_found("SecretNotFound")
        return web.json_response({"value": self.secrets[name], "id": f"{self.url}/secrets/{name}/1"})

    async def key(self, request: web.Request) -> web.Response:
        name, version = request.match_info["name"], request.match_info.get("version", "")
        if refused := self._refused(request, name):
            return refused
        found = self._version(name, version)
        if found is None:
            return _not_found("KeyNotFound")
        number, key = found
        numbers = key.public_key().public_numbers()
        size = (key.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384"}[key.curve.name]
        jwk = {
            "kid": f"{self.url}/keys/{name}/{number}",
            "kty": "EC",
            "crv": curve,
            "key_ops": ["sign", "verify"],
            "x": _base64url(numbers.x.to_bytes(size, "big")),
            "y": _base64url(numbers.y.to_bytes(size, "big")),
        }
        return web.json_response({"key": jwk, "attributes": {"enabled": True}})

    async def sign(self, request: web.Request) -> web.Response:
        name, version = request.match_info["name"], request.match_info["version"]
        if refused := self._refused(request, f"{name}/sign"):
            return refused
        found = self._version(name, version)
        if found is None:
            return _not_found("KeyNotFound")
        number, key = found
        said = await request.json()
        digest = base64.urlsafe_b64decode(said["value"] + "==")
        r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return web.json_response({"kid": f"{self.url}/keys/{name}/{number}", "value": _base64url(raw)})

    def _version(self, name: str, version: str) -> tuple[str, ec.EllipticCurvePrivateKey] | None:
        versions = {f"v{at}": key for at, key in enumerate(self.keys.get(name, []), start=1)}
        number = version or next(reversed(versions), "")
        return (number, versions[number]) if number in versions else None

    def _refused(self, request: web.Request, name: str) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.requests.append("challenge")
            challenge = (
                f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'
            )
            return web.json_response({}, status=401, headers={"WWW-Authenticate": challenge})
        self.requests.append(name)
        if name not in self.status_of:
            return None
        error = {"code": "Refused", "message": f"No access to {name}."}
        return web.json_response({"error": error}, status=self.status_of[name])


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


@asynccontextmanager
async def served(vault: Vault, folder: Path) -> AsyncIterator[Vault]:
    """The vault while it answers on 127.0.0.1; its certificate lies in the folder."""
    certificate = write_certificate(folder / "vault.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    app = web.Application()
    for path in ("/secrets/{name}/", "/secrets/{name}"):
        app.router.add_get(path, vault.secret)
    for path in ("/keys/{name}/", "/keys/{name}", "/keys/{name}/{version}"):
        app.router.add_get(path, vault.key)
    app.router.add_post("/keys/{name}/{version}/sign", vault.sign)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    vault.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    vault.options = {
        "verify_challenge_resource": False,
        "connection_verify": str(certificate),
        "retry_total": 0,
    }
    yield vault
    await runner.cleanup()


def _not_found(code: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": "Not found."}}, status=404)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
