"""`assay demo`, `assay up`, `assay emulate`: the whole system on this machine."""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.datasets import only_dataset
from assay.cli.live import watch
from assay.cli.opened import opened, uploaded
from assay.cli.runs import appeared
from assay.cli.shown import JsonFlag, print_json, print_table, progress_console, wants_json
from assay.cli.suites import ProfileOption
from assay.errors import CheckFailed, UserError
from assay.llm.failing import EXAMPLE, read_failures
from assay.local.processes import is_running, terminated_as_interrupted
from assay.local.stack import HOME, PUBLIC_KEY_FILE, Stack, StackOptions, project_root, running_stack, started_stack
from assay.orchestration.drops import drop_file, fetch_bundle, run_of
from assay.planning.programs import has_code
from assay.provenance.verification import verify_bundle
from assay.registry import did_you_mean
from assay.run_records import Stage
from assay.runtime import Runtime
from assay.settings import Settings
from assay.storage.bundle_names import MANIFEST_NAME, REPORT_HTML, SIGNATURE_NAME, SUITE_FILE, SUMMARY

DEMO_FILE = "demo.json"

HomeOption = Annotated[Path, typer.Option("--home", help="Folder for everything the local stack keeps")]
WorkersOption = Annotated[
    int, typer.Option("--workers", "-w", min=0, max=16, help="Worker processes; 0: inside the host")
]
FailuresOption = Annotated[
    str | None,
    typer.Option("--inject-failures", help=f"Let model requests fail, such as {EXAMPLE}", show_default=False),
]
SuitesArgument = Annotated[
    list[Path] | None, typer.Argument(help="Suite folders; default: all in config/", show_default=False)
]

