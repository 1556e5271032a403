"""An Azure OpenAI emulator: the wire protocol with regions, quotas, bills, latency, faults and scripted answers.

Called by `assay emulate openai`, the demo, tests and benchmarks; alone: `python -m assay.local.openai_emulator`.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from assay.errors import EXIT_OK, EXIT_USER, AssayError
from assay.local.emulator_config import EmulatorConfig, load_emulator_config
from assay.local.emulator_desk import RefereeDesk
from assay.local.emulator_service import EmulatorSettings, OpenAIEmulator
from assay.local.emulator_shield import PromptShield
from assay.local.files import write_whole

__all__ = ["EmulatorSettings", "create_app", "main", "running_emulator"]

HOST = "127.0.0.1"
MAX_BODY_BYTES = 16 * 2**20
SHUTDOWN_SECONDS = 0.2


def create_app(config: EmulatorConfig, settings: EmulatorSettings | None = None) -> web.Application:
    """The emulator as an aiohttp application; each call has quotas, counts and a log of its own.

    Raises SuiteError when an answer file is unusable.
    """
    emulator_settings = settings or EmulatorSettings()
    emulator = OpenAIEmulator(config, emulator_settings)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    shield = PromptShield(config, emulator_settings, emulator.referee)
    for prefix in ("", "/regions/{region}"):
        add = app.router.add_post
        add(f"{prefix}/openai/deployments/{{deployment}}/chat/completions", emulator.chat_completions)
        add(f"{prefix}/openai/v1/chat/completions", emulator.chat_completions)
        add(f"{prefix}/v1/chat/completions", emulator.chat_completions)
        add(f"{prefix}/openai/deployments/{{deployment}}/embeddings", emulator.embeddings)
        add(f"{prefix}/openai/v1/embeddings", emulator.embeddings)
        add(f"{prefix}/v1/embeddings", emulator.embeddings)
        add(f"{prefix}/contentsafety/text:shieldPrompt", shield.shield_prompt)
    app.router.add_get("/health", emulator.health)
    app.router.add_get("/emulator/stats", emulator.stats)
    app.router.add_post("/emulator/quota", emulator.change_quota)
    RefereeDesk(emulator.referee, shield, emulator.clock).add_routes(app.router)
    app.router.add_route("*", "/{path:.*}", emulator.not_found)

    async def close_log(_app: web.Application) -> None:
        emulator.log.close()

    app.on_cleanup.append(close_log)
    return app


@asynccontextmanager
async def running_emulator(
    config: EmulatorConfig, settings: EmulatorSettings | None = None, port: int = 0
) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 within the block and give the address, such as `http://127.0.0.1:40123`. Port 0: a free one.

    Leaving the block ends open requests within half a second. Raises OSError when the port is taken.
    """
    runner = web.AppRunner(create_app(config, settings), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, backlog=1024).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT, then return 0; an AssayError is told on standard error and gives its exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_emulator_config(options.config)
        asyncio.run(_serve(config, _settings(options), options.port, options.ready_file))
    except AssayError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        # The port is taken, or the log or ready file cannot be written: the text names it.
        sys.stderr.write(f"The emulator cannot start: {error}\n")
        return EXIT_USER
    return EXIT_OK


async def _serve(config: EmulatorConfig, settings: EmulatorSettings, port: int, ready_file: Path | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: Any) -> None:
        loop.call_soon_threadsafe(stopped.set)

    # signal.signal and not loop.add_signal_handler, which Windows lacks.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    async with running_emulator(config, settings, port) as address:
        if ready_file is not None:
            write_whole(ready_file, address.rpartition(":")[2] + "\n")
        sys.stdout.write(f"Azure OpenAI emulator listening on {address}\n")
        sys.stdout.flush()
        await stopped.wait()


def _settings(options: argparse.Namespace) -> EmulatorSettings:
    return EmulatorSettings(
        key=options.key,
        latency_ms=options.latency_ms,
        quota=not options.no_quota,
        request_window_seconds=options.request_window_seconds,
        count_rejected=options.count_rejected,
        rate_limit_headers=not options.no_rate_limit_headers,
        retry_after_headers=not options.no_retry_after,
        any_deployment=options.any_deployment,
        hang_seconds=options.hang_seconds,
        log_path=options.log,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m assay.local.openai_emulator", description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, action="append", default=[], metavar="FILE", help="an emulator.yaml; may be repeated")
    add("--port", type=int, default=0, help="0, the default, takes a free one")
    add("--log", type=Path, metavar="FILE", help="append a JSON line for each arrival and each answer")
    add("--ready-file", type=Path, metavar="FILE", help="gets the port when requests are accepted")
    add("--key", help="the only key that is accepted; without it any is")
    add("--latency-ms", type=float, metavar="N", help="answer time in place of the deployments' own")
    add("--no-quota", action="store_true", help="admit every request")
    add("--any-deployment", action="store_true", help="serve deployments that no file defines")
    add("--request-window-seconds", type=float, default=10.0, metavar="N", help="10, the default, or 1")
    add(
        "--count-rejected",
        nargs="?",
        const="requests",
        default="none",
        choices=("none", "requests", "both"),
        help="rejected requests fill the request window too, or both",
    )
    add("--no-rate-limit-headers", action="store_true", help="leave x-ratelimit-* headers out")
    add("--no-retry-after", action="store_true", help="leave retry-after headers out of 429 answers")
    add("--hang-seconds", type=float, default=600.0, metavar="N", help="longest hold of a timeout fault")
    return parser


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        raise SystemExit(main())
