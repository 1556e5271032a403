"""A worker as a process of its own: handles the chunk messages of its standard input. Settings from its environment."""

import asyncio
import sys

from assay.runtime import runtime


async def work() -> None:
    for message in sys.stdin.read().splitlines():
        await runtime().worker.handle(message)
    await runtime().close()


asyncio.run(work())