emulate = typer.Typer(help="Stand-ins for services, on this machine.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command()(demo)
    app.command()(up)
    app.add_typer(emulate, name="emulate")


def demo(
    suite: Annotated[
        Path | None,
        typer.Option("--suite", help="Suite folder, or a sample's name; default: support-triage", show_default=False),
    ] = None,
    home: HomeOption = HOME,
    workers: WorkersOption = 2,
    inject_failures: FailuresOption = None,
    profile: ProfileOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Run a sample suite end to end on this machine: drop its dataset, watch the run, verify the bundle.

    A demo that was interrupted is resumed; after one that has ended, a new run is started.
    """
    folder = _suite_folder(suite) if suite else project_root() / "config" / "support-triage"
    opened(folder, profile)  # what is wrong with it is said before anything is started
    dataset = only_dataset(folder)
    with terminated_as_interrupted(), _stack(home, workers, [folder], inject_failures) as stack:
        try:
            summary = asyncio.run(_demo(home, stack, folder, dataset, profile))
        except KeyboardInterrupt:
            progress_console().print("Interrupted; the same command takes the run up again.")
            raise
    if as_json:
        print_json(summary)


def up(
    suites: SuitesArgument = None,
    home: HomeOption = HOME,
    workers: WorkersOption = 1,
    inject_failures: FailuresOption = None,
    profile: ProfileOption = "",
) -> None:
    """Start Azurite, the Azure OpenAI emulator and the host, deploy the suites, and stay up until Ctrl-C."""
    folders = suites or sorted(path.parent for path in (project_root() / "config").glob(f"*/{SUITE_FILE}"))
    if running_stack(home):
        raise UserError(f"a local stack runs on {home} already")
    for folder in folders:
        opened(folder, profile)  # what is wrong with it is said before anything is started
    with terminated_as_interrupted(), _stack(home, workers, folders, inject_failures) as stack:
        names = asyncio.run(_deploy(home, stack, folders, profile))
        typer.echo(f"host      {stack.host}/api/health\nmodel     {stack.openai}\nlogs      {home / 'logs'}")
        typer.echo(f"suites    {', '.join(names)}")
        scripted = [folder.name for folder in folders if (folder / "emulator.yaml").is_file()]
        typer.echo(f"answers   made up by the emulator; scripted for: {', '.join(scripted) or 'no suite'}")
        if home != HOME:
            typer.echo(f"Other commands find this stack with ASSAY_HOME={home} in their environment.")
        typer.echo("In another terminal: assay submit FILE --suite NAME --watch. Ctrl-C stops everything.")
        _wait(stack, home)


@emulate.command(
    name="openai", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def emulate_openai(context: typer.Context) -> None:
    """Run the Azure OpenAI emulator alone; '--help' shows its options."""
    from assay.local import openai_emulator

    raise typer.Exit(openai_emulator.main(context.args))


def _suite_folder(said: Path) -> Path:
    """The folder itself, or that of the sample of this name."""
    samples = project_root() / "config"
    if said.exists() or len(said.parts) > 1:
        return said
    if not (samples / said).is_dir():
        known = [path.parent.name for path in sorted(samples.glob(f"*/{SUITE_FILE}"))]
        hint = did_you_mean(said.name, known)
        raise UserError(f"there is no folder and no sample '{said}'{hint}. Samples: {', '.join(known)}")
    return samples / said


@contextmanager
def _stack(home: Path, workers: int, suites: list[Path], failures: str | None) -> Iterator[Stack]:
    """The stack that runs on `home` already, else one of our own while the block runs."""
    emulators = tuple(path for folder in suites if (path := folder / "emulator.yaml").is_file())
    if failures:
        read_failures(failures)  # what is wrong with it is said before anything is started
    running = running_stack(home)
    if running:
        _refuse_unscripted(running, home, emulators)
        _refuse_uncoded(running, home, suites)
        _refuse_drill(failures, home)
        progress_console().print(f"Using the local stack that runs on {home}.")
        yield running
        return
    settings = Settings.load()  # a wrong setting would only show in the log of the host
    code = (*settings.code_folders, *filter(has_code, suites))
    began = time.monotonic()
    options = StackOptions(
        home=home,
        workers=workers,
        emulators=emulators,
        inject_failures=failures,
        code=code,
        quota=_granted(emulators, settings),
    )
    with started_stack(options) as stack:
        progress_console().print(f"Azurite, model emulator and host are up ({time.monotonic() - began:.1f} s).")
        try:
            yield stack
        finally:
            progress_console().print("Stopping host, emulator and storage ...")


def _granted(emulators: tuple[Path, ...], settings: Settings) -> dict[str, Any]:
    """What the emulator's files grant, so that no suite need say it; what the user set goes before it."""
    from assay.local.emulator_config import granted_quota

    return granted_quota(emulators) | {name: one.model_dump() for name, one in settings.quota.items()}


def _refuse_unscripted(stack: Stack, home: Path, emulators: tuple[Path, ...]) -> None:
    """A stack without the suite's script would give filler answers, and a result that means nothing."""
    unknown = [path for path in emulators if str(path.resolve()) not in stack.emulators]
    if unknown:
        raise UserError(
            f"the local stack on {home} runs without {unknown[0]};"
            " stop it with Ctrl-C where it runs, or choose another --home"
        )


def _refuse_uncoded(stack: Stack, home: Path, suites: list[Path]) -> None:
    """Its host would refuse every dataset, as it cannot import the suite's program."""
    unknown = [folder for folder in filter(has_code, suites) if str(folder.resolve()) not in stack.code]
    if unknown:
        raise UserError(
            f"the local stack on {home} runs without the Python code in {unknown[0]};"
            " stop it with Ctrl-C where it runs, or choose another --home"
        )


def _refuse_drill(failures: str | None, home: Path) -> None:
    """The workers of a stack that runs already were started without them."""
    if failures:
        raise UserError(
            f"the local stack on {home} runs without these failures; stop it first, or choose another --home"
        )


async def _demo(home: Path, stack: Stack, folder: Path, dataset: Path, profile: str) -> dict[str, Any]:
    runtime = _runtime(home, stack)
    try:
        name = await uploaded(runtime.storage, folder, profile)
        again = await _which_run(runtime, home, name, dataset)
        drop = await drop_file(runtime.storage, name, dataset, again=again)
        _remember(home, name, again)
        progress_console().print(f"Dropped {dataset.name} as {drop.path}: run {drop.run}")
        await appeared(runtime, drop)
        await watch(runtime, drop.run)
        bundle = home / "bundles" / drop.run
        if not bundle.exists():
            await fetch_bundle(runtime.storage, drop.run, bundle)
    finally:
        await runtime.close()
    return _conclude(home, drop.run, bundle)


async def _which_run(runtime: Runtime, home: Path, suite: str, dataset: Path) -> str:
    """What tells this demo's run from earlier ones of the same content; says whether it resumes or starts fresh."""
    again = _remembered(home, suite)
    progress = await runtime.run(await run_of(runtime.storage, suite, dataset, again))
    if progress is None:
        return again
    if progress.stage is Stage.DONE:
        progress_console().print(f"The last demo ({progress.run}) has ended; starting a new run of the same content.")
        return secrets.token_hex(4)
    progress_console().print(f"Resuming the demo that was interrupted ({progress.run}).")
    return again


def _conclude(home: Path, run: str, bundle: Path) -> dict[str, Any]:
    """Shows the comparison, verifies the bundle and says how to do that oneself."""
    public_key = home / PUBLIC_KEY_FILE
    found = verify_bundle(bundle, public_key.read_bytes())
    if not found.ok:
        raise CheckFailed(f"{bundle} does not verify: {'; '.join(map(str, found.findings))}")
    summary = (bundle / SUMMARY).read_text(encoding="utf-8")
    if not wants_json():
        _show(summary, bundle, public_key)
    return {"run": run, "bundle": str(bundle), "verified": found.ok, "summary": json.loads(summary)}


def _show(summary: str, bundle: Path, public_key: Path) -> None:
    from assay.cli.results import comparison_table, headings, unanswered_sentence
    from assay.reporting.contents import Contents

    contents = Contents.model_validate_json(summary)
    typer.echo()
    level = f"{100 * (1 - contents.run.alpha):g} %"
    print_table(
        headings(contents), comparison_table(contents), title=f"Score '{contents.primary}', intervals of {level}"
    )
    typer.echo(f"\n{contents.headline}. {unanswered_sentence(contents)}".rstrip() + "\n")
    typer.echo(f"report    {bundle / REPORT_HTML}")
    typer.secho("signature verified", fg="green", bold=True)
    signature, manifest = bundle / SIGNATURE_NAME, bundle / MANIFEST_NAME
    typer.echo("\nCheck it yourself:")
    typer.echo(f"  .venv/bin/assay verify {bundle} --key {public_key}")
    typer.echo(f"  openssl dgst -sha256 -verify {public_key} -signature {signature} {manifest}")


async def _deploy(home: Path, stack: Stack, folders: list[Path], profile: str) -> list[str]:
    runtime = _runtime(home, stack)
    try:
        return [await uploaded(runtime.storage, folder, profile) for folder in folders]
    finally:
        await runtime.close()


def _runtime(home: Path, stack: Stack) -> Runtime:
    return Runtime(Settings.load(stack.environment(home)))


def _remembered(home: Path, suite: str) -> str:
    try:
        return str(json.loads((home / DEMO_FILE).read_text(encoding="utf-8")).get(suite, ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _remember(home: Path, suite: str, again: str) -> None:
    (home / DEMO_FILE).write_text(json.dumps({suite: again}), encoding="utf-8")


def _wait(stack: Stack, home: Path) -> None:
    """Until Ctrl-C, or until a part of the stack ends by itself."""
    try:
        while all(is_running(pid) for pid in stack.pids.values()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
    raise CheckFailed(f"a part of the local stack ended by itself; see {home / 'logs'}")
