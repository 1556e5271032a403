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


def _settings() -> Settings:
    settings = Settings.load()
    if settings.storage_connection_string or settings.storage_blob_url:
        return settings
    stack = running_stack(HOME)
    if stack is None:
        raise UserError(
            "no storage account: run 'assay up' in another terminal for a local one, or set ASSAY_STORAGE"
            " (a connection string) or ASSAY_STORAGE__blobServiceUri and ASSAY_STORAGE__queueServiceUri"
        )
    return Settings.load({**os.environ, **stack.environment(HOME)})
