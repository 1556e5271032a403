"""`assay doctor`: is everything here that Assay needs, and does it answer?"""

import asyncio
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec

import typer

from assay.cli.connection import chosen_settings
from assay.cli.shown import JsonFlag, print_json
from assay.destinations import DEFAULT_KEY_FILE
from assay.errors import EXIT_FAILED, EXIT_OK, AssayError, CheckFailed, StorageError, UserError
from assay.local.azurite import find_node
from assay.local.stack import HOME, project_root, running_stack
from assay.runtime import Runtime
from assay.storage import layout

ANSWER_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `advice` says what to do when it is not ok."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command()(doctor)


def doctor(as_json: JsonFlag = False) -> None:
    """Check this machine and the configured services. Exit code 1 when something is wrong."""
    findings = [_examined(name, check) for name, check in CHECKS.items()]
    all_ok = all(one.ok for one in findings)
    if as_json:
        print_json({"ok": all_ok, "findings": [asdict(one) for one in findings]})
        raise typer.Exit(EXIT_OK if all_ok else EXIT_FAILED)
    for finding in findings:
        _print(finding)
    if not all_ok:
        raise CheckFailed("something is missing; see above")


def _print(finding: Finding) -> None:
    mark, colour = ("ok  ", "green") if finding.ok else ("FAIL", "red")
    typer.secho(mark, fg=colour, nl=False)
    typer.echo(f"  {finding.name:<16} {finding.found}")
    if finding.advice and not finding.ok:
        typer.echo(f"      {'':<16} {finding.advice}")


def _examined(name: str, check: Callable[[], str]) -> Finding:
    """A check gives what it found, or raises with what is wrong and what to do."""
    try:
        return Finding(name, True, check())
    except AssayError as error:
        what, _, advice = str(error).partition("; ")
        return Finding(name, False, what, advice)


def _python() -> str:
    return f"Python {platform.python_version()}"


def _node() -> str:
    return find_node()


def _azurite() -> str:
    script = project_root() / "tools" / "azurite" / "node_modules" / "azurite" / "package.json"
    if not script.is_file():
        raise UserError("Azurite is not installed; run 'make setup'")
    return str(script.parent.relative_to(project_root()))


def _openssl() -> str:
    return shutil.which("openssl") or "not here; only needed to check signatures without Assay"


def _local_stack() -> str:
    stack = running_stack(HOME)
    return f"runs on {HOME}: {stack.host}" if stack else "not running; 'assay up' starts it"


def _settings() -> str:
    settings = chosen_settings()
    names = [name for name in sorted(settings.model_fields_set) if "key" not in name]
    return f"read ({', '.join(names)})" if names else "read; nothing is set"


def _storage() -> str:
    settings = chosen_settings()
    if not settings.names_storage:
        return "none configured; set ASSAY_STORAGE, or run 'assay up'"

    async def ask() -> str:
        runtime = Runtime(settings)
        try:
            await runtime.storage.find(layout.suite_file("doctor"))
        except StorageError as error:
            raise CheckFailed(f"does not answer; {error}") from None
        finally:
            await runtime.close()
        return "answers"

    return asyncio.run(ask())


def _models() -> str:
    settings = chosen_settings()
    named = {name: endpoint.kind for name, endpoint in settings.endpoints.items()}
    if settings.azure_openai_endpoint:
        named = {"AZURE_OPENAI_ENDPOINT": "azure", **named}
    if "litellm" in named.values() and find_spec("litellm") is None:
        raise UserError("an endpoint is of kind litellm, which is not installed; pip install 'assay-batch[litellm]'")
    for name, endpoint in settings.endpoints.items():
        if endpoint.kind == "llama_cpp":
            _check_llama_cpp(name, endpoint.address)
    told = ", ".join(f"{name} ({kind})" for name, kind in named.items())
    return told or "none configured; set AZURE_OPENAI_ENDPOINT or ASSAY_ENDPOINTS"


def _check_llama_cpp(name: str, address: str) -> None:
    """It tells without a key whether it is ready. Raises CheckFailed."""
    import httpx2

    try:
        status = httpx2.get(f"{address.removesuffix('/v1')}/health", timeout=ANSWER_SECONDS).status_code
    except httpx2.HTTPError as error:
        raise CheckFailed(f"the llama.cpp server '{name}' does not answer: {error}; start llama-server") from None
    if status != 200:
        raise CheckFailed(f"the llama.cpp server '{name}' is not ready (HTTP {status}); wait until its model is loaded")


def _signing_key() -> str:
    path = chosen_settings().signing_key_file or DEFAULT_KEY_FILE
    return str(path) if path.exists() else f"{path} (made on first use)"


CHECKS: dict[str, Callable[[], str]] = {
    "python": _python,
    "node": _node,
    "azurite": _azurite,
    "openssl": _openssl,
    "settings": _settings,
    "local stack": _local_stack,
    "storage": _storage,
    "models": _models,
    "signing key": _signing_key,
}
