"""A function app that is ready to be called: functions, settings, connections and invoker. One per process.

Built by the host and by its worker processes; also the app's orchestrators and activities as the task hub sees them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from azure.functions.meta import Datum

from assay.errors import AssayError
from assay.local.connections import Connections
from assay.local.functions import Function, load_functions
from assay.local.host_settings import HostSettings, load_host_settings
from assay.local.invocation import Invoker, converter
from assay.local.listeners import Listener
from assay.local.queue_listener import QueueListener
from assay.telemetry import Telemetry


@dataclass(frozen=True)
class LoadedApp:
    """One app in one process."""

    functions: list[Function]
    settings: HostSettings
    connections: Connections
    invoker: Invoker
    telemetry: Telemetry

    def triggered_by(self, kind: str) -> list[Function]:
        """The functions with this kind of trigger."""
        return [function for function in self.functions if function.trigger.kind == kind]

    def queue_listeners(self, lease_seconds: int) -> list[Listener]:
        """One listener per queue-triggered function."""
        queues = self.settings.extensions.queues
        return [
            QueueListener(each, self.connections, self.invoker, queues, lease_seconds, self.telemetry)
            for each in self.triggered_by("queueTrigger")
        ]

    async def close(self) -> None:
        """Close the storage clients and the threads."""
        self.invoker.close()
        await self.connections.close()


def load_app(app_dir: Path, environment: Mapping[str, str], client_binding: str, telemetry: Telemetry) -> LoadedApp:
    """Read host.json and the functions. `client_binding` is the text for durableClient bindings. Raises UserError."""
    settings = load_host_settings(app_dir / "host.json", environment)
    connections = Connections(environment)
    encoding = settings.extensions.queues.message_encoding
    timeout_seconds = settings.function_timeout_seconds
    invoker = Invoker(app_dir, connections, encoding, timeout_seconds, client_binding, telemetry)
    return LoadedApp(load_functions(app_dir, environment), settings, connections, invoker, telemetry)


class FunctionMissing(AssayError):
    """An orchestrator called an activity that the app does not have."""


class AppDurableFunctions:
    """The orchestrators and activities of an app, as `durable.DurableFunctions`. A trigger may give another name."""

    def __init__(self, app: LoadedApp) -> None:
        self._invoker = app.invoker
        orchestrators, activities = app.triggered_by("orchestrationTrigger"), app.triggered_by("activityTrigger")
        self._orchestrators = {each.trigger.options.get("orchestration") or each.name: each for each in orchestrators}
        self._activities = {each.trigger.options.get("activity") or each.name: each for each in activities}

    @property
    def orchestrators(self) -> Collection[str]:
        return self._orchestrators.keys()

    async def run_orchestrator(self, name: str, context: str) -> str:
        if name not in self._orchestrators:  # it was there when the instance was started
            raise FunctionMissing(f"Orchestrator function '{name}' does not exist any more.")
        return str(await self._invoker.invoke_unreported(self._orchestrators[name], Datum(context, "json")))

    async def run_activity(self, name: str, input_text: str | None) -> str:
        if name not in self._activities:
            known = ", ".join(sorted(self._activities)) or "none"
            raise FunctionMissing(f"Activity function '{name}' does not exist. Known: {known}.")
        datum = Datum("null" if input_text is None else input_text, "json")
        result = await self._invoker.invoke(self._activities[name], datum)
        return str(converter("activityTrigger").encode(result, expected_type=None).value)
