"""The sample with judges as a whole run: its scores, its agreement with people, and the quota of the judges' model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from assay.local.stack import project_root
from assay.orchestration.drops import drop_file, upload_suite
from assay.runtime import Runtime

from .site import finished, published, running_site

pytestmark = pytest.mark.timeout(240)
SAMPLE = project_root() / "config" / "summaries"
NOTICES = 40


def test_the_sample_with_judges_ends_with_their_scores_agreement_and_cost(tmp_path: Path) -> None:
    """Answers and judgements of one run, through real queues; the judge's deployment is never asked too fast."""
    with running_site(tmp_path / "home", SAMPLE / "emulator.yaml", workers=1) as site:
        site.start_host()
        summary, progress = site.ask(_run)
        asked = [one for one in site.model_requests() if one.get("deployment") == "gpt-4o"]

    assert progress["judged_total"] == 3 * NOTICES
    assert {name: tally["trials"] for name, tally in progress["by_judgement"].items()} == {
        "helpfulness~plain": NOTICES,
        "helpfulness~steps": NOTICES,
        "preferred~steps": NOTICES,
    }
    assert progress["trials_total"] == progress["tally"]["trials"] == 5 * NOTICES
    _check_scores(summary)
    _check_judges(summary)
    assert len(asked) >= 4 * NOTICES
    assert Counter(one["status"] for one in asked if one.get("status"))[429] == 0


async def _run(runtime: Runtime) -> tuple[dict[str, Any], dict[str, Any]]:
    await upload_suite(runtime.storage, SAMPLE)
    drop = await drop_file(runtime.storage, "summaries", SAMPLE / "notices.csv")
    progress = await finished(runtime, drop.run)
    return json.loads(await published(runtime, drop.run, "summary.json")), progress.model_dump(mode="json")


def _check_scores(summary: dict[str, Any]) -> None:
    plain, steps = summary["experiments"]
    assert steps["metrics"]["helpfulness"]["mean"] > plain["metrics"]["helpfulness"]["mean"]
    assert plain["metrics"]["preferred"]["n_trials"] == 0
    assert steps["metrics"]["preferred"]["n_scored"] == NOTICES
    helpfulness, preferred = summary["comparisons"]
    assert (helpfulness["score"], helpfulness["primary"], helpfulness["result"]["verdict"]) == (
        "helpfulness",
        True,
        "better",
    )
    assert (preferred["score"], preferred["result"]["test"]) == ("preferred", "sign test")
    assert preferred["result"]["variant_mean"] == pytest.approx(1 - preferred["result"]["baseline_mean"])


def _check_judges(summary: dict[str, Any]) -> None:
    grades, pairs = summary["judges"]
    assert (grades["deployment"], pairs["plugin"]) == ("gpt-4o", "pairwise_judge")
    assert grades["agreement"]["n"] == 2 * NOTICES and grades["agreement"]["kappa"]["estimate"] > 0.5
    assert pairs["agreement"]["weights"] == "none" and pairs["agreement"]["n"] == NOTICES
    positions = pairs["experiments"][0]["positions"]
    assert positions["pairs"] == NOTICES and 0 <= positions["flipped"]["estimate"] < 0.5
    judging = sum(float(one["money"]["spent_usd"]) for one in summary["judges"])
    asking = sum(float(one["cost_usd"]) for one in summary["experiments"])
    assert judging > asking > 0
    assert float(summary["money"]["spent_usd"]) == pytest.approx(judging + asking)
