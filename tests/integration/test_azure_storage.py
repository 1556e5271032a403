"""What the Azure adapter does on the wire: how many requests, which content types, which errors."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.rest import HttpRequest
from azure.storage.blob import BlobServiceClient

from assay.errors import BlobMissing, StorageError, UserError
from assay.local.azurite import ACCOUNT, ACCOUNT_KEY, Azurite, count_requests, start_azurite
from assay.storage.azure import AzureStorage, PiecewiseTransport

pytestmark = pytest.mark.azurite
TOOLS = Path(__file__).resolve().parents[2] / "tools" / "azurite"


@pytest.fixture
async def storage(azurite: Azurite) -> AsyncIterator[AzureStorage]:
    storage = AzureStorage.from_connection_string(azurite.connection_string)
    yield storage
    await storage.close()


@pytest.fixture
def box() -> str:
    return f"test-{uuid.uuid4().hex}"


async def test_a_call_is_one_request(tmp_path: Path) -> None:
    """Nothing is asked twice or checked beforehand; only the first write and the first message make their container."""
    (tmp_path / "file.csv").write_bytes(b"x" * 3_000_000)
    log = tmp_path / "access.log"
    server = start_azurite(tmp_path / "data", TOOLS, access_log=log)
    storage = AzureStorage.from_connection_string(server.connection_string)
    try:
        await every_call_once(storage, tmp_path)
    finally:
        await storage.close()
        server.stop()

    refused = {"put blob": 1, "send message": 1}
    assert Counter(count_requests(log)) - Counter(refused) == {
        "put container or queue": 2,
        "put blob": 3,
        "get blob": 3,
        "head blob": 1,
        "list blobs": 2,
        "put blob lease": 3,
        "put blob appendblock": 1,
        "delete blob": 1,
        "send message": 1,
    }


async def every_call_once(storage: AzureStorage, folder: Path) -> None:
    await storage.write("runs/a", b"0123456789")
    await storage.read("runs/a")
    await storage.read("runs/a", offset=2, length=3)
    await storage.find("runs/a")
    _ = [entry async for entry in storage.list("runs/")]
    await storage.folders("runs/")
    await storage.upload("runs/file.csv", folder / "file.csv")
    await storage.download("runs/file.csv", folder / "back.csv")
    await storage.open_journal("runs/j")
    lease = await storage.acquire("runs/j", 15)
    await storage.renew("runs/j", lease)
    await storage.append("runs/j", b"x", lease=lease)
    await storage.release("runs/j", lease)
    await storage.delete("runs/j")
    await storage.send("trials", "text")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.json", "application/json"),
        ("a.jsonl", "application/jsonl"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.sig", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
async def test_the_content_type_follows_the_ending(
    storage: AzureStorage, azurite: Azurite, box: str, tmp_path: Path, name: str, expected: str
) -> None:
    """Written, uploaded or opened as a journal: a browser knows what the blob is."""
    (tmp_path / "file").write_bytes(b"x")
    await storage.write(f"{box}/written/{name}", b"")
    await storage.upload(f"{box}/uploaded/{name}", tmp_path / "file")
    await storage.open_journal(f"{box}/opened/{name}")

    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        blobs = list(service.get_container_client(box).list_blobs())

    assert [blob.content_settings.content_type for blob in blobs] == [expected] * 3


async def test_a_credential_works_as_well_as_a_connection_string(azurite: Azurite, box: str) -> None:
    """Account addresses with a credential reach the same blobs and queues."""
    # Azurite speaks no tokens over plain http: an account key stands in for the identity.
    key: Any = AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY)
    blob_url, queue_url = (f"http://127.0.0.1:{port}/{ACCOUNT}" for port in (azurite.blob_port, azurite.queue_port))
    storage = AzureStorage.from_urls(blob_url, queue_url, key)

    await storage.write(f"{box}/a", b"x")
    await storage.send(box, "text")

    assert await storage.read(f"{box}/a") == b"x"
    await storage.close()


async def test_a_refused_key_says_what_was_attempted(azurite: Azurite) -> None:
    """The error names the attempt, the service's code and the remedy, and neither key nor what was signed."""
    wrong_key = "d3Jvbmc=" * 8
    storage = AzureStorage.from_connection_string(azurite.connection_string.replace(ACCOUNT_KEY, wrong_key))

    with pytest.raises(StorageError) as caught:
        await storage.read("runs/a")
    await storage.close()

    message = str(caught.value)
    assert message.startswith("reading runs/a failed: AuthorizationFailure (HTTP 403): ")
    assert "Storage Blob Data Contributor" in message
    assert wrong_key not in message
    assert "\n" not in message
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("text", ["", "nonsense", "AccountName=a;BlobEndpoint=https://a.example"])
def test_a_malformed_connection_string_is_the_users_to_fix(text: str) -> None:
    """The error names the variable and does not repeat its value."""
    with pytest.raises(UserError, match="ASSAY_STORAGE") as caught:
        AzureStorage.from_connection_string(text)
    assert "nonsense" not in str(caught.value)


