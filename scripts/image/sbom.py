"""Prints a software bill of materials (CycloneDX 1.6, JSON) of the Python packages in a folder.

The Dockerfile calls it on what pip has installed, so it lists what is there and not what a lock would allow.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

_LONGEST_LICENCE = 120


def main(folder: str, version: str, revision: str) -> None:
    """Print the bill of the packages in `folder`, with the app as what they belong to."""
    json.dump(bill(Path(folder), version, revision), sys.stdout, indent=1)
    print()


def bill(folder: Path, version: str, revision: str) -> dict[str, Any]:
    """Return the document. It has no date and no serial number: equal contents give equal bytes."""
    installed = sorted(distributions(path=[str(folder)]), key=lambda one: _normal(one.name))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _application(version, revision)},
        "components": [_component(one) for one in installed],
    }


def _application(version: str, revision: str) -> dict[str, Any]:
    named = {"type": "application", "bom-ref": "assay", "name": "assay", "version": version}
    return {**named, "properties": [{"name": "assay:revision", "value": revision}]} if revision else named


def _component(package: Distribution) -> dict[str, Any]:
    name, address = _normal(package.name), f"pkg:pypi/{_normal(package.name)}@{package.version}"
    stated = {"type": "library", "bom-ref": address, "name": name, "version": package.version, "purl": address}
    licence = _licence(package)
    return {**stated, "licenses": [licence]} if licence else stated


def _licence(package: Distribution) -> dict[str, Any] | None:
    """The SPDX expression where the package has one, else the name it gives, unless that is a whole text."""
    expression = package.metadata.get("License-Expression")
    if expression:
        return {"expression": expression}
    name = (package.metadata.get("License") or "").strip()
    is_name = name and "\n" not in name and len(name) <= _LONGEST_LICENCE
    return {"license": {"name": name}} if is_name else None


def _normal(name: str) -> str:
    """As the index writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main(*sys.argv[1:4])
