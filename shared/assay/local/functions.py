"""Reads the decorated app into a table of functions with their triggers and bindings, as the Functions worker does.

Called once per process by the host: `app.get_functions()` may be called only once per app object.
"""

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func

from assay.errors import UserError

APP_MODULE = "function_app"
_SETTING = re.compile(r"%([^%]+)%")
_TRIGGERS = {
    "blobTrigger",
    "queueTrigger",
    "timerTrigger",
    "httpTrigger",
    "orchestrationTrigger",
    "activityTrigger",
}
_BINDINGS = {"durableClient", "queue", "http"}


@dataclass(frozen=True)
class Binding:
    """One trigger or binding; `options` are its remaining settings, with `%NAME%` replaced by the app setting."""

    kind: str
    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Function:
    """One function of the app. `call` is what the worker would call; `bindings` are all but the trigger."""

    name: str
    call: Callable[..., Any]
    trigger: Binding
    bindings: tuple[Binding, ...] = field(default=())

    def bound_as(self, kind: str) -> list[Binding]:
        return [binding for binding in self.bindings if binding.kind == kind]


def load_functions(app_dir: Path, settings: Mapping[str, str]) -> list[Function]:
    """Import `function_app` from `app_dir` and return its functions, without those that an app setting disables.

    `app_dir` is put first on `sys.path`. Raises UserError when there is no app, or it uses a trigger or binding that
    the local host does not have, or names a setting that is not there.
    """
    if not (app_dir / f"{APP_MODULE}.py").is_file():
        raise UserError(f"{app_dir} holds no {APP_MODULE}.py. Give the folder of the function app with --app.")
    sys.path.insert(0, str(app_dir))  # as the worker does: the app imports its own modules by plain names
    module = importlib.import_module(APP_MODULE)
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        raise UserError(f"{app_dir / APP_MODULE}.py: found {len(apps)} function app objects; expected exactly one.")
    return read_functions(apps[0], settings)


def read_functions(app: Any, settings: Mapping[str, str]) -> list[Function]:
    """Read the functions of one app object; to be called once for each. Raises UserError as `load_functions` does."""
    functions = [_read(builder, settings) for builder in app.get_functions()]
    return [function for function in functions if not _is_disabled(function.name, settings)]


def connection_name(binding: Binding) -> str:
    """The app setting that holds the binding's connection string; the host's own storage if none is named."""
    return str(binding.options.get("connection") or "AzureWebJobsStorage")


def _read(builder: Any, settings: Mapping[str, str]) -> Function:
    name = builder.get_function_name()
    trigger_name = builder.get_trigger().name
    bindings = [_binding(name, json.loads(raw), settings) for raw in builder.get_raw_bindings()]
    trigger = next(each for each in bindings if each.name == trigger_name)
    others = tuple(each for each in bindings if each is not trigger)
    unknown = sorted(({trigger.kind} - _TRIGGERS) | ({each.kind for each in others} - _BINDINGS))
    if unknown:
        known = ", ".join(sorted(_TRIGGERS | _BINDINGS))
        raise UserError(
            f"Function '{name}' uses {', '.join(unknown)}, which the local host does not have. It has: {known}."
        )
    return Function(name, builder.get_user_function(), trigger, others)


def _binding(function_name: str, raw: dict[str, Any], settings: Mapping[str, str]) -> Binding:
    options = {key: _resolve(function_name, value, settings) for key, value in raw.items()}
    return Binding(kind=options.pop("type"), name=options.pop("name"), options=options)


def _resolve(function_name: str, value: Any, settings: Mapping[str, str]) -> Any:
    def setting(found: re.Match[str]) -> str:
        if found[1] not in settings:
            raise UserError(
                f"Function '{function_name}' uses {found[0]}, but the environment has no '{found[1]}'. Set it."
            )
        return settings[found[1]]

    return _SETTING.sub(setting, value) if isinstance(value, str) else value


def _is_disabled(name: str, settings: Mapping[str, str]) -> bool:
    """All spellings of the app setting are in use; those without dots are for Linux, where names hold none."""
    spellings = (f"AzureWebJobs.{name}.Disabled", f"AzureWebJobs_{name}_Disabled", f"AzureWebJobs__{name}__Disabled")
    return any(settings.get(each, "").lower() in ("true", "1") for each in spellings)
