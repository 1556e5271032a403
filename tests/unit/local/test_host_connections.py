"""How the local host finds the storage accounts of bindings: a connection string, or addresses and an identity."""

from __future__ import annotations

import pytest
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

from assay.errors import UserError
from assay.local import connections
from assay.local.connections import Connections

ADDRESSES = {
    "STORE__blobServiceUri": "https://one.blob.core.windows.net",
    "STORE__queueServiceUri": "https://one.queue.core.windows.net",
}


async def test_addresses_serve_in_place_of_a_connection_string() -> None:
    """One credential for both services, as the Functions host has it."""
    opened = Connections({**ADDRESSES, "STORE__credential": "managedidentity", "STORE__clientId": "one"})

    container, queue = opened.container("STORE", "inbox"), opened.queue("STORE", "trials")

    assert container.url == "https://one.blob.core.windows.net/inbox"
    assert queue.url == "https://one.queue.core.windows.net/trials"
    assert isinstance(container.credential, ManagedIdentityCredential)
    assert container.credential is queue.credential
    await opened.close()
    await opened.close()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (None, False)),
        ({"AZURE_CLIENT_ID": "app"}, ("app", False)),
        ({"STORE__clientId": "one", "AZURE_CLIENT_ID": "app", "STORE__credential": "managedidentity"}, ("one", True)),
    ],
)
async def test_the_connection_says_which_identity(
    settings: dict[str, str], expected: tuple[str | None, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own client id goes before the process's; without `credential` the usual chain is tried."""
    asked = []

    def credential(client_id: str | None, *, only_managed: bool) -> DefaultAzureCredential:
        asked.append((client_id, only_managed))
        return DefaultAzureCredential()

    monkeypatch.setattr(connections, "azure_credential", credential)
    opened = Connections({**ADDRESSES, **settings})

    opened.queue("STORE", "trials")

    assert asked == [expected]
    await opened.close()


@pytest.mark.parametrize("settings", [{}, {"STORE": ""}, {"STORE__blobServiceUri": ADDRESSES["STORE__blobServiceUri"]}])
def test_what_is_missing_is_named(settings: dict[str, str]) -> None:
    """Both ways to say it."""
    with pytest.raises(UserError, match=r"'STORE'.*neither it nor STORE__queueServiceUri"):
        Connections(settings).queue("STORE", "trials")
