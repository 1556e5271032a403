"""A whole run without a key of the storage account anywhere: host, workers and commands use a managed identity."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.local.azurite import Azurite
from assay.local.stack import KEY_FILE, StackOptions, emulator_command, running_child
from keyless import keyless_settings
from stand_ins.managed_identity import ManagedIdentity

from .site import KEY, QUICK_QUEUES, Site
from .small_suite import rows, write_emulator, write_suite

pytestmark = [pytest.mark.azurite, pytest.mark.slow]

ROWS = 8


@pytest.fixture
def site(keyless_azurite: Azurite, managed_identity: ManagedIdentity, tmp_path: Path) -> Iterator[Site]:
    """A site whose processes know addresses, an identity and whom to trust, but no connection string."""
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    options = StackOptions(
        home=home,
        workers=1,
        emulators=(write_emulator(tmp_path, ROWS, median_ms=5),),
        message_lease_seconds=5,
        known_deployments_only=True,
    )
    with running_child(home, "emulator", emulator_command(options, KEY), {}) as (_, port):
        openai = f"http://127.0.0.1:{port}"
        settings = {
            **keyless_settings(keyless_azurite),
            **managed_identity.environment,
            **QUICK_QUEUES,
            "SSL_CERT_FILE": str(keyless_azurite.certificate),
            "AZURE_OPENAI_ENDPOINT": openai,
            "AZURE_OPENAI_API_KEY": KEY,
            "ASSAY_SIGNING_KEY_FILE": str((home / KEY_FILE).resolve()),
        }
        site = Site(home, "", openai, options, settings)
        try:
            yield site
        finally:
            site.stop_host()


def test_a_run_needs_no_key_of_the_storage_account(
    site: Site, managed_identity: ManagedIdentity, tmp_path: Path
) -> None:
    """Blob and queue triggers, workers, the command line: from the drop to a bundle that verifies."""
    dropped = tmp_path / "things.csv"
    dropped.write_text(rows(ROWS), encoding="utf-8")
    site.start_host()
    site.assay("deploy", str(write_suite(tmp_path / "colours")))

    run = json.loads(site.assay("submit", str(dropped), "--suite", "colours", "--watch", "--json").stdout)["run"]
    site.assay("fetch", run, "--to", str(tmp_path / "bundle"))

    assert site.assay("verify", str(tmp_path / "bundle")).returncode == 0
    assert set(managed_identity.resources) == {"https://storage.azure.com"}
    assert "AccountKey" not in json.dumps(site.environment)
