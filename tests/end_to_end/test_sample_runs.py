"""Every sample of config/ as a whole run, all on one site: its outcomes, its bundle, and what its README promises."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.cli.datasets import only_dataset
from assay.local.emulator_config import granted_quota
from assay.local.stack import project_root
from assay.orchestration.drops import drop_file, fetch_bundle, upload_suite
from assay.planning.programs import has_code
from assay.provenance.verification import verify_bundle
from assay.runtime import Runtime

from .site import Site, finished, running_site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SAMPLES = {path.parent.name: path.parent for path in sorted((project_root() / "config").glob("*/suite.yaml"))}
PROMISE = "what the run should say"
NOTICES = 40


@dataclass(frozen=True)
class Ended:
    """A sample's run, and where its bundle was fetched to."""

    progress: dict[str, Any]
    bundle: Path

    @property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.bundle / "summary.json").read_text(encoding="utf-8")))

    @property
    def results(self) -> list[dict[str, str]]:
        with (self.bundle / "results.csv").open(encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))


@dataclass(frozen=True)
class Samples:
    """The site on which the runs of all samples are under way."""

    site: Site
    runs: dict[str, str]
    folder: Path

    def ended(self, name: str) -> Ended:
        """Waits for the run of a sample and fetches its bundle, once."""
        bundle = self.folder / name

        async def wait(runtime: Runtime) -> dict[str, Any]:
            progress = await finished(runtime, self.runs[name], seconds=500)
            if not bundle.exists():
                await fetch_bundle(runtime.storage, self.runs[name], bundle)
            return progress.model_dump(mode="json")

        return Ended(self.site.ask(wait), bundle)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """Drops every sample's dataset at once: their runs share the workers, as they would in Azure."""
    folder = tmp_path_factory.mktemp("samples")
    scripts = [one / "emulator.yaml" for one in SAMPLES.values()]
    code = os.pathsep.join(str(one) for one in SAMPLES.values() if has_code(one))

    async def drop_all(runtime: Runtime) -> dict[str, str]:
        runs = {}
        for name, one in SAMPLES.items():
            await upload_suite(runtime.storage, one, environment={}, code_folders=tuple)
            runs[name] = (await drop_file(runtime.storage, name, only_dataset(one))).run
        return runs

    granted = json.dumps(granted_quota(scripts))
    with running_site(folder / "home", *scripts, workers=2, ASSAY_CODE=code, ASSAY_QUOTA=granted) as site:
        runs = site.ask(drop_all)
        site.start_host()
        yield Samples(site, runs, folder)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_ends_with_an_outcome_for_every_trial_and_the_verdicts_that_its_readme_promises(
    samples: Samples, name: str
) -> None:
    """What stands in the README is what users compare their first run with."""
    ended = samples.ended(name)
    summary, tally = ended.summary, ended.progress["tally"]

    assert tally["trials"] == ended.progress["trials_total"]
    assert verify_bundle(ended.bundle, (ended.bundle / "signer.pub").read_bytes()).ok
    trials = {(row["experiment"], row["row"], row.get("repeat", "0")) for row in ended.results}
    assert len(trials) == len(ended.results) == summary["run"]["trials"]
    assert tally["trials"] == len(trials) + ended.progress["judged_total"]
    promised = _promised(SAMPLES[name] / "README.md")
    assert promised == _verdicts(summary)
    report = (ended.bundle / "report.md").read_text(encoding="utf-8").replace("\\", "")
    assert all(f"| {variant} | " in report and f" {verdict} |" in report for variant, verdict in promised.items())


def test_judges_of_a_sample_give_scores_agreement_and_cost_and_keep_their_quota(samples: Samples) -> None:
    """Answers and judgements of one run, through real queues; the judge's deployment is never asked too fast."""
    ended = samples.ended("summaries")
    asked = [one for one in samples.site.model_requests() if one.get("deployment") == "gpt-5.4"]

    assert ended.progress["judged_total"] == 3 * NOTICES
    assert {name: tally["trials"] for name, tally in ended.progress["by_judgement"].items()} == {
        "helpfulness~plain": NOTICES,
        "helpfulness~steps": NOTICES,
        "preferred~steps": NOTICES,
    }
    assert ended.progress["trials_total"] == 5 * NOTICES
    _check_scores(ended.summary)
    _check_judges(ended.summary)
    assert len(asked) >= 4 * NOTICES
    assert Counter(one["status"] for one in asked if one.get("status"))[429] == 0


def test_a_program_of_a_sample_makes_a_second_call_for_every_row(samples: Samples) -> None:
    """Its code came along; the answers hold what the function returned."""
    ended = samples.ended("ticket-program")
    with (ended.bundle / "results.jsonl").open(encoding="utf-8") as lines:
        outcomes = [json.loads(line) for line in lines]

    calls = Counter((one["experiment"], len(one["responses"][0]["attempts"])) for one in outcomes)
    assert {experiment for experiment, made in calls if made < 2} == {"plain"}
    checked = [one["responses"][0]["text"] for one in outcomes if one["experiment"] == "checked"]
    assert len(checked) == 60
    assert all({"queue", "first", "changed"} == json.loads(text).keys() for text in checked)


def test_repeats_of_a_sample_are_alike_at_temperature_0_and_vary_above(samples: Samples) -> None:
    """Each is a trial of its own; comparisons are over rows in groups."""
    ended = samples.ended("model-matrix")
    answers: dict[tuple[str, str], list[str]] = {}
    for row in ended.results:
        answers.setdefault((row["experiment"], row["row"]), []).append(row["answer.answer"])

    assert {len(repeats) for repeats in answers.values()} == {3}
    varied = Counter(experiment for (experiment, _), repeats in answers.items() if len(set(repeats)) > 1)
    assert varied and all("-t0_8-" in experiment for experiment in varied)
    assert {one["result"]["test"] for one in ended.summary["comparisons"]} == {"clustered t-test"}


def _promised(readme: Path) -> dict[str, str]:
    """The verdict of each variant, by the README's table with the column `what the run should say`."""
    found = {}
    lines = readme.read_text(encoding="utf-8").split("\n\n")
    (table,) = [one.splitlines() for one in lines if one.partition("\n")[0].endswith(f"| {PROMISE} |")]
    for line in table[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[-1] != "the baseline":
            found[cells[0].strip("`")] = cells[-1].partition(",")[0]
    return found


def _verdicts(summary: dict[str, Any]) -> dict[str, str]:
    return {one["variant"]: one["result"]["verdict"] for one in summary["comparisons"] if one["primary"]}


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
    assert (grades["deployment"], pairs["plugin"]) == ("gpt-5.4", "pairwise_judge")
    assert grades["agreement"]["n"] == 2 * NOTICES and grades["agreement"]["kappa"]["estimate"] > 0.5
    assert pairs["agreement"]["weights"] == "none" and pairs["agreement"]["n"] == NOTICES
    positions = pairs["experiments"][0]["positions"]
    assert positions["pairs"] == NOTICES and 0 <= positions["flipped"]["estimate"] < 0.5
    judging = sum(float(one["money"]["spent_usd"]) for one in summary["judges"])
    asking = sum(float(one["cost_usd"]) for one in summary["experiments"])
    assert judging > asking > 0
    assert float(summary["money"]["spent_usd"]) == pytest.approx(judging + asking)
