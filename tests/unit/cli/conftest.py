"""Commands as a shell runs them, on storage in memory where they need any."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from assay.cli import cache, main, quota
from assay.storage.memory import MemoryStorage


@pytest.fixture(name="assay")
def _assay(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; gives exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["assay", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture(name="storage")
def _storage(monkeypatch: pytest.MonkeyPatch) -> MemoryStorage:
    """The storage that commands on cache and quota talk to."""
    storage = MemoryStorage()

    def with_runtime(work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await work(SimpleNamespace(storage=storage))

        return asyncio.run(run())

    for command in (cache, quota):
        monkeypatch.setattr(command, "with_runtime", with_runtime)
    return storage
