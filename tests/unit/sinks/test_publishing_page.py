"""docs/publishing.md and the code say the same: every option with its default, the tables, the message of a webhook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from assay.settings import Settings
from assay.sinks.base import Bundle
from assay.sinks.sql.tables import result_tables
from assay.sinks.webhook import Webhook, _event
from assay.suite import sink_options as options
from assay.suite.sink_options import SINKS, SinkOptions
from builders import triage_run
from evaluations import evaluate
from stand_ins.sealed import sealed_bundle

PAGE = (Path(__file__).parents[3] / "docs" / "publishing.md").read_text("utf-8")
SECTIONS = {
    "What holds for every sink": SinkOptions,
    "blob": options.BlobOptions,
    "folder": options.FolderOptions,
    "Excel": options.ExcelOptions,
    "GitHub": options.GitHubOptions,
    "Azure DevOps": options.AzureDevOpsOptions,
    "SQL": options.SqlOptions,
    "Webhook": options.WebhookOptions,
}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def options_of(title: str) -> dict[str, str]:
    """Default by option, of a section's table."""
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", section(title), re.MULTILINE)
    return {name: default.strip() for names, default in rows for name in re.findall(r"`(\w+)`", names)}


def shown(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default()
    return "none" if value == () else f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def test_every_sink_has_its_section() -> None:
    """A plugin that is not there does not exist for whoever writes suites."""
    models = {SINKS.built_in(name).options for name in SINKS.names}
    assert models == set(SECTIONS.values()) - {SinkOptions}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_option_is_explained_with_its_default(title: str) -> None:
    """And no option that is none."""
    known = {field.alias or name: field for name, field in SECTIONS[title].model_fields.items()}
    if title != "What holds for every sink":
        known = {name: field for name, field in known.items() if name not in SinkOptions.model_fields}
    told = options_of(title)
    assert set(told) == set(known)
    for name, field in known.items():
        said_in_words = field.get_default() is None or told[name] == "as for GitHub"
        assert said_in_words or told[name] == shown(field), name


def test_every_setting_of_sinks_is_told() -> None:
    """Where tokens, addresses and folders come from."""
    wanted = ("github", "devops", "webhooks", "results_folder", "connections")
    fields = Settings.model_fields.items()
    names = {str(field.validation_alias) for name, field in fields if name.startswith(wanted)}
    assert {name for name in names if name not in PAGE} == set()


def test_the_tables_are_those_that_are_made() -> None:
    """An administrator may make them from the page."""
    (written,) = re.findall(r"```sql\n(CREATE TABLE.*?)```", PAGE, re.DOTALL)
    tables = result_tables("assay_", "assay").metadata.tables.values()
    made = [str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in tables]
    assert written.replace(";", "").split() == " ".join(made).split()


async def test_the_message_of_a_webhook_has_these_fields(tmp_path: Path) -> None:
    """With the same kinds of values."""
    run = triage_run()
    contents = evaluate(run.header, run.suite, run.plan, run.outcomes, run.bad_rows, 0, run.rows)
    await sealed_bundle(tmp_path)
    event = _event(Bundle("r", "s", tmp_path), contents)
    (written,) = re.findall(r"```json\n(.*?)```", section("Webhook"), re.DOTALL)
    assert shape(json.loads(written)) == shape(event)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(value[0])] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "any text"])
def test_the_receivers_check_accepts_what_is_sent(secret: str) -> None:
    """And refuses another body."""
    (code,) = re.findall(r"```python\n(.*?)```", section("Webhook"), re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)
    headers = Webhook("https://x", secret).signed("msg_1", 1_700_000_000, b'{"a": 1}')
    assert made["is_genuine"](headers, b'{"a": 1}', secret)
    assert not made["is_genuine"](headers, b'{"a": 2}', secret)


def test_every_example_of_sinks_loads() -> None:
    """Readers copy it."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for one in yaml.safe_load(block)["sinks"]:
        plugin = one.pop("plugin")
        assert SINKS.make(plugin, one)
