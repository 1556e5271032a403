"""What every workflow keeps to: pinned actions, least rights, no stored secret, and the commands that people use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in FILES}
WORKFLOWS: dict[str, dict[Any, Any]] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
JOBS = [(name, job, stated) for name, flow in WORKFLOWS.items() for job, stated in flow["jobs"].items()]
STEPS = [(name, step) for name, _, job in JOBS for step in job["steps"]]
DELIVERY = [
    *FILES,
    ROOT / "Dockerfile",
    ROOT / "azure.yaml",
    *sorted((ROOT / "scripts" / "azure_deploy").glob("*.py")),
    *sorted((ROOT / "infra").rglob("*.bicep*")),
    *sorted((ROOT / "infra").glob("*.json")),
]


def test_every_action_is_pinned_by_commit_and_says_its_version() -> None:
    """A tag can be moved to other code; Dependabot reads the version behind the commit."""
    used = [line.split("uses:")[1].strip() for text in TEXTS.values() for line in text.splitlines() if "uses:" in line]

    assert used
    assert [one for one in used if not re.fullmatch(r"[\w-]+(/[\w-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []


def test_one_action_has_one_version() -> None:
    """Or a weakness that is mended in one workflow stays in another."""
    used = {match for text in TEXTS.values() for match in re.findall(r"uses: ([\w-]+/[\w-]+)\S*@([0-9a-f]{40})", text)}
    assert len(used) == len({action for action, _ in used})


@pytest.mark.parametrize(("name", "job", "stated"), JOBS)
def test_every_job_has_only_the_rights_that_it_names(name: str, job: str, stated: dict[str, Any]) -> None:
    """The workflow gives none; a job writes only where it says why."""
    assert WORKFLOWS[name]["permissions"] == {}
    assert isinstance(stated["permissions"], dict) and stated["timeout-minutes"] <= 60
    for right, level in stated["permissions"].items():
        assert level == "read" or re.search(rf"{right}: write # \w", TEXTS[name]), f"{name}: {job}: {right}"


def test_only_releasing_and_deploying_can_prove_who_they_are() -> None:
    """A pull request's code never gets a token that Azure, PyPI or Sigstore would believe."""
    with_identity = {name for name, _, job in JOBS if "id-token" in job["permissions"]}

    assert with_identity == {"deploy.yml", "release.yml"}
    for name in with_identity:
        assert "pull_request" not in WORKFLOWS[name][True]  # YAML 1.1 reads `on` as true
    assert not any("pull_request_target" in text or "workflow_run" in text for text in TEXTS.values())


def test_environments_guard_what_leaves_the_repository() -> None:
    """People approve there, and Azure and PyPI trust the environment, not any branch."""
    assert WORKFLOWS["deploy.yml"]["jobs"]["deploy"]["environment"] == "${{ inputs.environment }}"
    assert WORKFLOWS["release.yml"]["jobs"]["pypi"]["environment"] == "pypi"


def test_no_workflow_uses_a_stored_secret() -> None:
    """Identities are federated, so that there is nothing to leak or to rotate."""
    assert [name for name, text in TEXTS.items() if "secrets." in text] == []


def test_checkouts_leave_no_token_behind() -> None:
    """Later steps, and what they install, could read it."""
    checkouts = [step for _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_command_is_put_together_from_what_others_write() -> None:
    """Inputs and names reach the shell as variables."""
    assert [step["run"] for _, step in STEPS if "${{" in step.get("run", "")] == []


def test_what_workflows_install_is_pinned_by_hash() -> None:
    """An action's commit says nothing of a package that its job installs."""
    installed = [line for _, step in STEPS for line in str(step.get("run", "")).splitlines() if "pip install" in line]

    assert installed
    assert [line for line in installed if "--require-hashes --requirement scripts/locks/" not in line] == []


def test_workflows_run_the_commands_that_people_run() -> None:
    """Targets of the Makefile, and scripts that are there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    runs = "\n".join(step.get("run", "") for _, step in STEPS)

    assert {"lint", "test"} <= set(re.findall(r"make ([a-z-]+)", runs)) <= targets
    assert all((ROOT / script).exists() for script in re.findall(r"scripts/[\w./]+", runs))
    assert all((ROOT / "infra" / f"{name}.bicepparam").exists() for name in _choices("environment"))


def test_the_tests_run_on_every_python_that_the_package_promises() -> None:
    """The classifiers of pyproject.toml."""
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert WORKFLOWS["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python-version"] == promised


def test_azd_finds_the_template_and_the_hook_that_builds_the_image() -> None:
    """And hands the image to the template by the variable that the hook sets."""
    stated = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    folder = ROOT / stated["infra"]["path"]
    hooks = stated["hooks"]["postprovision"].values()

    assert (folder / f"{stated['infra']['module']}.bicep").exists()
    assert {re.sub(r"^python3? ", "", hook["run"]) for hook in hooks} == {"scripts/azd.py"}
    assert "${ASSAY_IMAGE=}" in (folder / "main.parameters.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DELIVERY, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_key_and_no_connection_string_on_the_way_to_azure(path: Path) -> None:
    """Nor a call that would fetch one."""
    forbidden = (
        r"listKeys|listCredentials|AccountKey=\w|SharedAccessSignature|DefaultEndpointsProtocol=|admin-enabled true"
    )
    assert re.search(forbidden, path.read_text(encoding="utf-8")) is None


def _choices(name: str) -> list[str]:
    options: list[str] = WORKFLOWS["deploy.yml"][True]["workflow_dispatch"]["inputs"][name]["options"]
    return options
