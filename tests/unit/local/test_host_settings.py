"""How host.json and its overrides are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.errors import UserError
from assay.local.host_settings import HostSettings, load_host_settings, parse_time_span


def load(tmp_path: Path, document: dict[str, Any], **environment: str) -> HostSettings:
    path = tmp_path / "host.json"
    path.write_text(json.dumps(document))
    return load_host_settings(path, environment)


def test_a_missing_file_means_the_defaults_of_the_functions_host(tmp_path: Path) -> None:
    """Batch of 16, 5 dequeues, base64, 5 tries per blob, prefix `api`, 30 minutes."""
    settings = load_host_settings(tmp_path / "host.json", {})
    queues = settings.extensions.queues

    assert (queues.batch_size, queues.max_dequeue_count, queues.message_encoding) == (16, 5, "base64")
    assert (queues.visibility_timeout_seconds, queues.max_polling_interval_seconds) == (0, 2)
    assert settings.extensions.blobs.poison_blob_threshold == 5
    assert settings.extensions.http.route_prefix == "api"
    assert settings.function_timeout_seconds == 1800


def test_settings_are_read_by_their_names_in_host_json(tmp_path: Path) -> None:
    """And what the local host does not know is left alone."""
    document = {
        "version": "2.0",
        "logging": {"applicationInsights": {}},
        "functionTimeout": "00:10:00",
        "extensions": {
            "queues": {"batchSize": 4, "newBatchThreshold": 2, "visibilityTimeout": "00:00:30"},
            "durableTask": {"hubName": "%HUB%", "maxConcurrentActivityFunctions": 7},
        },
    }
    settings = load(tmp_path, document)

    assert settings.function_timeout_seconds == 600
    assert settings.extensions.queues.refill_threshold == 2
    assert settings.extensions.queues.visibility_timeout_seconds == 30
    assert settings.extensions.durable_task.max_concurrent_activity_functions == 7


@pytest.mark.parametrize("setting", ["extensions__queues__batchSize", "EXTENSIONS__Queues__BATCHSIZE"])
def test_the_environment_overrides_the_file_whatever_the_case(tmp_path: Path, setting: str) -> None:
    """AzureFunctionsJobHost__a__b sets a.b."""
    document = {"extensions": {"queues": {"batchSize": 4}}}
    settings = load(tmp_path, document, **{f"AzureFunctionsJobHost__{setting}": "9"})

    assert settings.extensions.queues.batch_size == 9


def test_the_environment_may_set_what_the_file_does_not_have(tmp_path: Path) -> None:
    """Sections on the way are made."""
    override = {"AzureFunctionsJobHost__extensions__blobs__maxDegreeOfParallelism": "2"}
    assert load(tmp_path, {}, **override).extensions.blobs.max_degree_of_parallelism == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:02", 2), ("01:02:03", 3723), ("1.00:00:00", 86400), ("00:00:00.250", 0.25), ("00:05", 300)],
)
def test_time_spans_are_those_of_dotnet(text: str, seconds: float) -> None:
    """[d.]hh:mm[:ss[.fff]]."""
    assert parse_time_span(text) == seconds


def test_a_polling_interval_may_be_milliseconds(tmp_path: Path) -> None:
    """A bare number, as in older host.json files."""
    settings = load(tmp_path, {"extensions": {"queues": {"maxPollingInterval": 500}}})
    assert settings.extensions.queues.max_polling_interval_seconds == 0.5


def test_a_timeout_of_minus_one_is_none(tmp_path: Path) -> None:
    """Unbounded."""
    assert load(tmp_path, {"functionTimeout": "-1"}).function_timeout_seconds is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"extensions": {"queues": {"batchSize": 33}}}, r"'extensions.queues.batchSize': found 33"),
        ({"extensions": {"queues": {"messageEncoding": "hex"}}}, r"messageEncoding': found 'hex'"),
        ({"functionTimeout": "soon"}, r"'functionTimeout': found 'soon'"),
    ],
)
def test_a_bad_value_is_named_with_its_setting(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    """File, setting, what was found and what is expected."""
    with pytest.raises(UserError, match=message) as raised:
        load(tmp_path, document)
    assert str(tmp_path / "host.json") in str(raised.value)


def test_bad_json_is_named_with_its_line(tmp_path: Path) -> None:
    """Where to look."""
    path = tmp_path / "host.json"
    path.write_text("{\n  oops")
    with pytest.raises(UserError, match=r"host\.json:2: not valid JSON"):
        load_host_settings(path, {})
