"""Secrets of sinks and signers are in nothing that a run writes, logs or says, however services fail.

The service that fails repeats what it was told, secrets included, as the worst of proxies would.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from vault import TOKEN as VAULT_TOKEN
from vault import FixedCredential, Vault, served

import assay.vault
from assay.errors import AssayError
from assay.provenance.key_vault import KeyVaultSigner
from assay.runtime import Runtime
from assay.settings import Settings
from assay.sinks import http
from assay.storage.memory import MemoryStorage
from assay.telemetry import LOGGER, log_as_json, redact_logs
from assay.vault import KeyVaultSecrets
from stand_ins.ended_run import ID, blobs, ended_run

GITHUB, INSTALLATION = "planted-github-token-7e57", "planted-installation-token-7e57"
DEVOPS, HOOK, HOOK_SECRET = "planted-devops-token-7e57", "planted-hook-path-7e57", "planted-hook-secret-7e57"
PASSWORD, SIGNING = "planted-sql-password-7e57", "planted-signing-secret-7e57-0123456789"
STORAGE_KEY = base64.b64encode(b"planted-storage-key-7e57-0123456789").decode()
APP_KEY = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
DEVOPS_HEADER = base64.b64encode(f":{DEVOPS}".encode()).decode()
PLANTED = {GITHUB, INSTALLATION, DEVOPS, DEVOPS_HEADER, HOOK, HOOK_SECRET, PASSWORD, SIGNING, STORAGE_KEY, VAULT_TOKEN}
PLANTED |= set(APP_KEY.splitlines()[1:-1])
SINKS = (
    {"plugin": "github", "repository": "acme/results"},
    {"plugin": "azure_devops", "organization": "acme", "project": "lab", "repository": "results"},
    {"plugin": "sql", "connection": "warehouse"},
    {"plugin": "webhook", "address": "team"},
    {"plugin": "folder"},
)
FAILURES = ("500", "429", "403", "silent", "refused")


class Failing:
    """Answers everything with one status, and repeats what it was told; grants an app its token before."""

    def __init__(self, failure: str) -> None:
        self.failure, self.heard = failure, list[str]()

    async def answer(self, request: web.Request) -> web.Response:
        told = " ".join((request.path, *request.headers.values()))
        self.heard.append(told)
        if request.path.endswith("/access_tokens"):
            return web.json_response({"token": INSTALLATION, "expires_at": "2999-01-01T00:00:00Z"}, status=201)
        if self.failure == "silent":
            await asyncio.sleep(60)
        bare = " ".join(one.partition(" ")[2] or one for one in request.headers.values())
        headers = {"Retry-After": "0", "X-Accepted-GitHub-Permissions": bare[:100]}
        message = f"{bare} {told}" if len(bare) < 150 else told
        return web.json_response({"message": message}, status=int(self.failure), headers=headers)


@asynccontextmanager
async def failing(failure: str) -> AsyncIterator[tuple[Failing, str]]:
    """The service and its address; for `refused` one where nobody listens."""
    service, app = Failing(failure), web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    if failure == "refused":
        await runner.cleanup()
    try:
        yield service, address
    finally:
        await runner.cleanup()


@pytest.fixture
def log(restored_logging: None) -> io.StringIO:
    """Everything that this process logs, down to DEBUG, as the product sets its log up."""
    stream = io.StringIO()
    log_as_json(stream)
    for logger in (logging.getLogger(), logging.getLogger(LOGGER)):
        logger.setLevel(logging.DEBUG)
    return stream


@pytest.fixture
async def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vault]:
    """A vault that the runtime reaches."""
    keys = {"signing": [ec.generate_private_key(ec.SECP256R1())]}
    async with served(Vault(secrets={"app-key": APP_KEY, "hook": HOOK}, keys=keys), tmp_path) as vault:
        reached = partial(KeyVaultSecrets, **vault.options)
        monkeypatch.setattr(assay.vault, "KeyVaultSecrets", reached)
        monkeypatch.setattr(KeyVaultSigner, "open", partial(KeyVaultSigner.open, **vault.options))
        yield vault


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries as often as ever, without waiting."""
    monkeypatch.setattr(http, "_FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(http, "_TIMEOUT_SECONDS", 0.1)


def environment(service: str, folder: Path, **more: str) -> dict[str, str]:
    hooks = {"team": {"url": f"{service}/{HOOK}", "secret": HOOK_SECRET}}
    return {
        "ASSAY_STORAGE": f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={STORAGE_KEY}",
        "ASSAY_GITHUB_API": service,
        "ASSAY_DEVOPS_URL": service,
        "ASSAY_DEVOPS_TOKEN": DEVOPS,
        "ASSAY_WEBHOOKS": json.dumps(hooks),
        "ASSAY_CONNECTIONS": json.dumps({"warehouse": f"postgresql+psycopg://sink:{PASSWORD}@127.0.0.1:9/results"}),
        "ASSAY_RESULTS_FOLDER": str(folder / "a-file"),
        **more,
    }


def opened(variables: dict[str, str], storage: MemoryStorage) -> Runtime:
    made = Runtime(Settings.load(variables))
    made.__dict__["storage"], made.__dict__["_credential"] = storage, FixedCredential()
    redact_logs(made.redactor.redact)
    return made


def leaked(text: str) -> set[str]:
    """What of the planted stands in a text, as it is or as JSON writes it."""
    return {one for one in PLANTED if one in text or json.dumps(one)[1:-1] in text}


async def everything_said(made: Runtime, storage: MemoryStorage, log: io.StringIO) -> str:
    written = await blobs(storage, "runs/", "bundles/", "quarantine/")
    shown = [one.model_dump_json() for one in await made.publishing.deliveries(ID)]
    texts = [path + content.decode("utf-8", "replace") for path, content in written.items()]
    return "\n".join([*texts, *shown, str(await made.runs()), log.getvalue()])


@pytest.mark.parametrize("failure", FAILURES)
async def test_tokens_and_shared_secrets_stay_inside(failure, tmp_path, monkeypatch, log) -> None:
    """Every sink but the own container fails, and says why."""
    quick(monkeypatch)
    (tmp_path / "a-file").write_text("in the way of the folder")
    storage = await ended_run(*SINKS)
    async with failing(failure) as (service, address):
        variables = environment(address, tmp_path, ASSAY_GITHUB_TOKEN=GITHUB, ASSAY_SIGNING_SECRET=SIGNING)
        made = opened(variables, storage)
        await made.publishing.seal(ID)
        await made.publishing.preview(ID)
        await made.publishing.publish(ID)
        said = await everything_said(made, storage, log)
    assert leaked(said) == set()
    deliveries = {one.sink: one.problem for one in await made.publishing.deliveries(ID)}
    assert {name for name, problem in deliveries.items() if not problem} == {"blob"}
    assert len(deliveries) == len(SINKS) + 1
    if failure != "refused":
        assert {GITHUB, DEVOPS_HEADER, HOOK} <= leaked(" ".join(service.heard))


@pytest.mark.parametrize("failure", FAILURES)
async def test_what_the_vault_and_an_app_give_stays_inside(failure, tmp_path, monkeypatch, log, vault) -> None:
    """An app's private key, its tokens, the vault's own token, a webhook's address from the vault."""
    quick(monkeypatch)
    (tmp_path / "a-file").write_text("in the way of the folder")
    storage = await ended_run(*SINKS)
    app = {"app_id": "1", "installation_id": "2", "private_key": "keyvault:app-key"}
    async with failing(failure) as (service, address):
        variables = environment(
            address,
            tmp_path,
            KEY_VAULT_URI=vault.url,
            ASSAY_GITHUB_APP=json.dumps(app),
            ASSAY_SIGNING_KEY=f"{vault.url}/keys/signing",
        )
        made = opened({name: one for name, one in variables.items() if name != "ASSAY_DEVOPS_TOKEN"}, storage)
        await made.publishing.seal(ID)
        await made.publishing.publish(ID)
        vault.status_of |= {"app-key": 403, "signing/sign": 500, "signing": 403}
        with pytest.raises(AssayError) as refused:
            await made.publishing.seal(ID)
        said = f"{refused.value} {await everything_said(made, storage, log)}"
    assert leaked(said) == set()
    assert len(await made.publishing.deliveries(ID)) == len(SINKS) + 1
    if failure != "refused":
        assert {INSTALLATION, VAULT_TOKEN} <= leaked(" ".join(service.heard))
