"""Writes the beginnings of a plugin: a package with entry point, module, test and page. `assay new` calls it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from string import Template

from assay.errors import UserError
from assay.planning.plugin_catalogue import KINDS

NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")


class ScaffoldKind(StrEnum):
    SCORER = "scorer"
    AGGREGATOR = "aggregator"
    COMPARER = "comparer"


@dataclass(frozen=True)
class Scaffold:
    """What was written."""

    folder: Path
    files: tuple[Path, ...]


def write_scaffold(kind: ScaffoldKind, name: str, parent: Path) -> Scaffold:
    """A folder of the plugin's name with all that it needs. Raises UserError for a bad name, or one that is taken."""
    _check_name(kind, name)
    folder = parent / name
    words = {
        "name": name,
        "kind": kind.value,
        "title": "".join(part.capitalize() for part in name.split("_")),
        "distribution": f"assay-{name.replace('_', '-')}",
        "module": f"assay_{name}",
    }
    texts = {
        "pyproject.toml": _text("pyproject.toml", words),
        "README.md": _text(f"{kind}.md", words),
        f"{words['module']}.py": _text(f"{kind}.py", words),
        f"test_{name}.py": _text(f"{kind}_test.py", words),
    }
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UserError(f"{folder} is there already; nothing was written") from None
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return Scaffold(folder, tuple(folder / file for file in texts))


def _check_name(kind: ScaffoldKind, name: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}': expected 2 to 40 small letters, digits and underscores, with a letter at the start")
    registry = next(registry for registry in KINDS.values() if registry.kind == kind)
    if name in registry.names:
        raise UserError(f"{kind} '{name}' is built in; give yours another name")


def _text(file: str, words: dict[str, str]) -> str:
    template = files("assay.cli").joinpath("scaffolds", f"{file}.txt").read_text(encoding="utf-8")
    return Template(template).substitute(words)
