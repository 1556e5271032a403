"""Links to bundles: read by anybody, verified where they are, over Azurite; by an identity, over a stand-in."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import Purpose, create_default_context
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from aiohttp import web
from azure.storage.blob.aio import BlobServiceClient
from typer.testing import CliRunner
from vault import TENANT, FixedCredential

from assay.cli import bundles
from assay.cli.main import app
from assay.errors import UserError
from assay.local.azurite import Azurite
from assay.orchestration.links import bundle_link
from assay.sinks.base import Bundle
from assay.sinks.storage import BlobSink
from assay.storage.azure import AzureStorage
from assay.storage.azure_blob import AzureBlobs
from assay.storage.memory import MemoryStorage
from assay.suite.sink_options import BlobOptions
from stand_ins.certificate import write_certificate
from stand_ins.sealed import SIGNER, sealed_bundle

NOW = datetime.now(UTC).replace(microsecond=0)
DELEGATION = f"""<?xml version="1.0" encoding="utf-8"?>
<UserDelegationKey><SignedOid>1</SignedOid><SignedTid>{TENANT}</SignedTid>
<SignedStart>2026-01-01T00:00:00Z</SignedStart><SignedExpiry>2026-01-02T00:00:00Z</SignedExpiry>
<SignedService>b</SignedService><SignedVersion>2022-11-02</SignedVersion><Value>Zm9v</Value></UserDelegationKey>"""


@pytest.mark.azurite
class TestOverAzurite:
    @pytest.fixture
    async def storage(self, azurite: Azurite) -> AsyncIterator[AzureStorage]:
        storage = AzureStorage.from_connection_string(azurite.connection_string)
        yield storage
        await storage.close()

    @pytest.fixture
    async def run(self, storage: AzureStorage, tmp_path: Path) -> str:
        """A published run with a zip."""
        run, bundle = f"run-{uuid.uuid4().hex}", await sealed_bundle(tmp_path / "bundle")
        await BlobSink(BlobOptions(archive=True), storage).publish(Bundle(run, "triage", bundle.folder))
        return run

    async def test_a_linked_bundle_verifies(self, storage: AzureStorage, run: str, tmp_path: Path) -> None:
        """By the link alone: without an account, and with the key that is trusted."""
        made = await bundle_link(storage, run, 1, "internal", NOW)
        (tmp_path / "signer.pub").write_bytes(SIGNER.public_key_pem)
        command = ["verify", made.url, "--key", str(tmp_path / "signer.pub")]
        done = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert (done.exit_code, "signature verified" in done.stdout) == (0, True), done.output

    async def test_it_reads_this_blob_and_nothing_else(self, storage: AzureStorage, run: str) -> None:
        """Not its neighbours, and it changes nothing."""
        made = await bundle_link(storage, run, 1, "internal", NOW)
        other = made.url.replace(f"{run}.zip", f"{run}/manifest.json")
        assert [await status("GET", made.url), await status("GET", other)] == [200, 403]
        assert [await status("DELETE", made.url), await status("PUT", made.url)] == [403, 403]

    async def test_it_ends(self, storage: AzureStorage, run: str) -> None:
        """As it says."""
        made = await bundle_link(storage, run, 1, "internal", NOW - timedelta(hours=2))
        assert await status("GET", made.url) == 403


async def status(method: str, url: str) -> int:
    async with httpx2.AsyncClient() as client:
        return (await client.request(method, url, headers={"x-ms-blob-type": "BlockBlob"})).status_code


async def test_an_identity_asks_for_a_key_that_signs(tmp_path: Path) -> None:
    """The account's key is not known; the link says who made it, and gives the right to read alone."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        return web.Response(text=DELEGATION, content_type="application/xml")

    certificate = write_certificate(tmp_path / "server.pem")
    context = create_default_context(Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    served = web.Application()
    served.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(served)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    address = f"https://127.0.0.1:{runner.addresses[0][1]}/account"
    async with BlobServiceClient(address, FixedCredential(), connection_verify=str(certificate)) as service:
        url = await AzureBlobs(service).link("bundles/r1.zip", NOW, NOW + timedelta(hours=1))
    await runner.cleanup()
    said = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
    assert (said["sp"], said["sr"], said["spr"], said["skoid"]) == ("r", "b", "https", "1")
    assert urlsplit(url).path == "/account/bundles/r1.zip"
    assert asked == ["restype=service&comp=userdelegationkey"]


def test_the_command_prints_the_link_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be handed on; what it means goes to the other output."""
    storage = MemoryStorage()

    async def published() -> None:
        await BlobSink(BlobOptions(archive=True), storage).publish(await sealed_bundle(tmp_path))

    asyncio.run(published())
    monkeypatch.setattr(bundles, "with_runtime", lambda work: asyncio.run(work(SimpleNamespace(storage=storage))))
    done = CliRunner().invoke(app, ["link", "triage-1", "--hours", "2"])
    assert done.exit_code == 0 and done.stdout.startswith("memory://bundles/triage-1.zip?")
    assert len(done.stdout.splitlines()) == 1 and "anybody who has it" in done.stderr


class TestRefusals:
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> MemoryStorage:
        storage = MemoryStorage()
        await BlobSink(BlobOptions(archive=True), storage).publish(await sealed_bundle(tmp_path))
        return storage

    async def test_a_run_without_a_zip_says_what_it_needs(self, storage: MemoryStorage) -> None:
        """The suite's option."""
        with pytest.raises(UserError, match="archive: true"):
            await bundle_link(storage, "another", 1, "internal", NOW)

    async def test_a_bundle_above_the_clearance_is_not_given_out(self, storage: MemoryStorage) -> None:
        """Unless that is said."""
        with pytest.raises(UserError, match=r"is internal, .*--clearance internal"):
            await bundle_link(storage, "triage-1", 1, "public", NOW)

    @pytest.mark.parametrize("hours", [0, -1, 169])
    async def test_more_hours_than_storage_grants_are_refused(self, storage: MemoryStorage, hours: float) -> None:
        """Seven days."""
        with pytest.raises(UserError, match="at most 167"):
            await bundle_link(storage, "triage-1", hours, "internal", NOW)
