"""What a process learns from its environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential
from pydantic import SecretStr, ValidationError

from assay.errors import UserError
from assay.settings import Settings
from assay.vault import resolve

KEY = "7e57-0000-confidential"
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY};EndpointSuffix=core.windows.net"
ADDRESSES = {
    "ASSAY_STORAGE__blobServiceUri": "https://a.blob.core.windows.net/",
    "ASSAY_STORAGE__queueServiceUri": "https://a.queue.core.windows.net",
}


class KnownSecrets:
    def __init__(self, **known: str) -> None:
        self.known = known

    async def get(self, name: str) -> str:
        return self.known[name]


def test_nothing_set_gives_the_defaults() -> None:
    """Every variable has a default or may be missing."""
    settings = Settings.load({})

    assert settings.worker_concurrency == 64
    assert settings.checkpoint_seconds == 0.2
    assert settings.max_file_bytes == 2 * 1024**3
    assert settings.history_days == 30
    assert settings.limiter == "blob_lease"
    assert settings.azure_openai_api_version == "v1"
    assert settings.azure_openai_endpoint is None


def test_variables_are_read_under_their_names() -> None:
    """Each name of the documentation reaches its setting."""
    settings = Settings.load(
        {
            "ASSAY_STORAGE": CONNECTION,
            "AZURE_OPENAI_ENDPOINT": "https://models.example/",
            "AZURE_OPENAI_API_KEY": KEY,
            "AZURE_OPENAI_API_VERSION": "2030-01-01",
            "AZURE_CLIENT_ID": "client",
            "KEY_VAULT_URI": "https://vault.example/",
            "ASSAY_WORKER_CONCURRENCY": "8",
            "ASSAY_CHECKPOINT_SECONDS": "1.5",
            "ASSAY_QUEUE_DEPTH": "12",
            "ASSAY_LIMITER": "none",
            "ASSAY_SIGNING_KEY_FILE": "keys/signing.pem",
            "ASSAY_MAX_FILE_BYTES": "1000",
            "ASSAY_HISTORY_DAYS": "7",
            "ASSAY_LOG_LEVEL": "debug",
            "ASSAY_GIT_SHA": "abc",
            "ASSAY_IMAGE_DIGEST": "sha256:1",
        }
    )

    assert settings.storage_connection_string == SecretStr(CONNECTION)
    assert settings.azure_openai_endpoint == "https://models.example"
    assert settings.azure_openai_api_key == SecretStr(KEY)
    assert settings.key_vault_url == "https://vault.example"
    assert (settings.azure_openai_api_version, settings.azure_client_id) == ("2030-01-01", "client")
    assert (settings.worker_concurrency, settings.checkpoint_seconds, settings.queue_depth) == (8, 1.5, 12)
    assert (settings.limiter, settings.signing_key_file) == ("none", Path("keys/signing.pem"))
    assert (settings.max_file_bytes, settings.history_days, settings.log_level) == (1000, 7, "DEBUG")
    assert (settings.git_sha, settings.image_digest) == ("abc", "sha256:1")


def test_storage_is_named_as_the_functions_host_names_it() -> None:
    """The same app settings serve the host's triggers and this code."""
    settings = Settings.load(
        {**ADDRESSES, "ASSAY_STORAGE__clientId": "client", "ASSAY_STORAGE__credential": "managedidentity"}
    )

    assert settings.blob_url == "https://a.blob.core.windows.net"
    assert settings.queue_url == "https://a.queue.core.windows.net"
    assert (settings.storage_client_id, settings.storage_credential) == ("client", "managedidentity")


def test_the_case_of_names_does_not_matter() -> None:
    """Some systems write all variables in capitals."""
    assert Settings.load({name.upper(): text for name, text in ADDRESSES.items()}) == Settings.load(ADDRESSES)


def test_a_variable_without_text_counts_as_missing() -> None:
    """Container platforms set empty variables where nothing was given."""
    assert Settings.load({"ASSAY_WORKER_CONCURRENCY": "", "AZURE_OPENAI_API_KEY": ""}) == Settings()


def test_a_given_environment_stands_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the process's variables nor `.env` are mixed in."""
    monkeypatch.setenv("ASSAY_WORKER_CONCURRENCY", "3")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("ASSAY_HISTORY_DAYS=4\n")

    assert Settings.load({}) == Settings()


