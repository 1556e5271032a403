"""Shields: judges of prompts. One works by patterns on this machine, one asks Azure AI Content Safety."""

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Sequence
from http import HTTPStatus
from re import IGNORECASE, Pattern, compile
from typing import TYPE_CHECKING, Any, Protocol

from assay.errors import AssayError
from assay.middleware.context import ContentSafety
from assay.patience import Busy, Patience, is_busy, retry_after_seconds

if TYPE_CHECKING:
    import httpx2

PATH = "/contentsafety/text:shieldPrompt"
API_VERSION = "2024-09-01"
LONGEST_PROMPT = 10_000
OVERLAP = 200
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 8.0

# Control characters but those of lines, and what Unicode calls default ignorable code points.
_UNSEEN = compile(
    "[\\x00-\\x08\\x0e-\\x1f\\x7f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e"
    "\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+"
)
_GAP = r"\W+(?:\w+\W+){0,4}?"

# Well-known wordings of attempts to replace the instructions, to read them, or to take the model out of its role.
_ATTACKS = {
    "ignore-instructions": rf"\b(?:ignore|disregard|forget|override|bypass){_GAP}"
    r"(?:previous|prior|above|earlier|preceding|all|any|system|your|initial|original)"
    rf"{_GAP}(?:instructions?|prompts?|rules|guidelines|directions|directives|messages?|constraints)\b",
    "reveal-prompt": rf"\b(?:reveal|show|print|repeat|output|tell me|display|leak){_GAP}"
    r"(?:system prompt|initial prompt|hidden prompt|initial instructions|system message|hidden instructions)\b",
    "new-instructions": r"\b(?:new|updated|real|actual) (?:system )?instructions? ?:",
    "role-play": r"\b(?:you are|act as|pretend to be|you're) (?:now )?(?:dan\b|in developer mode|an unrestricted|"
    r"an unfiltered|jailbroken|no longer bound)",
    "do-anything": r"\bdo anything now\b|\bdeveloper mode (?:enabled|on|output)\b|\bjailbreak(?:ed)? mode\b",
    "no-restrictions": rf"\b(?:without|no|free of|ignore){_GAP}(?:ethical|moral|safety|content)"
    r" (?:restrictions|guidelines|filters?|limits|policies)\b",
    "fake-turn": r"<\|(?:im_start|im_end|system|endoftext)\|>|\[/?INST\]|<</?SYS>>|(?:^| )#{2,} ?system ?:",
}


class ShieldFailed(AssayError):
    """No verdict. The message quotes nothing of the prompt."""


class _Busy(ShieldFailed, Busy):
    """No verdict yet; asking again may help."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class Shield(Protocol):
    """Judges prompts."""

    async def attack_in(self, texts: Sequence[str]) -> str | None:
        """What the attack in one of the texts is called, or None. Raises ShieldFailed when there is no verdict."""
        ...

    async def close(self) -> None:
        """Closes connections; a second call does nothing."""
        ...


class PatternShield:
    """Knows attacks by their words, in English; letters in other forms and invisible signs do not hide them."""

    def __init__(self, patterns: Sequence[str] = (), *, with_defaults: bool = True) -> None:
        named = {f"pattern {number}": one for number, one in enumerate(patterns, 1)}
        self._attacks: dict[str, Pattern[str]] = {
            name: compile(one, IGNORECASE) for name, one in ({**_ATTACKS, **named} if with_defaults else named).items()
        }

    async def attack_in(self, texts: Sequence[str]) -> str | None:
        plain = [reading for text in texts for reading in _readings(text)]
        return next((name for name, one in self._attacks.items() if any(map(one.search, plain))), None)

    async def close(self) -> None:
        """Nothing to close."""


class ContentSafetyShield:
    """Prompt Shields of Azure AI Content Safety; long texts go in pieces that overlap a little.

    Protocol: https://learn.microsoft.com/azure/ai-services/content-safety/quickstart-jailbreak (REST, 2024-09-01).
    """

    def __init__(
        self,
        service: ContentSafety,
        timeout_seconds: float,
        attempts: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: "httpx2.AsyncBaseTransport | None" = None,
    ) -> None:
        self._service, self._timeout_seconds, self._transport = service, timeout_seconds, transport
        self._patience = Patience(attempts, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, sleep)
        self._made: httpx2.AsyncClient | None = None

    async def attack_in(self, texts: Sequence[str]) -> str | None:
        pieces = [piece for text in texts for piece in _pieces(text)]
        verdicts = await asyncio.gather(*(self._patience.ask(self._ask, piece) for piece in pieces))
        return "prompt shields" if any(verdicts) else None

    async def close(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            await made.aclose()

    async def _ask(self, text: str) -> bool:
        import httpx2

        headers = await self._headers()
        try:
            response = await self._client().post(
                f"{self._service.endpoint.rstrip('/')}{PATH}",
                params={"api-version": API_VERSION},
                json={"userPrompt": text.encode("utf-8", "replace").decode(), "documents": []},
                headers=headers,
            )
        except httpx2.HTTPError as error:
            raise _Busy(f"{type(error).__name__} from {self._service.endpoint}") from error
        return _read(response)

    def _client(self) -> "httpx2.AsyncClient":
        if self._made is None:
            import httpx2

            self._made = httpx2.AsyncClient(timeout=self._timeout_seconds, transport=self._transport)
        return self._made

    async def _headers(self) -> dict[str, str]:
        try:
            if self._service.key is not None:
                return {"Ocp-Apim-Subscription-Key": await self._service.key()}
            token = await self._service.token() if self._service.token else ""
        except Exception as error:  # whatever an identity library raises
            raise ShieldFailed(f"no access to {self._service.endpoint}: {error}") from error
        return {"Authorization": f"Bearer {token}"}


def _read(response: "httpx2.Response") -> bool:
    status = response.status_code
    if is_busy(status):
        raise _Busy(f"HTTP {status}", retry_after_seconds(response.headers))
    if status != HTTPStatus.OK:
        raise ShieldFailed(f"HTTP {status}; expected 200. Check CONTENT_SAFETY_ENDPOINT and its key or role")
    try:
        content: Any = response.json()
        found = [content["userPromptAnalysis"]["attackDetected"]]
        found += [one["attackDetected"] for one in content.get("documentsAnalysis") or []]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ShieldFailed(f"the verdict cannot be read: {type(error).__name__}") from error
    if not all(isinstance(one, bool) for one in found):
        raise ShieldFailed("the verdict is neither true nor false")
    return any(found)


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that the service takes; an attack shorter than the overlap is whole in one of them."""
    for start in range(0, max(1, len(text) - OVERLAP), LONGEST_PROMPT - OVERLAP):
        yield text[start : start + LONGEST_PROMPT]


def _readings(text: str) -> set[str]:
    """The text in plain letters; signs that nobody sees may stand within words or in place of spaces."""
    plain = unicodedata.normalize("NFKC", text)
    return {" ".join(_UNSEEN.sub(unseen_as, plain).split()) for unseen_as in ("", " ")}
