"""A publisher that dies between any two operations leaves nothing half, and the next try completes it."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from assay.provenance.bundle import seal_folder
from assay.provenance.verification import verify_bundle
from assay.sinks import archive, folder
from assay.sinks.base import Bundle
from assay.sinks.folder import FolderSink
from assay.sinks.http import HttpService
from assay.sinks.storage import BlobSink
from assay.sinks.webhook import Webhook, WebhookSink
from assay.storage.memory import MemoryStorage
from assay.suite.sink_options import BlobOptions, FolderOptions, WebhookOptions
from assay.telemetry import LogTelemetry
from faults import Strike, as_storage, struck
from stand_ins.ended_run import artifacts, blobs
from stand_ins.sealed import FILES, SIGNER, STATEMENT, Dying, Killed, sealed_bundle

CHANGING = (
    (os, "replace"),
    (os, "unlink"),
    (os, "rmdir"),
    (os, "mkdir"),
    (folder.shutil, "copyfile"),
    (archive, "_add"),
)


@pytest.fixture
async def bundle(tmp_path: Path) -> Bundle:
    return await sealed_bundle(tmp_path / "bundle")


class TestBlob:
    @pytest.mark.parametrize("after", [False, True])
    async def test_at_any_request(self, bundle: Bundle, after: bool) -> None:
        """The same blobs in the end, over an older bundle with a file more, and the manifest never before the rest."""
        whole = await self.older(bundle)
        await BlobSink(BlobOptions(archive=True), whole).publish(bundle)
        expected, deaths = await blobs(whole, "bundles/"), 0
        for at in itertools.count(1):
            storage = await self.older(bundle)
            dying = struck(storage, Strike(at, Killed(), after=after))  # type: ignore[arg-type]
            try:
                await BlobSink(BlobOptions(archive=True), as_storage(dying)).publish(bundle)
            except Killed:
                deaths += 1
            await BlobSink(BlobOptions(archive=True), storage).publish(bundle)
            assert await blobs(storage, "bundles/") == expected, at
            if at > len(dying.calls):
                break
        assert deaths == len(dying.calls) >= len(FILES)

    async def older(self, bundle: Bundle) -> MemoryStorage:
        storage = MemoryStorage()
        await storage.write("bundles/triage-1/old.txt", b"of an older bundle")
        return storage


class TestFolder:
    @pytest.mark.parametrize("as_zip", [False, True])
    @pytest.mark.parametrize("over_an_older_one", [False, True])
    async def test_at_any_change_of_the_disk(self, tmp_path, bundle, as_zip, over_an_older_one) -> None:
        """Nobody ever sees a half bundle: it is whole, the older one, or not there."""
        sink = FolderSink(FolderOptions(zip=as_zip), tmp_path / "out")
        older = await sealed_bundle(tmp_path / "older", {**FILES, "more.txt": b"more"})
        for at in itertools.count():
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            if over_an_older_one:
                await sink.publish(older)
            with dying_at(at) as died:
                await publish_or_die(sink, bundle)
            assert all(verify_bundle(one, SIGNER.public_key_pem).ok for one in seen(tmp_path / "out"))
            receipt = await sink.publish(bundle)
            assert os.listdir(tmp_path / "out/triage") == [Path(receipt.location).name]
            assert verify_bundle(Path(receipt.location), SIGNER.public_key_pem).ok
            if not died():
                break
        assert at >= (len(FILES) if not as_zip else 3)


async def publish_or_die(sink: FolderSink, bundle: Bundle) -> None:
    with suppress(Killed):
        await sink.publish(bundle)


def seen(root: Path) -> list[Path]:
    """The bundles that lie below a root, as somebody who looks there takes them; drafts are hidden."""
    return [one for one in root.glob("triage/*") if not one.name.startswith(".")]


@contextmanager
def dying_at(number: int) -> Iterator[Callable[[], bool]]:
    """The process dies before it changes the disk for the time `number` (from 0)."""
    left = itertools.count()
    dead: list[bool] = []

    def dying(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if dead or next(left) == number:
                dead.append(True)
                raise Killed
            return change(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patched:
        for module, name in CHANGING:
            patched.setattr(module, name, dying(getattr(module, name)))
        yield lambda: bool(dead)


class Team(httpx2.AsyncBaseTransport):
    """Receives messages, and takes those of the same id for one."""

    def __init__(self) -> None:
        self.messages: dict[str, bytes] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.messages[request.headers["webhook-id"]] = request.content
        return httpx2.Response(204)


class TestWebhook:
    @pytest.mark.parametrize("before", [True, False])
    async def test_at_its_request(self, tmp_path: Path, before: bool) -> None:
        """The receiver knows the second message by its id."""
        (tmp_path / "summary.json").write_bytes(artifacts()["summary.json"])
        await seal_folder(tmp_path, STATEMENT, SIGNER)
        bundle, team = Bundle("triage-1", "triage", tmp_path), Team()
        with pytest.raises(Killed):
            await self.sink(Dying(team, 0, before=before)).publish(bundle)
        receipt = await self.sink(team).publish(bundle)
        assert list(team.messages) == [receipt.details["message"]]

    def sink(self, transport: httpx2.AsyncBaseTransport) -> WebhookSink:
        async def webhook(_: str) -> Webhook:
            return Webhook("https://hooks.example.org/T1", "secret")

        async def nothing() -> dict[str, str]:
            return {}

        def service(url: str) -> HttpService:
            return HttpService("the webhook", url, nothing, LogTelemetry(), transport=transport)

        return WebhookSink(WebhookOptions(address="team"), webhook, service)
