"""The webhook sink: one signed POST that tells a chat or a CI of a run's results. Sends no answers and no rows.

Signed as the Standard Webhooks specification 1.0.0 says (standardwebhooks.com); its id is the same for the same bundle,
so that receivers can tell a second delivery.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from assay.amounts import exact_usd
from assay.errors import UserError
from assay.reporting.contents import Contents
from assay.sinks.base import Bundle, Receipt
from assay.sinks.http import HttpService
from assay.storage.bundle_names import SUMMARY
from assay.suite.levels import Level
from assay.suite.sink_options import WebhookOptions

SECRET_PREFIX = "whsec_"  # noqa: S105 - how secrets of this kind begin


@dataclass(frozen=True)
class Webhook:
    """Where to send, and the secret that signs it: `whsec_` and Base64, or any text."""

    url: str
    secret: str | None = None

    def signed(self, message_id: str, at: int, body: bytes) -> Mapping[str, str]:
        """The headers for a body. Raises UserError for a secret that begins as one and is none."""
        headers = {"webhook-id": message_id, "webhook-timestamp": str(at), "content-type": "application/json"}
        if self.secret is None:
            return headers
        code = hmac.new(self._key(), b"%s.%d.%s" % (message_id.encode(), at, body), hashlib.sha256).digest()
        return {**headers, "webhook-signature": f"v1,{base64.b64encode(code).decode()}"}

    def _key(self) -> bytes:
        secret = self.secret or ""
        if not secret.startswith(SECRET_PREFIX):
            return secret.encode()
        try:
            return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except ValueError:
            raise UserError(f"the webhook's secret begins with {SECRET_PREFIX} and goes on with no Base64") from None


class WebhookSink:
    """Sends the headline, the verdicts and the bundle's digest."""

    def __init__(
        self,
        options: WebhookOptions,
        webhook_of: Callable[[str], Awaitable[Webhook]],
        service: Callable[[str], HttpService],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options, self._webhook_of, self._service, self._clock = options, webhook_of, service, clock

    @property
    def name(self) -> str:
        return self._options.name or "webhook"

    @property
    def clearance(self) -> Level:
        return self._options.clearance

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        return (f"POST to webhook '{self._options.address}'", self._body(bundle).decode())

    async def publish(self, bundle: Bundle) -> Receipt:
        webhook = await self._webhook_of(self._options.address)
        message_id = f"msg_{bundle.run}_{bundle.manifest_sha256[:16]}"
        body = self._body(bundle)
        service = self._service(webhook.url)
        try:
            headers = webhook.signed(message_id, int(self._clock()), body)
            await service.ask("POST", "", content=body, headers=headers)
        finally:
            await service.close()
        return Receipt(
            sink=self.name,
            location=f"webhook '{self._options.address}'",
            manifest_sha256=bundle.manifest_sha256,
            files=0,
            details={"message": message_id},
        )

    async def close(self) -> None:
        """There is nothing to close: every delivery closes its own connection."""

    def _body(self, bundle: Bundle) -> bytes:
        contents = Contents.model_validate_json((bundle.folder / SUMMARY).read_bytes())
        made = _text(contents) if self._options.format == "text" else _event(bundle, contents)
        return json.dumps(made, ensure_ascii=False, sort_keys=True).encode()


def explain(response: httpx2.Response) -> str:
    """What to do about a refusal."""
    return f"Check the webhook's address and secret in ASSAY_WEBHOOKS (HTTP {response.status_code})."


def _event(bundle: Bundle, contents: Contents) -> dict[str, Any]:
    return {
        "type": "run.published",
        "data": {
            "run": bundle.run,
            "suite": contents.run.suite,
            "headline": contents.headline,
            "verdicts": [
                {"variant": one.variant, "score": one.score, "verdict": one.result.verdict, "sentence": one.sentence}
                for one in contents.primary_comparisons
            ],
            "trials": contents.run.trials,
            "unanswered": contents.unanswered,
            "cost_usd": exact_usd(contents.cost_usd),
            "manifest_sha256": bundle.manifest_sha256,
        },
    }


def _text(contents: Contents) -> dict[str, str]:
    """What chats take: one text."""
    lines = [contents.headline, *(one.sentence for one in contents.primary_comparisons)]
    return {"text": "\n".join([f"{contents.run.suite} ({contents.run.run})", *dict.fromkeys(lines)])}
