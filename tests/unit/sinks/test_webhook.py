"""The webhook sink: what it sends, how it signs, and what it says when nobody listens."""

import asyncio
import base64
import hashlib
import hmac
import json

import httpx2
import pytest

from assay.errors import ServiceError, UserError
from assay.provenance.bundle import Statement, seal_folder
from assay.sinks.base import Bundle
from assay.sinks.http import HttpService
from assay.sinks.webhook import Webhook, WebhookSink, explain
from assay.suite.sink_options import WebhookOptions
from assay.telemetry import LogTelemetry
from builders import triage_run
from evaluations import evaluate
from stand_ins.sealed import SIGNER

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RUN = triage_run()
CONTENTS = evaluate(RUN.header, RUN.suite, RUN.plan, RUN.outcomes, RUN.bad_rows, 0, RUN.rows)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "summary.json").write_text(CONTENTS.model_dump_json())
    asyncio.run(seal_folder(folder, Statement(RUN.header.run, "2026-01-02T03:04:05+00:00", {}), SIGNER))
    return Bundle(RUN.header.run, RUN.suite.name, folder)


class Receiver(httpx2.AsyncBaseTransport):
    """Takes what is sent; answers with the statuses given, then with 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.requests = list(statuses), list[httpx2.Request]()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        return httpx2.Response(self.statuses.pop(0) if self.statuses else 204)


def sink_of(receiver: Receiver, secret: str | None = SECRET, **options: object) -> WebhookSink:
    async def webhook_of(address: str) -> Webhook:
        assert address == "team"
        return Webhook("https://hooks.example.org/T1/confidential", secret)

    async def nothing() -> dict[str, str]:
        return {}

    async def sleep(_: float) -> None:
        return None

    def service(url: str) -> HttpService:
        return HttpService("the webhook", url, nothing, LogTelemetry(), explain, sleep=sleep, transport=receiver)

    return WebhookSink(WebhookOptions.model_validate({"address": "team", **options}), webhook_of, service, lambda: 1e9)


async def test_says_what_came_out_and_no_answers(bundle: Bundle) -> None:
    """Headline, verdicts and digest; whoever listens need not be cleared for the data."""
    receiver = Receiver()
    await sink_of(receiver).publish(bundle)
    data = json.loads(receiver.requests[0].content)["data"]
    assert (data["headline"], data["run"]) == (CONTENTS.headline, RUN.header.run)
    assert [one["variant"] for one in data["verdicts"]] == [one.variant for one in CONTENTS.primary_comparisons]
    assert data["manifest_sha256"] == bundle.manifest_sha256


async def test_is_signed_as_the_specification_says(bundle: Bundle) -> None:
    """HMAC-SHA256 over id, time and body, in Base64."""
    receiver = Receiver()
    await sink_of(receiver).publish(bundle)
    (request,) = receiver.requests
    said = f"{request.headers['webhook-id']}.1000000000.".encode() + request.content
    code = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), said, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(code).decode()}"


def test_the_signature_is_that_of_the_specifications_example() -> None:
    """The published example of the Standard Webhooks libraries."""
    headers = Webhook("https://x", SECRET).signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_second_delivery_has_the_same_id(bundle: Bundle) -> None:
    """A receiver that was told before a crash can tell."""
    receiver = Receiver()
    for _ in range(2):
        await sink_of(receiver).publish(bundle)
    first, second = (request.headers["webhook-id"] for request in receiver.requests)
    assert first == second


async def test_a_chat_gets_one_text(bundle: Bundle) -> None:
    """As chats take it."""
    receiver = Receiver()
    await sink_of(receiver, format="text").publish(bundle)
    assert CONTENTS.headline in json.loads(receiver.requests[0].content)["text"]


async def test_busy_is_waited_for_and_refusal_named(bundle: Bundle) -> None:
    """The address, which may be a secret, is not in the error."""
    assert (await sink_of(Receiver(503, 429)).publish(bundle)).files == 0
    with pytest.raises(UserError, match="ASSAY_WEBHOOKS") as refused:
        await sink_of(Receiver(404)).publish(bundle)
    with pytest.raises(ServiceError, match="HTTP 500") as busy:
        await sink_of(Receiver(*[500] * 20)).publish(bundle)
    assert "confidential" not in f"{refused.value}{busy.value}"


async def test_a_preview_shows_the_body_and_sends_nothing(bundle: Bundle) -> None:
    """Exactly what would be sent."""
    receiver = Receiver()
    _, body = await sink_of(receiver).preview(bundle)
    await sink_of(receiver).publish(bundle)
    assert len(receiver.requests) == 1 and receiver.requests[0].content.decode() == body


def test_a_secret_that_is_none_is_refused() -> None:
    """It begins as one."""
    with pytest.raises(UserError, match="no Base64"):
        Webhook("https://x", "whsec_?").signed("id", 1, b"")
