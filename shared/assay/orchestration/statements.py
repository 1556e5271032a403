"""What the seal of a bundle says of it: where the results come from, and how far they may go. The seal step asks."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from assay.provenance.bundle import Statement
from assay.run_records import Plan, RunHeader
from assay.storage.bundle_names import SUITE_FILE, SUMMARY
from assay.suite.models import Suite
from assay.suite.redacted_views import Treatment, View


def bundle_statement(
    header: RunHeader, suite: Suite, plan: Plan, folder: Path, host: str, finished: datetime
) -> Statement:
    """Of a run's whole bundle, whose files are in `folder`. `finished` is now, when it is sealed."""
    return Statement(
        run=header.run,
        created=header.created_at.isoformat(),
        provenance={**_provenance(header, plan), **_answered(folder), "host": host or "local"},
        level=suite.bundle_level,
        levels={SUITE_FILE: suite.level},
        finished=finished.isoformat(),
    )


def view_statement(
    whole: Statement, manifest_sha256: str, view: View, columns: Mapping[str, Treatment], folder: Path
) -> Statement:
    """Of a view in `folder`, made of the bundle with this statement and manifest."""
    made = {"name": view.name, "of": manifest_sha256, "columns": dict(columns)}
    experiments = [name for name in whole.provenance["experiments"] if name in view.experiments]
    some = {"experiments": experiments, "trials": _summary(folder)["run"]["trials"]} if experiments else {}
    return Statement(
        run=whole.run,
        created=whole.created,
        provenance={**whole.provenance, **_answered(folder), **some, "view": made},
        level=view.level,
        levels={SUITE_FILE: whole.levels[SUITE_FILE]},
        finished=whole.finished,
    )


def _provenance(header: RunHeader, plan: Plan) -> dict[str, Any]:
    """What the manifest says of where the results come from."""
    dataset = header.dataset
    return {
        "suite": {"name": header.suite_name, "sha256": header.suite_sha256},
        "dataset": {"file": dataset.file, "sha256": dataset.sha256, "size": dataset.size, "etag": dataset.etag},
        "seed": header.seed,
        "rows": plan.rows,
        "bad_rows": plan.bad_rows,
        "trials": plan.trials,
        "experiments": list(plan.experiments),
        "versions": dict(header.versions),
    }


def _answered(folder: Path) -> dict[str, Any]:
    """Which models answered or judged, how often, and of which day the prices are: as the summary has it."""
    try:
        summary = _summary(folder)
    except (OSError, ValueError):
        return {}
    models: dict[str, int] = {}
    for asked in (*summary.get("experiments", []), *summary.get("judges", [])):
        for name, answers in asked.get("models", {}).items():
            models[name] = models.get(name, 0) + int(answers)
    return {"models": dict(sorted(models.items())), "prices": summary.get("prices", {}).get("as_of")}


def _summary(folder: Path) -> Mapping[str, Any]:
    summary: Mapping[str, Any] = json.loads((folder / SUMMARY).read_bytes())
    return summary
