"""What the infrastructure of a run costs: the arithmetic, and the bound that is promised."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from assay.planning.azure_prices import AzurePrices, load_azure_prices
from assay.planning.infrastructure import Hosting, Load, appends_per_trial, cost_of, idle_month

COSTS = Path(__file__).parents[3] / "docs/azure-costs.md"
ROUND = AzurePrices.model_validate(
    {
        "as_of": date(2026, 1, 1),
        "region": "somewhere",
        "source": "a test",
        "storage": {"LRS": {"write": 100, "listing": 10, "read": 1, "gb_month": 1000}},
        "queue_operation": 1,
        "vcpu_second": 2,
        "idle_vcpu_second": 1,
        "gib_second": 1,
        "log_gb": 1000,
        "registry_day": 12,
    }
)
MILLION_ON_L = Load(trials=1_000_000, requests=1_000_000, chunks=2_001, hours=7.75, is_limited=True)


def test_operations_without_a_clock() -> None:
    """Per chunk 2.2 writes, 6.8 reads, 3.5 messages; a checkpoint for each trial but a chunk's last; one listing."""
    cost = cost_of(Load(10, 10, 2, None, is_limited=False), ROUND, Hosting(redundancy="LRS"))
    assert (cost.checkpoint_writes, cost.writes, cost.reads) == (8, 13, 14)
    assert (cost.listings, cost.queue_operations) == (1, 7)
    assert cost.operations_usd == Decimal("0.1331")  # (13 x 100 + 10 + 14 + 7) / 10,000
    assert cost.replica_seconds is None
    assert cost.compute_usd is None


def test_compute_is_replicas_for_all_of_the_time() -> None:
    """One replica for every four chunks, no more than there may be; a vCPU and two GiB each."""
    few = cost_of(Load(10, 10, 5, 1.0, is_limited=False), ROUND, Hosting(10, "LRS"))
    assert (few.replicas, few.replica_seconds, few.compute_usd) == (2, 7_200, Decimal(28_800))
    many = cost_of(Load(10, 10, 500, 1.0, is_limited=False), ROUND, Hosting(3, "LRS"))
    assert many.replicas == 3


def test_bytes_are_priced_by_the_gigabyte() -> None:
    """3,130 bytes kept and 20 bytes of telemetry a trial, 4,000 of telemetry a chunk."""
    cost = cost_of(Load(1_000_000, 1_000_000, 1, None, is_limited=False), ROUND, Hosting(redundancy="LRS"))
    assert cost.stored_gb == pytest.approx(3.13)
    assert cost.storage_month_usd == Decimal(3_130)
    assert cost.telemetry_gb == pytest.approx(0.020004)
    assert cost.usd_without_compute == cost.operations_usd + cost.storage_month_usd + cost.telemetry_usd


def test_checkpoints_are_shared_by_trials_that_end_together() -> None:
    """Two claimed chunks at 5 trials a second each, 0.2 s: one other comes meanwhile; never more than one a trial."""
    load = Load(36_000, 36_000, 2, 1.0, is_limited=True)
    assert appends_per_trial(load, 2, 0.2) == pytest.approx(0.5)
    assert appends_per_trial(load, 2, 0.0) == 1
    assert appends_per_trial(Load(10, 10, 1, None, is_limited=False), 1, 0.2) == 1


@pytest.mark.parametrize(
    "hosting", [Hosting(1, "ZRS"), Hosting(2, "ZRS"), Hosting(4, "LRS"), Hosting(10, "ZRS", checkpoint_seconds=2)]
)
def test_a_million_trials_on_a_large_quota_stay_below_5_usd(hosting: Hosting) -> None:
    """Without compute, at list prices: quota L, and where docs/azure-costs.md says that it holds."""
    assert cost_of(MILLION_ON_L, load_azure_prices(), hosting).usd_without_compute < 5


def test_a_million_trials_as_the_template_deploys_them_cost_less_than_5_usd() -> None:
    """Without compute, at the quota L: docs/azure-costs.md says so."""
    assert cost_of(MILLION_ON_L, load_azure_prices(), Hosting()).usd_without_compute < 5


def test_a_million_trials_on_ten_replicas_cost_more() -> None:
    """They hold forty chunks, so hardly any trials share a checkpoint write: docs/azure-costs.md says so."""
    assert 5 < cost_of(MILLION_ON_L, load_azure_prices(), Hosting(replicas=10)).usd_without_compute < 10


def test_smaller_messages_cost_more() -> None:
    """The figure follows `rows_per_message`: a million trials one at a time are a million chunks."""
    large = cost_of(MILLION_ON_L, load_azure_prices(), Hosting(redundancy="LRS"))
    single = Load(1_000_000, 1_000_000, 1_000_000, 7.75, is_limited=True)
    assert cost_of(single, load_azure_prices(), Hosting(redundancy="LRS")).operations_usd > 2 * large.operations_usd


def test_the_limiter_costs_by_the_clock_when_the_quota_is_small() -> None:
    """Shares are renewed whether or not there are many requests; without a limiter nothing is counted."""
    slow, free = (
        cost_of(Load(1, 1, 1, 10.0, is_limited=limited), ROUND, Hosting(redundancy="LRS")) for limited in (True, False)
    )
    assert slow.writes - free.writes == 13_000


def test_an_idle_month() -> None:
    """730 hours of a vCPU and two GiB, 5,400 polls an hour, 2.5 MB of telemetry an hour, a registry by the day."""
    idle = idle_month(ROUND)
    assert idle.compute_usd == 4 * 730 * 3_600
    assert idle.compute_if_idle_usd == 3 * 730 * 3_600
    assert idle.queue_polls_usd == Decimal("394.2")
    assert idle.telemetry_usd == 1_825
    assert idle.registry_usd == 365
    assert idle.total_usd == idle.compute_usd + idle.queue_polls_usd + idle.telemetry_usd + idle.registry_usd


def test_the_price_table_is_dated() -> None:
    """Prices without a date, a place and a source are worth nothing."""
    prices = load_azure_prices()
    assert prices.as_of >= date(2026, 1, 1)
    assert prices.region
    assert prices.source.startswith("https://")
    assert set(prices.storage) == {"LRS", "ZRS"}


def test_the_document_says_what_the_code_computes() -> None:
    """The table of quotas and replicas, and the idle month."""
    text, prices = COSTS.read_text(encoding="utf-8"), load_azure_prices()
    rows = re.findall(r"^\| ([LMS]) \| ([\d.]+) \| (\d+) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == 12
    for _, hours, replicas, said in rows:
        small = Load(100_000, 100_000, 549, float(hours) / 10, is_limited=True)
        large = Load(1_000_000, 1_000_000, 2_001, float(hours), is_limited=True)
        few, many = (cost_of(load, prices, Hosting(int(replicas))) for load in (small, large))
        local = cost_of(large, prices, Hosting(int(replicas), "LRS"))
        patient = cost_of(large, prices, Hosting(int(replicas), checkpoint_seconds=2))
        without = [one.usd_without_compute for one in (few, many, local, patient)]
        assert said.split(" | ") == [f"{usd:.2f}" for usd in (*without, few.compute_usd, many.compute_usd)]
    assert f"**{idle_month(prices).total_usd:.2f}**" in text
