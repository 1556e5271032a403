"""The settings of `host.json` that the local host honours, with `AzureFunctionsJobHost__a__b` overrides applied.

Names, defaults and bounds are those of the Functions host v4 and of its queue, blob, HTTP and Durable extensions.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from assay.errors import UserError
from assay.field_problems import field_path, field_problem

OVERRIDE_PREFIX = "AzureFunctionsJobHost__"
_CORES = os.cpu_count() or 1
_TIME_SPAN = re.compile(
    r"^(?:(?P<days>\d+)\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}(?:\.\d+)?))?$"
)


def parse_time_span(value: Any) -> Any:
    """Turn a .NET time span, `[d.]hh:mm[:ss[.fff]]`, into seconds. Anything else is left for the model to judge."""
    found = _TIME_SPAN.match(value) if isinstance(value, str) else None
    if not found:
        return value
    hours = int(found["days"] or 0) * 24 + int(found["hours"])
    return (hours * 60 + int(found["minutes"])) * 60 + float(found["seconds"] or 0)


def _parse_polling_interval(value: Any) -> Any:
    """A bare number is milliseconds, as in version 2 of the queue extension; text is a time span."""
    is_milliseconds = isinstance(value, int) or (isinstance(value, str) and value.isdigit())
    return int(value) / 1000 if is_milliseconds else parse_time_span(value)


def _parse_function_timeout(value: Any) -> Any:
    return None if value in ("-1", -1) else parse_time_span(value)


Seconds = Annotated[float, BeforeValidator(parse_time_span), Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


class QueueSettings(_Section):
    """`extensions.queues`. At most `batch_size + new_batch_threshold` messages run at once, per function and process.

    `visibility_timeout_seconds` is only the delay after a failed attempt; the lease of a running message is the host's.
    """

    batch_size: int = Field(16, ge=1, le=32)
    new_batch_threshold: int | None = Field(None, ge=0)
    max_dequeue_count: int = Field(5, ge=1)
    visibility_timeout_seconds: Seconds = Field(0.0, alias="visibilityTimeout")
    max_polling_interval_seconds: Annotated[float, BeforeValidator(_parse_polling_interval), Field(ge=0.1)] = Field(
        2.0, alias="maxPollingInterval"
    )
    message_encoding: Literal["base64", "none"] = "base64"

    @property
    def refill_threshold(self) -> int:
        """With this many messages still running, the next batch is fetched."""
        return self.batch_size // 2 * _CORES if self.new_batch_threshold is None else self.new_batch_threshold


class BlobSettings(_Section):
    """`extensions.blobs`."""

    max_degree_of_parallelism: int = Field(8 * _CORES, ge=1)
    poison_blob_threshold: int = Field(5, ge=1)


class HttpSettings(_Section):
    """`extensions.http`."""

    route_prefix: str = "api"


class DurableTaskSettings(_Section):
    """`extensions.durableTask`: how many functions of each kind may run at once."""

    max_concurrent_activity_functions: int = Field(10 * _CORES, ge=1)
    max_concurrent_orchestrator_functions: int = Field(10 * _CORES, ge=1)


class ExtensionSettings(_Section):
    queues: QueueSettings = QueueSettings()
    blobs: BlobSettings = BlobSettings()
    http: HttpSettings = HttpSettings()
    durable_task: DurableTaskSettings = DurableTaskSettings()


class HostSettings(_Section):
    """The whole file. `function_timeout_seconds` is None when `functionTimeout` is "-1", that is, unbounded."""

    function_timeout_seconds: Annotated[float | None, BeforeValidator(_parse_function_timeout)] = Field(
        1800.0, alias="functionTimeout"
    )
    extensions: ExtensionSettings = ExtensionSettings()


def load_host_settings(path: Path, environment: Mapping[str, str]) -> HostSettings:
    """Read `host.json` and apply the overrides of the environment. A missing file means all defaults.

    Raises UserError, naming the file and the setting, when a value cannot be used.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return HostSettings.model_validate(_overridden(document, environment))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON: {error.msg}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        said = f"found {first['input']!r}; {field_problem(first)}"
        raise UserError(f"{path}: setting '{field_path(first)}': {said}.") from error


def _overridden(document: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    for name, value in environment.items():
        if name.startswith(OVERRIDE_PREFIX):
            _put(document, name.removeprefix(OVERRIDE_PREFIX).split("__"), value)
    return document


def _put(section: dict[str, Any], path: list[str], value: str) -> None:
    """Set one value; names are matched without regard to case, as the host's configuration does."""
    name = next((known for known in section if known.lower() == path[0].lower()), path[0])
    if len(path) == 1:
        section[name] = value
    else:
        _put(section.setdefault(name, {}), path[1:], value)
