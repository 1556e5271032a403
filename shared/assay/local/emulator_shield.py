"""The emulated prompt shield of Azure AI Content Safety: says whether texts look like an attack, or fails on order.

`openai_emulator` routes `POST /contentsafety/text:shieldPrompt` to it, with and without a region's prefix.
"""

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from aiohttp import web

from assay.local.emulated_faults import choose_scheduled_fault
from assay.local.emulator_config import DEFAULT_REGION, EmulatorConfig
from assay.local.emulator_headers import request_headers
from assay.local.emulator_mishaps import ContentSafety, Fault, FaultShares
from assay.local.emulator_referee import Referee
from assay.local.emulator_refusals import Refusal, resource_not_found
from assay.local.emulator_replies import Reply, carry_out, with_fault
from assay.local.emulator_requests import parse_body
from assay.local.emulator_service import EmulatorSettings, check_key

MAX_PROMPT_CHARACTERS = 10_000
MAX_DOCUMENTS = 5
PLAYED = frozenset({"error_429", "error_500", "error_503", "timeout", "dropped", "malformed"})


class PromptShield:
    """Answers shield requests by the patterns of the first file, and counts them."""

    def __init__(self, config: EmulatorConfig, settings: EmulatorSettings, referee: Referee) -> None:
        script = config.scripts[0].content if config.scripts else None
        self._safety = script.content_safety if script else ContentSafety()
        self._seed = script.seed if script else 0
        self._keys = {name: region.key for name, region in config.regions.items()}
        self._settings = settings
        self._referee = referee
        self._attempts: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self.faults = self._safety.faults

    def restore(self) -> None:
        """Play the file's faults again."""
        self.faults = self._safety.faults

    def reset(self) -> None:
        self._verdicts.clear()

    def fields(self) -> dict[str, Any]:
        """How many requests ended how, and the faults in force."""
        return {"by_verdict": dict(sorted(self._verdicts.items())), "faults": dict(self.faults.played)}

    async def shield_prompt(self, request: web.Request) -> web.StreamResponse:
        """`attackDetected` for the user's prompt and for each document."""
        raw = await request.read()
        headers = request_headers(str(uuid4()), request.match_info.get("region", "Emulated"))
        try:
            reply = self._reply(request, raw, headers)
        except Refusal as refusal:
            reply = Reply(refusal.status, refusal.verdict, refusal.body(), headers | refusal.headers)
        self._verdicts[reply.verdict] += 1
        response, _ = await carry_out(request, reply, self._settings.hang_seconds)
        return response

    def _reply(self, request: web.Request, raw: bytes, headers: dict[str, str]) -> Reply:
        region = request.match_info.get("region", DEFAULT_REGION)
        if region not in self._referee.regions or "api-version" not in request.query:
            raise resource_not_found()
        if self._referee.regions[region].is_down(self._settings.clock()):
            return Reply(503, "down", b"", headers, ending="dropped")
        check_key(request, self._keys.get(region) or self._settings.key)
        prompt, documents = _texts(parse_body(raw))
        of_prompt = None if prompt is None else self._analysis(prompt)
        of_documents = [self._analysis(document) for document in documents]
        found = {"userPromptAnalysis": of_prompt, "documentsAnalysis": of_documents}
        attacked = any(one["attackDetected"] for one in [of_prompt, *of_documents] if one)
        reply = Reply(200, "attack" if attacked else "safe", json.dumps(found).encode(), headers)
        return with_fault(reply, self._fault(f"{region}/{blake2b(raw, digest_size=16).hexdigest()}"))

    def _analysis(self, text: str) -> dict[str, bool]:
        return {"attackDetected": any(pattern.search(text) for pattern in self._safety.attacks)}

    def _fault(self, content: str) -> Fault | None:
        self._attempts[content] += 1
        fault = choose_scheduled_fault(self.faults, self._seed, content, self._attempts[content])
        return fault if fault in PLAYED else None


def shares_only(order: FaultShares) -> FaultShares:
    """The shares of an order without whom it concerns."""
    return FaultShares(**dict(order.played))


def _texts(body: dict[str, Any]) -> tuple[str | None, Sequence[str]]:
    prompt, documents = body.get("userPrompt"), body.get("documents") or []
    if prompt is not None and not isinstance(prompt, str):
        raise _invalid("The field userPrompt must be a string.")
    if not isinstance(documents, list) or not all(isinstance(one, str) for one in documents):
        raise _invalid("The field documents must be an array of strings.")
    if prompt is None and not documents:
        raise _invalid("Either userPrompt or documents must be provided.")
    _refuse_too_much(prompt or "", documents)
    return prompt, documents


def _refuse_too_much(prompt: str, documents: Sequence[str]) -> None:
    if len(prompt) > MAX_PROMPT_CHARACTERS or sum(map(len, documents)) > MAX_PROMPT_CHARACTERS:
        raise _invalid(f"The length of the text exceeds the limit of {MAX_PROMPT_CHARACTERS} characters.")
    if len(documents) > MAX_DOCUMENTS:
        raise _invalid(f"The number of documents exceeds the limit of {MAX_DOCUMENTS}.")


def _invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_request", {"code": "InvalidRequestBody", "message": message})