async def test_concurrent_uploads_never_mix(storage: AzureStorage, box: str, tmp_path: Path) -> None:
    """Readers see one of the files whole; an upload that lost its blocks to another one says so."""
    size = 20 * 1024 * 1024
    for letter in "ab":
        (tmp_path / letter).write_bytes(letter.encode() * size)

    answers = await asyncio.gather(
        *(storage.upload(f"{box}/a", tmp_path / letter) for letter in "ab"), return_exceptions=True
    )

    content = await storage.read(f"{box}/a")
    assert content in (b"a" * size, b"b" * size)
    assert any(isinstance(answer, str) for answer in answers)
    assert all(isinstance(answer, str | StorageError) for answer in answers)


async def test_a_version_that_changes_during_a_download_is_missing(
    storage: AzureStorage, box: str, tmp_path: Path
) -> None:
    """A blob larger than one request is never put together from two versions."""
    (tmp_path / "large").write_bytes(b"a" * 40 * 1024 * 1024)
    await storage.upload(f"{box}/a", tmp_path / "large")

    download = asyncio.create_task(storage.download(f"{box}/a", tmp_path / "back"))
    while not (tmp_path / "back.part").exists():  # noqa: ASYNC110 - nothing tells when it begins
        await asyncio.sleep(0)
    await storage.write(f"{box}/a", b"new", overwrite=True)

    outcome = (await asyncio.gather(download, return_exceptions=True))[0]
    if isinstance(outcome, BaseException):
        assert isinstance(outcome, BlobMissing)
        assert not (tmp_path / "back").exists()
    else:
        assert (tmp_path / "back").read_bytes() == b"a" * 40 * 1024 * 1024
    assert not (tmp_path / "back.part").exists()


async def test_a_large_body_is_sent_again_whole(tmp_path: Path) -> None:
    """A retry finds the body as it was, though the first try has read it."""
    received: list[int] = []

    async def keep(request: web.Request) -> web.Response:
        received.append(len(await request.read()))
        return web.Response()

    app = web.Application(client_max_size=10**8)
    app.router.add_put("/", keep)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    request = HttpRequest("PUT", f"http://{host}:{port}/", content=b"x" * 3_000_000)
    async with PiecewiseTransport() as transport:
        for _ in range(2):
            await transport.send(request)
    await runner.cleanup()

    assert received == [3_000_000] * 2


async def test_the_key_is_not_logged(storage: AzureStorage, box: str, caplog: pytest.LogCaptureFixture) -> None:
    """Even at the loudest level the log holds neither the account key nor blob contents."""
    with caplog.at_level(logging.DEBUG):
        await storage.write(f"{box}/a", b"confidential")
        await storage.read(f"{box}/a")

    assert caplog.text
    assert ACCOUNT_KEY not in caplog.text
    assert "confidential" not in caplog.text
