"""What a worker writes down and is told: JSON lines out, JSON lines in. Standard library only, for both sides."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Journal:
    """One JSON line per event, each a single write, so that a killed worker loses none."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, "t": time.monotonic(), **fields}, default=str)
        os.write(self._file, line.encode() + b"\n")


async def read_orders(obey: Callable[[dict[str, Any]], None], stopping: asyncio.Event) -> None:
    """Obeys each line of standard input; when that is closed, nobody is left to work for."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        obey(json.loads(line))
    stopping.set()
