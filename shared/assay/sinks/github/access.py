"""Who asks GitHub: a token, or an app's installation whose tokens last an hour."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx2

from assay.errors import ServiceError, UserError
from assay.sinks.github.api import HEADERS

_APP_TOKEN_SECONDS = 540  # GitHub allows an app's own token ten minutes
_RENEW_SECONDS = 300

Secret = Callable[[], Awaitable[str]]
"""Reads a secret's text."""


@dataclass(frozen=True)
class TokenAccess:
    """Asks with a token: a fine-grained one with contents and pull requests to write, on this repository alone."""

    token: Secret

    async def __call__(self) -> Mapping[str, str]:
        return {**HEADERS, "Authorization": f"Bearer {await self.token()}"}


@dataclass
class AppAccess:
    """Asks as an installation of a GitHub App, with a token for one repository and no more rights than needed.

    `learn` is told that token, so that it is redacted.
    """

    base: str
    app_id: str
    installation_id: str
    repository: str
    private_key: Secret
    transport: httpx2.AsyncBaseTransport | None = None
    clock: Callable[[], float] = time.time
    learn: Callable[[str], None] = lambda _: None
    _token: str = field(default="", init=False)
    _ends_at: float = field(default=0.0, init=False)

    async def __call__(self) -> Mapping[str, str]:
        if self.clock() > self._ends_at - _RENEW_SECONDS:
            await self._renew()
        return {**HEADERS, "Authorization": f"Bearer {self._token}"}

    async def _renew(self) -> None:
        """Trades the app's own token for one of its installation. Raises UserError when GitHub refuses."""
        wanted = {
            "repositories": [self.repository.partition("/")[2]],
            "permissions": {"contents": "write", "pull_requests": "write", "metadata": "read"},
        }
        path = f"{self.base}/app/installations/{self.installation_id}/access_tokens"
        try:
            async with httpx2.AsyncClient(transport=self.transport, timeout=60) as client:
                response = await client.post(path, json=wanted, headers=await self._app_headers())
        except httpx2.HTTPError as error:
            raise ServiceError(f"GitHub does not answer: {type(error).__name__}") from error
        if response.status_code >= 500:
            raise ServiceError(f"GitHub answered HTTP {response.status_code} to the app's request for a token")
        if response.status_code != 201:
            raise UserError(
                f"GitHub gives app {self.app_id} no token for {self.repository} (HTTP {response.status_code}). Check "
                "the app's id, its key and installation, and that it may write contents and pull requests there."
            )
        granted: dict[str, Any] = response.json()
        self._token = granted["token"]
        self.learn(self._token)
        self._ends_at = datetime.fromisoformat(granted["expires_at"]).timestamp()

    async def _app_headers(self) -> Mapping[str, str]:
        import jwt

        now = int(self.clock())
        claims = {"iat": now - 60, "exp": now + _APP_TOKEN_SECONDS, "iss": self.app_id}
        try:
            token = jwt.encode(claims, await self.private_key(), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise UserError(
                f"the private key of GitHub App {self.app_id} cannot be used: expected RSA in PEM"
            ) from error
        return {**HEADERS, "Authorization": f"Bearer {token}"}
