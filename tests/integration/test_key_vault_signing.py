"""Signing with a key in Key Vault, through the real SDK, against a stand-in over HTTPS; OpenSSL checks the result."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from vault import TOKEN, FixedCredential, Vault, served

from assay.errors import ServiceError, UserError
from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.key_vault import KeyVaultSigner, read_public_key
from assay.provenance.verification import verify_bundle


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[Vault]:
    keys = {
        "signing": [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)],
        "other-curve": [ec.generate_private_key(ec.SECP384R1())],
    }
    async with served(Vault(keys=keys), tmp_path) as vault:
        yield vault


async def opened(vault: Vault, key: str = "signing") -> KeyVaultSigner:
    return await KeyVaultSigner.open(f"{vault.url}/keys/{key}", FixedCredential(), **vault.options)


def filled(folder: Path) -> Path:
    folder.mkdir()
    (folder / "results.csv").write_bytes(b"id,score\n1,0.5\n")
    return folder


async def test_a_sealed_bundle_verifies_with_openssl(vault: Vault, tmp_path: Path) -> None:
    """The vault's r and s become DER, which every tool reads."""
    signer, bundle = await opened(vault), filled(tmp_path / "bundle")
    await seal_folder(bundle, Statement("r1", "2026-01-02T03:04:05Z", {}), signer)
    await signer.close()
    command = "openssl dgst -sha256 -verify signer.pub -signature manifest.json.sig manifest.json"
    checked = await asyncio.to_thread(subprocess.check_output, command.split(), cwd=bundle)
    assert checked.strip() == b"Verified OK"
    assert verify_bundle(
        bundle, await read_public_key(f"{vault.url}/keys/signing", FixedCredential(), **vault.options)
    ).ok


async def test_the_key_is_pinned_to_its_version(vault: Vault) -> None:
    """A rotation during a run does not change who signs; the id says which version it was."""
    signer = await opened(vault)
    vault.keys["signing"].append(ec.generate_private_key(ec.SECP256R1()))
    await signer.sign(b"payload")
    await signer.close()
    assert signer.key_id == f"{vault.url}/keys/signing/v2"


async def test_an_older_version_can_be_named(vault: Vault) -> None:
    """As when a rotation is taken back."""
    signer = await opened(vault, "signing/v1")
    await signer.close()
    assert signer.key_id.endswith("/signing/v1")


@pytest.mark.parametrize("key", ["missing", "signing/v9"])
async def test_a_missing_key_is_the_users_to_fix(vault: Vault, key: str) -> None:
    """The error names the key."""
    with pytest.raises(UserError, match=f"there is no key .*{key}"):
        await opened(vault, key)


async def test_another_curve_is_refused(vault: Vault) -> None:
    """Seals are P-256."""
    with pytest.raises(UserError, match="P-384; expected EC on P-256"):
        await opened(vault, "other-curve")


async def test_an_address_that_is_no_keys_is_refused(vault: Vault) -> None:
    """Before anything is asked."""
    with pytest.raises(UserError, match="expected the address of a key"):
        await KeyVaultSigner.open(f"{vault.url}/secrets/signing", FixedCredential(), **vault.options)
    assert vault.requests == []


@pytest.mark.parametrize(
    ("status", "kind", "words"), [(403, UserError, "Crypto User"), (500, ServiceError, "HTTP 500")]
)
async def test_a_refused_signature_says_what_to_do(
    vault: Vault, status: int, kind: type[Exception], words: str
) -> None:
    """A missing role is the user's to give; a vault in trouble may recover."""
    signer = await opened(vault)
    vault.status_of["signing/sign"] = status
    with pytest.raises(kind, match=words) as caught:
        await signer.sign(b"payload")
    await signer.close()
    assert TOKEN not in str(caught.value)
