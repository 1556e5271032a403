"""Lays the image's files out in a folder without Docker, by following the Dockerfile's WORKDIR and COPY lines.

What RUN lines make is not there; `Staged.missing` says which copies that leaves out.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
WWWROOT = "home/site/wwwroot"


@dataclass
class Staged:
    """The last stage's root folder, and what could not be copied because only a build makes it."""

    folder: Path
    missing: list[str] = field(default_factory=list)

    @property
    def app(self) -> Path:
        """Where the Functions host looks for the app."""
        return self.folder / WWWROOT


def stage_image(into: Path, root: Path = ROOT) -> Staged:
    """Follow the Dockerfile below `root`; every stage gets a folder of its own in `into`."""
    stages: dict[str, Staged] = {}
    workdir = PurePosixPath("/")
    for word, rest in instructions((root / "Dockerfile").read_text(encoding="utf-8")):
        if word == "FROM":
            name = rest[2] if len(rest) > 2 else "final"
            stages[name] = stage = Staged(into / name)
            workdir = PurePosixPath("/")
        elif word == "WORKDIR":
            workdir = PurePosixPath(rest[0])
        elif word == "COPY":
            options = [one for one in rest if one.startswith("--")]
            *sources, target = [one for one in rest if not one.startswith("--")]
            assert len(options) <= 1 and all(one.startswith("--from=") for one in options), rest
            origin = stages[options[0].removeprefix("--from=")].folder if options else root
            place = stage.folder / str(workdir / target).lstrip("/")
            for source in sources:
                _copy(origin, source, place, stage, target.endswith("/"))
    return stages["final"]


def instructions(text: str) -> list[tuple[str, list[str]]]:
    """The Dockerfile's instructions and their words, lines that go on joined and comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    logical = [line for line in lines.replace("\\\n", " ").splitlines() if line.strip()]
    return [(word, _words(word, line)) for line in logical for word in [line.split(maxsplit=1)[0].upper()]]


def _words(word: str, line: str) -> list[str]:
    rest = line.split(maxsplit=1)[1]
    return shlex.split(rest) if word in {"FROM", "WORKDIR", "COPY"} else [rest]


def _copy(origin: Path, source: str, place: Path, stage: Staged, is_folder: bool) -> None:
    """As COPY does: a folder's contents, or one file; from the build context only what .dockerignore lets in."""
    found = origin / source.lstrip("/")
    if not found.exists():
        stage.missing.append(source)
    elif found.is_file():
        _place(found, place / found.name if is_folder else place)
    else:
        for path in (each for each in sorted(found.rglob("*")) if each.is_file() or each.is_symlink()):
            if origin != ROOT or docker_sends(str(path.relative_to(origin)), ignore_rules()):
                _place(path, place / path.relative_to(found))


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def ignore_rules() -> list[str]:
    """The rules of .dockerignore, in order."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def docker_sends(path: str, rules: list[str]) -> bool:
    """Whether Docker sends a file: the last rule that names it, or a folder that it is in, decides."""
    sent = True
    parts = path.split("/")
    names = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for rule in rules:
        pattern = _pattern(rule.lstrip("!").rstrip("/"), any_depth="(?:.*/)?")
        if any(pattern.fullmatch(name) for name in names):
            sent = rule.startswith("!")
    return sent


def acr_build_sends(path: str, rules: list[str]) -> bool:
    """Whether `az acr build` sends it (Azure CLI 2.91): a folder's rule holds until a later one names what is in it."""
    sent, strongest = True, -1
    parts = path.split("/")
    for name in ("/".join(parts[: end + 1]) for end in range(len(parts))):
        for index in range(len(rules) - 1, strongest, -1):
            rule = rules[index]
            pattern = rule.removeprefix("!").rstrip("/") if rule.startswith("!") else rule
            if _pattern(pattern, any_depth=".*/").fullmatch(name):
                sent, strongest = rule.startswith("!"), index
                break
    return sent


def _pattern(rule: str, any_depth: str) -> re.Pattern[str]:
    parts = re.escape(rule).replace(r"\*\*/", any_depth).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.compile(parts)
