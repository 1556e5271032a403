"""Finds the storage account that a command is about: the environment's, else that of the local stack."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from assay.errors import UserError
from assay.local.stack import HOME, running_stack
from assay.runtime import Runtime
from assay.settings import Settings

Result = TypeVar("Result")


@asynccontextmanager
async def connected() -> AsyncIterator[Runtime]:
    """A runtime for one command. Raises UserError when there is no storage account to talk to."""
    runtime = Runtime(_settings())
    try:
        yield runtime
    finally:
        await runtime.close()


def with_runtime(work: Callable[[Runtime], Awaitable[Result]]) -> Result:
    """Runs `work` with a runtime and gives its result."""

    async def run() -> Result:
        async with connected() as runtime:
            return await work(runtime)

    return asyncio.run(run())


def chosen_settings() -> Settings:
    """The environment's settings; where they name no storage account, with those of the local stack if it runs."""
    settings = Settings.load()
    stack = running_stack(HOME)
    if stack is None or settings.names_storage:
        return settings
    return Settings.load({**os.environ, **stack.environment(HOME)})


def _settings() -> Settings:
    settings = chosen_settings()
    if settings.names_storage:
        return settings
    raise UserError(
        "no storage account: run 'assay up' in another terminal for a local one, or set ASSAY_STORAGE"
        " (a connection string) or ASSAY_STORAGE__blobServiceUri and ASSAY_STORAGE__queueServiceUri"
    )
