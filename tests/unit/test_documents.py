"""What the documents say is true of the code: examples load, commands and options exist, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from assay.cli.main import app
from assay.llm.errors import TAXONOMY, FailureKind
from assay.planning.preflight import checked_suite
from assay.settings import Settings
from assay.suite.models import ComparisonSettings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "config/**/*.md", "infra/*.md")
    for path in ROOT.glob(pattern)
    if not path.name.startswith(".")
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@pytest.mark.parametrize("name", NAMES)
def test_every_suite_in_a_document_loads(name: str) -> None:
    """A reader copies these."""
    for block in re.findall(r"```yaml\n(.*?)```", _text(name), re.DOTALL):
        if "experiments:" in block:
            assert checked_suite(block, name).experiments


@pytest.mark.parametrize("name", NAMES)
def test_suites_in_documents_ask_what_azure_answers(name: str) -> None:
    """No model of the family that it has ended; and those that can think take a temperature only while they do not."""
    for block in re.findall(r"```yaml\n(.*?)```", _text(name), re.DOTALL):
        for model in checked_suite(block, name).models if "experiments:" in block else ():
            assert not [one for one in model.deployments if one.startswith("gpt-4o")]
            if model.temperature is not None and model.deployment.startswith("gpt-5"):
                assert model.reasoning_effort == "none"


@pytest.mark.parametrize("name", NAMES)
def test_every_link_in_a_document_leads_somewhere(name: str) -> None:
    """To a file, and to a heading of it. Relative links only; the others are not ours to keep."""
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", _prose(_text(name))):
        if "://" in target:
            continue
        page = (ROOT / name).parent / target if target else ROOT / name
        assert page.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in _anchors(page.read_text(encoding="utf-8")), f"{name} links to {target}#{anchor}"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_in_a_document_exists(name: str) -> None:
    """With every option that is named beside it."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for command, rest in re.findall(r"(?:^|[\s/(])assay ([a-z][a-z-]*)([^\n|#]*)", _code(_text(name)), re.MULTILINE):
        assert command in commands, f"{name}: there is no assay {command}"
        named = _innermost(commands[command], rest)
        below = re.findall(r"^ ([a-z]+)\b", rest)
        assert not (below and hasattr(named, "commands")), f"{name}: there is no assay {command}{rest}"
        if not named.context_settings.get("ignore_unknown_options"):  # the emulator reads its options itself
            known = {option for parameter in named.params for option in parameter.opts}
            assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known | {"--help"}, f"{name}: assay {command}{rest}"


def _prose(text: str) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _code(text: str) -> str:
    """What is written to be typed: blocks and pieces of code, a line each."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join((*blocks, *re.findall(r"`([^`\n]+)`", _prose(text))))


def _anchors(text: str) -> set[str]:
    """What GitHub makes of the headings; the second of a kind ends in -1."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} (.+)$", _prose(text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.append(re.sub(r"[^\w\- ]", "", shown).replace(" ", "-"))
    return {one if not found[:at].count(one) else f"{one}-{found[:at].count(one)}" for at, one in enumerate(found)}


def _innermost(command: Any, rest: str) -> Any:
    """The command that `rest` goes on to name, as in `assay cache purge`."""
    words = rest.split()
    below = getattr(command, "commands", {}).get(words[0] if words else "")
    return _innermost(below, " ".join(words[1:])) if below else command


def test_every_kind_of_failure_is_explained_with_its_rule() -> None:
    """In the taxonomy's order, and no kind that is not one."""
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in _text("docs/failures.md").splitlines()]
    shown = {row[0]: row[2:] for row in rows if len(row) == 6 and row[0] in set(FailureKind)}
    ruled = {
        kind.value: [
            str(rule.retries),
            str(rule.falls_back_after or "-"),
            str(rule.stops_after or "-"),
            rule.outcome.value,
        ]
        for kind, rule in TAXONOMY.items()
    }
    assert list(shown.items()) == list(ruled.items())
    assert len([row for row in rows if len(row) == 6]) == len(TAXONOMY) + 2


def test_the_readme_names_every_command_and_document() -> None:
    """What is not in the README does not exist for its users."""
    text = _text("README.md")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert [command for command in commands if f"`assay {command}" not in text] == []
    assert [name for name in NAMES if name.startswith("docs/") and f"({name})" not in text] == []


def test_every_setting_is_explained_and_none_that_is_not_one() -> None:
    """A variable that is not on the page does not exist for its users."""
    text = _text("docs/settings.md")
    variables = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert {name for name in variables if f"`{name}`" not in text} == set()
    named = {name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named - variables == {"ASSAY_HOME"}, "which the local stack alone reads"


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_key_of_a_comparison_is_explained() -> None:
    """A key that is not on the page does not exist for whoever writes suites."""
    rows = re.findall(r"^\| `(\w+)` \|", _text("docs/suites.md").partition("| key of `comparison` |")[2], re.MULTILINE)
    assert set(rows) == set(ComparisonSettings.model_fields)
