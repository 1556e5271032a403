"""Chat completions through LiteLLM, for providers that speak a protocol of their own. Chosen by `deployments.py`.

The package is the extra `litellm`. It takes seconds to import, so only who makes a client loads it.
"""

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from inspect import isawaitable
from typing import Any

from assay.errors import UserError
from assay.llm.answers import Delivery, answer_in, broken_off
from assay.llm.base import ChatAnswer, ChatRequest, ModelError
from assay.llm.chat_body import LimitNames, chat_body
from assay.llm.openai_sdk import Clocks
from assay.llm.sdk_errors import limits_in, request_id_in
from assay.llm.streaming import StreamedCompletion

# Without these it asks the network for prices and headers, and reads a `.env` into the environment.
_IMPORT_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}


class LiteLLMChat:
    """A ChatModel over one provider of LiteLLM: the deployment `name` is its model `provider/name`.

    `url` is the provider's base URL in place of the usual one; without `api_key` LiteLLM looks where it always does, in
    the environment. Raises UserError when LiteLLM is not installed.
    """

    def __init__(
        self, provider: str, *, url: str | None = None, api_key: str | None = None, clocks: Clocks | None = None
    ) -> None:
        self._litellm = _imported()
        self._provider = provider
        self._access = {"api_base": url, "api_key": api_key}
        self._clocks = clocks or Clocks()
        self._limits = LimitNames()

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """The answer. Raises ModelError; never retries, but for a deployment's word for the longest answer."""
        return await self._limits.asked(request, self._ask)

    async def close(self) -> None:
        """Closes the connections that LiteLLM keeps for the whole process; a second call does nothing."""
        kept = self._litellm.in_memory_llm_clients_cache
        # LiteLLM's own way to close them leaves some open, and goes on to use those that it closed.
        for client in tuple(kept.cache_dict.values()):
            with suppress(Exception):  # of another loop, maybe a closed one
                await _closed(client)
        kept.flush_cache()
        vars(self._litellm).pop("module_level_aclient", None)  # one of them; it is made anew when it is needed

    async def _ask(self, request: ChatRequest, limit: str) -> ChatAnswer:
        from assay.llm.litellm_errors import translate_litellm

        try:
            async with asyncio.timeout(request.timeout_seconds):
                return await self._answer(request, limit)
        except ModelError:
            raise
        except Exception as error:  # it raises whatever its providers' own code raises
            raise translate_litellm(error, self._clocks.now()) from error

    async def _answer(self, request: ChatRequest, limit: str) -> ChatAnswer:
        began = self._clocks.seconds()
        body = chat_body(request, limit)
        found = await self._litellm.acompletion(
            **body | {"model": f"{self._provider}/{request.deployment}"},
            **self._access,
            timeout=_timeout_of(request),
            max_retries=0,  # a hidden retry would be a request without a permit
            num_retries=0,
        )
        completion = StreamedCompletion()
        is_whole = not request.stream or await self._take_in(completion, found, began)
        headers = _headers_of(found)
        delivery = Delivery(
            request_id_in(headers), self._clocks.seconds() - began, completion.first_token_seconds, limits_in(headers)
        )
        if not is_whole:
            raise broken_off(delivery)
        content = completion.content(request.deployment) if request.stream else _in_openai_words(found.model_dump())
        return answer_in(content, request, delivery)

    async def _take_in(self, completion: StreamedCompletion, stream: AsyncIterator[Any], began: float) -> bool:
        """Whether the stream came to an end of its own: LiteLLM ends one that breaks off as if it were whole."""
        async for chunk in stream:
            completion.add(chunk.model_dump(), self._clocks.seconds() - began)
        return getattr(stream, "received_finish_reason", "unknown") is not None


def _imported() -> Any:
    for name, value in _IMPORT_SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import litellm
    except ImportError as error:
        raise UserError(
            "an endpoint of ASSAY_ENDPOINTS has the kind 'litellm', and LiteLLM is not installed "
            f"({error}); install it: pip install 'assay-batch[litellm]'"
        ) from error
    litellm.suppress_debug_info = True
    return litellm


async def _closed(client: Any) -> None:
    close = getattr(client, "aclose", None) or getattr(client, "close", None)
    closing = close() if close else None
    if isawaitable(closing):
        await closing


def _timeout_of(request: ChatRequest) -> Any:
    import httpx

    total = request.timeout_seconds
    return httpx.Timeout(total, connect=request.connect_timeout_seconds, read=request.read_timeout_seconds or total)


def _in_openai_words(content: dict[str, Any]) -> dict[str, Any]:
    """Fields that it moves aside, back where the protocol has them."""
    for choice in content["choices"]:
        choice.update(choice.pop("provider_specific_fields", None) or {})
        message = choice["message"]
        message.update(message.pop("provider_specific_fields", None) or {})
    return content


def _headers_of(found: Any) -> Mapping[str, str]:
    """Under the names that the provider gave them, where LiteLLM keeps them at all."""
    told = (getattr(found, "_hidden_params", None) or {}).get("additional_headers") or {}
    headers = {**told, **(getattr(found, "_response_headers", None) or {})}
    return {str(name).lower().removeprefix("llm_provider-"): str(value) for name, value in headers.items()}
