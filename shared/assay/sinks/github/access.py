"""Who asks GitHub: a token, or an app's installation whose tokens last an hour."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from assay.errors import UserError
from assay.sinks.github.api import HEADERS
from assay.sinks.http import HttpService, Refused

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

    `service` asks for that token, in the app's own name; `learn` is told it, so that it is redacted.
    """

    service: HttpService
    app_id: str
    installation_id: str
    repository: str
    private_key: Secret
    clock: Callable[[], float] = time.time
    learn: Callable[[str], None] = lambda _: None
    _token: str = field(default="", init=False)
    _ends_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.service.headers = self._app_headers

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
        try:
            path = f"/app/installations/{self.installation_id}/access_tokens"
            granted: dict[str, Any] = (await self.service.ask("POST", path, wanted)).json()
        except Refused as error:
            raise UserError(
                f"GitHub gives app {self.app_id} no token for {self.repository} (HTTP {error.status}). Check "
                "the app's id, its key and installation, and that it may write contents and pull requests there."
            ) from error
        finally:
            await self.service.close()
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
