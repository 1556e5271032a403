"""Chat completions of Azure OpenAI: its address, its API versions, and identities in place of keys.

Chosen by `deployments.py`. The emulator speaks the same protocol, so laptops and tests come through here too.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import httpx2
import openai

from assay.errors import UserError
from assay.llm.base import ModelError
from assay.llm.errors import FailureKind
from assay.llm.openai_sdk import CONNECTIONS, Clocks, SdkChat, http_client

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

TokenProvider = Callable[[], Awaitable[str]]

_SCOPE = "https://cognitiveservices.azure.com/.default"
_UNDATED = "v1"


class AzureOpenAIChat(SdkChat):
    """A ChatModel over the deployments of one Azure OpenAI resource; safe to share between tasks of one loop.

    `api_version` is `v1`, which knows every model and setting, or a date: then it knows those of that day.
    Exactly one of `api_key` and `token_provider` is given; the provider is asked before every request and caches.
    `forget_token` is called when the service refuses a token, so that the provider gets a new one. Raises UserError for
    an empty key.
    """

    def __init__(
        self,
        endpoint: str,
        api_version: str,
        *,
        api_key: str | None = None,
        token_provider: TokenProvider | None = None,
        forget_token: Callable[[], None] = lambda: None,
        connections: int = CONNECTIONS,
        clocks: Clocks | None = None,
    ) -> None:
        if (api_key is None) == (token_provider is None):
            raise ValueError("AzureOpenAIChat takes either an api_key or a token_provider")
        if api_key == "":
            raise UserError(f"the key of {endpoint} is empty: set it, or leave it out to use this process's identity")
        provider = token_provider and _translated(token_provider)
        client = _undated if api_version == _UNDATED else partial(_dated, api_version)
        super().__init__(client(endpoint, api_key, provider, http_client(connections)), clocks, forget_token)


class EntraTokens:
    """Tokens for an identity, kept until shortly before they run out, or until the service refuses one."""

    def __init__(self, credential: "AsyncTokenCredential") -> None:
        self._credential = credential
        self.forget()

    async def __call__(self) -> str:
        return await self._provider()

    def forget(self) -> None:
        """The next token is asked for anew."""
        from azure.identity.aio import get_bearer_token_provider

        self._provider = get_bearer_token_provider(self._credential, _SCOPE)


def _undated(
    endpoint: str, api_key: str | None, provider: TokenProvider | None, http: httpx2.AsyncClient
) -> openai.AsyncOpenAI:
    """https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle"""
    return openai.AsyncOpenAI(
        base_url=f"{endpoint.rstrip('/')}/openai/v1",
        api_key=api_key or provider,
        max_retries=0,  # a hidden retry would be a request without a permit
        http_client=http,
    )


def _dated(
    api_version: str, endpoint: str, api_key: str | None, provider: TokenProvider | None, http: httpx2.AsyncClient
) -> openai.AsyncOpenAI:
    return openai.AsyncAzureOpenAI(
        azure_endpoint=endpoint,
        api_version=api_version,
        api_key=api_key,
        azure_ad_token_provider=provider,
        max_retries=0,
        http_client=http,
    )


def _translated(provider: TokenProvider) -> TokenProvider:
    async def token() -> str:
        try:
            return await provider()
        except Exception as error:
            raise ModelError(FailureKind.UNAUTHORIZED, f"No access token: {error}", sent=False) from error

    return token
