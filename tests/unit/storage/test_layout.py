"""Names of blobs that are not made of names alone."""

from __future__ import annotations

import pytest

from assay.storage import layout


@pytest.mark.parametrize(
    "deployment", ["gpt-4o-mini", "gpt-4.1@west", "meta-llama/Llama-3.1-8B@home", "qwen3:8b@local"]
)
def test_the_name_of_a_quota_tells_its_deployment(deployment: str) -> None:
    """Names with slashes are one part of it, as endpoints are another."""
    name = layout.quota_of(deployment)
    assert layout.deployment_of(name) == deployment
    assert name.count("/") == deployment.count("@")
