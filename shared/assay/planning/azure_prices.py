"""What Azure asks for infrastructure: the dated list prices in `azure_prices.yaml` beside this file.

Called by the estimate of the infrastructure; the models' prices are in `llm/pricing.py`.
"""

from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

AZURE_PRICES = Path(__file__).with_name("azure_prices.yaml")

Redundancy = Literal["LRS", "ZRS"]
Usd = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]


class StoragePrices(BaseModel):
    """Block blobs in the hot tier: USD per 10,000 operations, and per GB and month."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    write: Usd
    listing: Usd
    read: Usd
    gb_month: Usd


class AzurePrices(BaseModel):
    """List prices of one region in USD. `queue_operation` is for 10,000."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    region: str
    source: str
    storage: dict[Redundancy, StoragePrices]
    queue_operation: Usd
    vcpu_second: Usd
    idle_vcpu_second: Usd
    gib_second: Usd
    log_gb: Usd
    registry_day: Usd


@cache
def load_azure_prices() -> AzurePrices:
    """Our own list prices; read once per process."""
    return AzurePrices.model_validate(yaml.safe_load(AZURE_PRICES.read_text(encoding="utf-8")))