def test_the_environment_comes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.env` of the current folder fills what the environment leaves open; comments and other names are ignored."""
    monkeypatch.setenv("ASSAY_WORKER_CONCURRENCY", "3")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        "# local\nASSAY_WORKER_CONCURRENCY=5\nASSAY_HISTORY_DAYS=4\nOTHER=x\n"
        f'ASSAY_STORAGE="{CONNECTION}"\nASSAY_LIMITER=\n'
    )

    settings = Settings.load()

    assert (settings.worker_concurrency, settings.history_days) == (3, 4)
    assert settings.storage_connection_string == SecretStr(CONNECTION)
    assert settings.limiter == "blob_lease"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ASSAY_WORKER_CONCURRENCY", "many", "is 'many'; expected a whole number from 1 to 4096"),
        ("ASSAY_WORKER_CONCURRENCY", "0", "is '0'; expected a whole number from 1 to 4096"),
        ("ASSAY_CHECKPOINT_SECONDS", "-1", "is '-1'; expected seconds from 0 to 60"),
        ("ASSAY_QUEUE_DEPTH", "1001", "is '1001'; expected a whole number from 1 to 1000"),
        ("ASSAY_LIMITER", "redis", "is 'redis'; expected 'blob_lease', 'window', 'adaptive' or 'none'"),
        ("ASSAY_MAX_FILE_BYTES", "2 GB", "is '2 GB'; expected a whole number of bytes, 1 or more"),
        ("ASSAY_LOG_LEVEL", "loud", "is 'LOUD'; expected 'debug', 'info', 'warning' or 'error'"),
        ("ASSAY_STORAGE__credential", "password", "is 'password'; expected 'managedidentity'"),
        ("AZURE_OPENAI_ENDPOINT", "http://models.example", "is 'http://models.example'; expected an https:// address"),
        ("KEY_VAULT_URI", "vault", "is 'vault'; expected an https:// address"),
        ("ASSAY_STORAGE", "somewhere", "is something else, not shown here; expected a storage connection string"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(variable: str, value: str, message: str) -> None:
    """Variable, found, expected: enough to mend it without the manual."""
    with pytest.raises(UserError) as caught:
        Settings.load({variable: value})
    assert str(caught.value).startswith(f"{variable} {message}")


def test_all_wrong_values_are_named_at_once() -> None:
    """One line each."""
    with pytest.raises(UserError) as caught:
        Settings.load({"ASSAY_WORKER_CONCURRENCY": "many", "ASSAY_LIMITER": "redis"})
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["ASSAY_WORKER_CONCURRENCY", "ASSAY_LIMITER"]


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ASSAY_STORAGE": CONNECTION, **ADDRESSES}, "ASSAY_STORAGE and ASSAY_STORAGE__blobServiceUri or"),
        ({"ASSAY_STORAGE__blobServiceUri": "https://a"}, "ASSAY_STORAGE__queueServiceUri is not set"),
        ({"ASSAY_STORAGE__queueServiceUri": "https://a"}, "ASSAY_STORAGE__blobServiceUri is not set"),
        ({"AZURE_OPENAI_API_KEY": "keyvault:openai"}, "KEY_VAULT_URI is not set"),
        ({"AZURE_OPENAI_API_KEY": "keyvault:", "KEY_VAULT_URI": "https://v"}, "AZURE_OPENAI_API_KEY begins with"),
        ({"AZURE_OPENAI_API_KEY": "keyvault:a/b", "KEY_VAULT_URI": "https://v"}, "AZURE_OPENAI_API_KEY begins with"),
    ],
)
def test_values_that_do_not_go_together_are_refused(environ: dict[str, str], message: str) -> None:
    """What is ambiguous or incomplete stops at the start, not at the first request."""
    with pytest.raises(UserError) as caught:
        Settings.load(environ)
    assert str(caught.value).startswith(message)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8080/openai", "http://localhost:1", "http://[::1]:9", "https://a.example/b"]
)
def test_plain_http_stays_on_the_machine(address: str) -> None:
    """An emulator needs no certificate; everything else does."""
    assert Settings.load({"AZURE_OPENAI_ENDPOINT": address}).azure_openai_endpoint == address


@pytest.mark.parametrize("address", ["https://user:pw@a.example", "https://a.example/?sig=pw", "http://localhost.evil"])
def test_an_address_holds_no_secrets(address: str) -> None:
    """User names and signatures are refused, and not repeated."""
    with pytest.raises(UserError) as caught:
        Settings.load({"AZURE_OPENAI_ENDPOINT": address})
    assert "pw" not in str(caught.value)


def test_missing_storage_is_reported_when_it_is_needed() -> None:
    """Commands that need no storage run without; the others say which variable to set."""
    with pytest.raises(UserError, match="ASSAY_STORAGE is not set"):
        _ = Settings().blob_url
    with pytest.raises(UserError, match="ASSAY_STORAGE is not set"):
        _ = Settings().queue_url


def test_settings_do_not_change() -> None:
    """What was read at the start holds for the process."""
    with pytest.raises(ValidationError):
        Settings().worker_concurrency = 1  # type: ignore[misc]


def test_secrets_are_not_shown() -> None:
    """Neither repr nor str nor JSON of the settings holds a key."""
    settings = Settings.load({"ASSAY_STORAGE": CONNECTION, "AZURE_OPENAI_API_KEY": KEY})

    for shown in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}"):
        assert KEY not in shown


async def test_a_plain_secret_is_its_own_text() -> None:
    """No vault is asked."""
    assert await resolve(SecretStr(KEY), None) == KEY


async def test_a_secret_in_a_vault_is_fetched_by_name() -> None:
    """`keyvault:<name>` stands for what the vault keeps."""
    assert await resolve(SecretStr("keyvault:openai"), KnownSecrets(openai=KEY)) == KEY


async def test_a_secret_in_a_vault_needs_the_vault() -> None:
    """Without one the error names the variable and the secret's name."""
    with pytest.raises(UserError, match="KEY_VAULT_URI is not set; expected the vault that keeps the secret 'openai'"):
        await resolve(SecretStr("keyvault:openai"), None)


async def test_the_credential_follows_the_settings() -> None:
    """`managedidentity` means that one and no other; otherwise the usual chain, as on a developer's machine."""
    named = Settings.load({**ADDRESSES, "ASSAY_STORAGE__credential": "managedidentity", "AZURE_CLIENT_ID": "client"})

    async with named.credential() as managed, Settings.load(ADDRESSES).credential() as usual:
        assert isinstance(managed, ManagedIdentityCredential)
        assert isinstance(usual, DefaultAzureCredential)


def test_importing_settings_loads_no_azure_sdk() -> None:
    """Every command pays for the import; most need no Azure."""
    code = "import sys, assay.settings; print([name for name in sys.modules if name.split('.')[0] == 'azure'])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


@pytest.mark.parametrize(
    "text", ['{"west": "https://a.example", "west": "https://b.example"}', "[" * 100_000, "{", "null", '{"W": "x"}']
)
def test_endpoints_that_cannot_be_told_apart_or_read_are_refused(text: str) -> None:
    """One of two addresses of the same name would be lost silently; and no text breaks the reader."""
    with pytest.raises(UserError, match="ASSAY_ENDPOINTS is something else, not shown here; expected JSON such as"):
        Settings.load({"ASSAY_ENDPOINTS": text})


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ({"kind": "opena", "url": "https://x"}, "kind: expected 'azure', 'openai', 'llama_cpp' or 'litellm'"),
        ({"kind": "openai"}, "'url' is missing; an endpoint of kind 'openai' needs its address"),
        ({"kind": "openai", "url": "http://x.example"}, "url: an https:// address"),
        ({"kind": "llama_cpp", "url": "https://x", "api_version": "1"}, "'api_version' is for the kind 'azure'"),
        ({"kind": "litellm"}, "'provider' is missing; LiteLLM needs one, such as anthropic"),
        ({"url": "https://x", "provider": "anthropic"}, "'provider' is for the kind 'litellm'"),
        ({"url": "https://x", "apikey": "s3cret"}, "apikey: unknown key; an endpoint has: kind, url, api_key"),
    ],
)
def test_a_wrong_endpoint_is_named_with_its_problem(endpoint: dict[str, str], problem: str) -> None:
    """By its name and key, without what stands there, which may be a secret."""
    with pytest.raises(UserError, match=r"^ASSAY_ENDPOINTS: west") as caught:
        Settings.load({"ASSAY_ENDPOINTS": json.dumps({"west": endpoint})})
    assert problem in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_code_folders_are_a_list_as_the_system_writes_lists() -> None:
    """Nothing unless the variable is set."""
    assert Settings.load({}).code_folders == ()
    found = Settings.load({"ASSAY_CODE": os.pathsep.join(["/a", "b/c", ""])})
    assert found.code_folders == (Path("/a"), Path("b/c"))
