"""What docs/models.md shows can be copied: its endpoints, and its prices."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

from assay.llm.pricing import load_prices
from assay.planning.preflight import checked_suite
from assay.settings import Settings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "models.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_suite_s_endpoints_are_those_of_the_settings(tmp_path: Path) -> None:
    """And what it says of prices is in the price table."""
    (settings,), (suite, prices) = blocks("json"), blocks("yaml")
    endpoints = Settings.load({"ASSAY_ENDPOINTS": settings}).endpoints
    assert set(endpoints) == set(json.loads(settings))
    assert {one.kind for one in endpoints.values()} == {"azure", "openai", "llama_cpp", "litellm"}
    models = checked_suite(suite).models
    named = {name.rpartition("@")[2] for model in models for name in model.deployments if "@" in name}
    assert named == set(endpoints)
    (tmp_path / "prices.yaml").write_text(prices, encoding="utf-8")
    table = load_prices(tmp_path / "prices.yaml")
    assert all(table.price(model.priced_as_of(model.deployment)) for model in models)
    free = table.price("free")
    assert free is not None and free.highest(10_000, 10_000) == Decimal(0)
