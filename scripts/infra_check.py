"""Checks the deployment's files without Azure: Bicep syntax and names, module calls, API versions, rights, keys.

`make infra-check` calls it; CI also runs the Bicep compiler. docs/azure.md lists what each check finds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra_checks.bicep import Bicep, Finding
from infra_checks.modules import check_bicepparam, check_calls, check_parameters_json, check_values
from infra_checks.names import check_names, check_use
from infra_checks.network import check_endpoints, check_private
from infra_checks.order import check_assignment_names, check_conditions, check_known_at_start, check_loops
from infra_checks.resources import check_keyless, check_roles, check_versions
from infra_checks.secrets import check_connection_strings, check_settings, check_text
from infra_checks.shapes import check_shapes

ROOT = Path(__file__).resolve().parents[1]
VERSIONS, PROPERTIES = "api-versions.json", "properties.json"
_TEXTS = ("infra", "function_app", ".github", "azure.yaml", "scripts/deploy", "scripts/teardown", "Dockerfile")


def main() -> int:
    """Print what is wrong; returns 1 when something is."""
    found = sorted({*findings(ROOT / "infra"), *secrets(ROOT)}, key=lambda one: (str(one.path), one.line, one.message))
    for one in found:
        print(one)
    if not found:
        print("infra: nothing found")
    return 1 if found else 0


def findings(folder: Path) -> Iterator[Finding]:
    """What is wrong in a folder with `main.bicep`, `modules/`, parameter files and the list of API versions."""
    files = {
        path.relative_to(folder): Bicep.read(path, _shown(folder, path)) for path in sorted(folder.rglob("*.bicep"))
    }
    for file in files.values():
        yield from check_names(file)
        yield from check_use(file)
        yield from check_values(file)
        yield from check_loops(file)
        yield from check_known_at_start(file)
        yield from check_conditions(file)
        yield from check_assignment_names(file)
        yield from check_keyless(file)
        yield from check_connection_strings(file)
        yield from check_settings(file)
    yield from check_calls(files)
    yield from check_versions(files, json.loads((folder / VERSIONS).read_text(encoding="utf-8")))
    yield from check_shapes(files, json.loads((folder / PROPERTIES).read_text(encoding="utf-8")))
    yield from check_private(files)
    yield from check_endpoints(files)
    yield from check_roles(files)
    yield from _parameter_files(folder, files[Path("main.bicep")])


def secrets(root: Path) -> Iterator[Finding]:
    """Keys and connection strings in the files that a deployment is made of, as far as git knows them."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *_TEXTS],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        path = root / name
        if path.is_file() and path.suffix not in (".lock", ".txt"):
            yield from check_text(Path(name), path.read_text(encoding="utf-8"))


def _parameter_files(folder: Path, main_file: Bicep) -> Iterator[Finding]:
    for path in sorted(folder.glob("*.bicepparam")):
        given = Bicep.read_parameters(path, _shown(folder, path))
        yield from check_names(given)
        yield from check_bicepparam(given, main_file)
    for path in sorted(folder.glob("*.parameters.json")):
        yield from check_parameters_json(_shown(folder, path), path.read_text(encoding="utf-8"), main_file)


def _shown(folder: Path, path: Path) -> Path:
    return Path(folder.name) / path.relative_to(folder)


if __name__ == "__main__":
    sys.exit(main())
