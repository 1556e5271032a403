"""The image's files, laid out as the Dockerfile says but without Docker: the app is whole, and so is the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.staging import (
    ROOT,
    Staged,
    acr_build_sends,
    docker_sends,
    ignore_rules,
    instructions,
    stage_image,
)

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INDEX = """
import json, assay, function_app
found = {each.get_function_name(): each.get_bindings_dict() for each in function_app.app.get_functions()}
print(json.dumps({"functions": found, "assay": assay.__file__}, default=str))
"""
STRAY = [
    ".env",
    ".git/config",
    ".venv/bin/python",
    ".assay/keys/signing.pem",
    "function_app/.assay/keys/signing.pem",
    "function_app/.env",
    "function_app/.venv/bin/python",
    "function_app/local.settings.json",
    "function_app/.python_packages/lib/site-packages/x.py",
    "function_app/__pycache__/function_app.cpython-313.pyc",
    "shared/assay/llm/__pycache__/errors.cpython-313.pyc",
    "shared/other.py",
    "scripts/deploy",
    "tests/conftest.py",
]


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    return stage_image(tmp_path_factory.mktemp("image"))


def run_there(staged: Staged, *command: str) -> subprocess.CompletedProcess[str]:
    """Run in the staged app's folder, with the variables that the image sets and this environment's packages."""
    environment = {"PATH": f"{staged.folder}/usr/local/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {
        "AzureWebJobsScriptRoot": str(staged.app),
        "HOME": str(staged.folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(command, capture_output=True, text=True, cwd=staged.app, env=environment, check=False)


def index_of(folder: Path, *more: Path) -> dict[str, object]:
    """What the real azure-functions library indexes in an app's folder."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, (folder, *more)))}
    answer = subprocess.run(
        [sys.executable, "-c", INDEX], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert answer.returncode == 0, answer.stderr
    read: dict[str, object] = json.loads(answer.stdout)
    return read


def test_the_staged_app_is_indexed_as_the_one_in_the_repository(staged: Staged) -> None:
    """Every function, with every binding, from the image's own copy of the code."""
    there, here = index_of(staged.app), index_of(ROOT / "function_app", ROOT / "shared")

    assert there["functions"] == here["functions"]
    assert there["assay"] == str(staged.app / "assay" / "__init__.py")


def test_only_what_a_build_makes_is_missing_from_the_staged_image(staged: Staged) -> None:
    """Packages and their bill of materials; any other COPY without a source is a mistake in the Dockerfile."""
    assert staged.missing == ["/home/site/wwwroot/.python_packages", "/build/sbom.cdx.json"]


def test_the_image_holds_all_of_the_package_and_nothing_else_of_the_repository(staged: Staged) -> None:
    """Templates and schemas too, which no import misses."""
    tracked = subprocess.run(
        ["git", "ls-files", "shared/assay", "function_app"], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout.split("\n")
    expected = {
        name.removeprefix("shared/").removeprefix("function_app/")
        for name in tracked
        if (ROOT / name).is_file() and not name.endswith("local.settings.json")
    }

    assert expected <= {str(path.relative_to(staged.app)) for path in staged.app.rglob("*") if path.is_file()}
    assert {path.name for path in staged.app.iterdir()} >= {"host.json", "function_app.py", "assay", "triggers"}
    assert not any(
        (staged.app / name).exists() for name in ("tests", "scripts", "infra", "local.settings.json", ".env")
    )


def test_the_images_command_runs_the_images_code(staged: Staged) -> None:
    """`docker run IMAGE assay verify ...` is one of its uses."""
    answer = run_there(staged, "assay", "verify", "--help")

    assert answer.returncode == 0, answer.stderr
    assert "signatures" in answer.stdout


@pytest.mark.parametrize("sends", [docker_sends, acr_build_sends])
def test_a_build_gets_no_file_that_is_not_named(sends: object) -> None:
    """Docker and `az acr build` read .dockerignore in ways of their own; secrets stay here under both."""
    assert [name for name in STRAY if sends(name, ignore_rules())] == []  # type: ignore[operator]


def test_docker_and_azure_get_the_same_files() -> None:
    """The image does not depend on who builds it."""
    names = [str(path.relative_to(ROOT)) for folder in ("function_app", "shared", "scripts") for path in _files(folder)]
    rules = ignore_rules()

    assert [name for name in names if docker_sends(name, rules)] == [n for n in names if acr_build_sends(n, rules)]


def test_nobody_but_root_can_change_the_code_and_the_process_is_not_root() -> None:
    """The user comes last, after everything was copied without a change of owner."""
    words = instructions(DOCKERFILE)
    order = [word for word, _ in words]

    assert "--chown" not in DOCKERFILE
    assert order.index("USER") > max(position for position, word in enumerate(order) if word in {"COPY", "RUN"})
    assert dict(words)["USER"] == ["${APP_UID}"] and "ARG APP_UID=1000" in DOCKERFILE
    assert dict(words)["EXPOSE"] == ["8080"] and 'ASPNETCORE_URLS="http://+:8080"' in DOCKERFILE


def test_dependencies_are_installed_with_their_hashes_from_the_image_lock() -> None:
    """And no build of a source distribution runs code on the way."""
    install = next(rest[0] for word, rest in instructions(DOCKERFILE) if word == "RUN" and "pip install" in rest[0])

    assert {"--require-hashes", "--only-binary"} <= set(install.split())
    assert "function_app/requirements.txt" in DOCKERFILE


def test_every_stage_is_built_from_the_same_base_and_digest() -> None:
    """Packages are compiled for the Python that runs them."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(bases) == 2 and len(set(bases)) == 1
    assert bases[0].endswith("${BASE_DIGEST:+@$BASE_DIGEST}")


def test_the_bill_of_materials_names_every_installed_package(tmp_path: Path) -> None:
    """From what lies in the folder, in an order that does not change, with licences where they are stated."""
    for name, extra in (("B_two", "License-Expression: MIT\n"), ("a.one", "License: " + "long\n        text\n")):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{extra}")
    script = ROOT / "scripts" / "image" / "sbom.py"

    told = subprocess.run(
        [sys.executable, script, tmp_path, "0.1.0", "abc"], capture_output=True, text=True, check=True
    )

    components = json.loads(told.stdout)["components"]
    assert [one["purl"] for one in components] == ["pkg:pypi/a-one@1.0", "pkg:pypi/b-two@1.0"]
    assert "licenses" not in components[0] and components[1]["licenses"] == [{"expression": "MIT"}]


def _files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*") if path.is_file())
