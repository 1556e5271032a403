"""Who asks Azure DevOps: an identity of Microsoft Entra, or a personal access token."""

import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"
"""What Azure DevOps is called in tokens."""

Secret = Callable[[], Awaitable[str]]
"""Reads a secret's text, or asks for a token."""


@dataclass(frozen=True)
class IdentityAccess:
    """Asks with an identity's token for `SCOPE`; the organisation must know the identity."""

    token: Secret

    async def __call__(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {await self.token()}"}


@dataclass(frozen=True)
class PersonalAccess:
    """Asks with a personal access token, with the scope Code (read and write).

    `learn` is told the form in which it travels, so that it is redacted.
    """

    token: Secret
    learn: Callable[[str], None] = lambda _: None

    async def __call__(self) -> Mapping[str, str]:
        encoded = base64.b64encode(f":{await self.token()}".encode()).decode()
        self.learn(encoded)
        return {"Authorization": f"Basic {encoded}"}
