"""A storage account without a key in the settings, as in Azure: what a process needs to reach it by its identity."""

from __future__ import annotations

from assay.local.azurite import Azurite
from stand_ins.managed_identity import CLIENT_ID


def keyless_settings(azurite: Azurite) -> dict[str, str]:
    """The settings that infra/modules/app.bicep gives the app for storage, for this emulator."""
    return {
        "ASSAY_STORAGE__blobServiceUri": azurite.blob_url,
        "ASSAY_STORAGE__queueServiceUri": azurite.queue_url,
        "ASSAY_STORAGE__credential": "managedidentity",
        "ASSAY_STORAGE__clientId": CLIENT_ID,
    }
