"""Installs plugins for a test: a distribution with entry points on `sys.path`, without pip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    distribution: str,
    entry_points: Mapping[str, str],
    modules: Mapping[str, str],
) -> None:
    """Puts modules and the metadata of their distribution into a new folder, and that onto `sys.path`."""
    place = folder / distribution
    metadata = place / f"{distribution.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
    lines = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
    (metadata / "entry_points.txt").write_text(f"[assay.plugins]\n{lines}", encoding="utf-8")
    for name, text in modules.items():
        (place / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(place))
