"""What preflight says of a suite's sinks, with the line."""

import pytest

from assay.errors import SuiteError
from assay.planning.preflight import checked_suite

SUITE = """version: 1
name: triage
defaults: {{model: {{deployment: m}}}}
experiments:
  - {{name: plain, baseline: true, user: "{{{{ body }}}}"}}
  - {{name: other, user: "Please: {{{{ body }}}}"}}
sinks:
{sinks}
"""


def check(*sinks: str) -> None:
    checked_suite(SUITE.format(sinks="\n".join(f"  - {one}" for one in sinks)))


def test_all_kinds_can_stand_together() -> None:
    """Two of a kind by different names."""
    check(
        "{plugin: blob, archive: true}",
        "{plugin: folder, zip: true}",
        "{plugin: github, repository: acme/results, labels: [evaluation], clearance: public}",
        "{plugin: github, name: archive, repository: acme/archive, pull_request: false}",
        "{plugin: azure_devops, organization: acme, project: Lab work, repository: results}",
        "{plugin: sql, connection: warehouse, schema: lab, outcomes: false}",
        "{plugin: webhook, address: team, format: text}",
    )


def test_branches_and_folders_may_name_run_and_suite() -> None:
    """As the defaults do."""
    check("{plugin: github, repository: acme/results, branch: 'results/{run}', folder: '{suite}/{run}'}")


@pytest.mark.parametrize(
    ("sinks", "problem"),
    [
        (["{plugin: githup, repository: acme/results}"], "unknown sink 'githup' (did you mean 'github'?)"),
        (["{plugin: github}"], "sink 'github': option 'repository' is missing"),
        (["{plugin: github, repository: results}"], "option 'repository': found 'results'; expected owner/name"),
        (["{plugin: github, repository: acme/results, base: 'x/{run}'}"], "option 'base'"),
        (["{plugin: github, repository: acme/results, folder: 'x/{row}'}"], "option 'folder'"),
        (
            ["{plugin: github, repository: acme/results, lables: [a]}"],
            "unknown option 'lables' (did you mean 'labels'?)",
        ),
        (["{plugin: folder}", "{plugin: folder}"], "sink 'folder' stands twice"),
        (["{plugin: folder, clearance: secret}"], "option 'clearance'"),
        (["{plugin: folder, name: blob}"], "belongs to the run's own container"),
        (["{plugin: blob, name: mine}"], "keeps its name"),
        (["{plugin: github, repository: acme/results, branch: '../x'}"], "option 'branch'"),
        (["{plugin: github, repository: acme/results, folder: .github/workflows}"], "option 'folder'"),
    ],
)
def test_what_is_wrong_is_told_at_its_line(sinks: list[str], problem: str) -> None:
    """With what was meant, where that can be guessed."""
    with pytest.raises(SuiteError) as caught:
        check(*sinks)
    assert problem in str(caught.value) and "suite.yaml:" in str(caught.value)
