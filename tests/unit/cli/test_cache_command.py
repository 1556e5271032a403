"""`assay cache`: what it shows, what it removes, and when it asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
import typer

from assay.cli.cache import parsed_period, parsed_size
from assay.errors import UserError
from assay.middleware.cached_answer import digest_of
from assay.storage.memory import MemoryStorage

Running = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="run")
def _run(assay: Running, storage: MemoryStorage) -> Running:
    """`assay cache`, on two corrupt entries."""
    for key in ("0" * 64, "1" * 64):
        asyncio.run(storage.write(f"cache/{key[:2]}/{key}.json", b"{}", metadata=digest_of(b"{}")))
    return partial(assay, "cache")


def left_in(storage: MemoryStorage) -> int:
    async def count() -> int:
        return len([entry async for entry in storage.list("cache/")])

    return asyncio.run(count())


def test_stats(run: Running) -> None:
    """For people, and as one document."""
    code, out, _ = run("stats")
    assert (code, out.splitlines()[:2]) == (0, ["entries  2", "size     4 bytes"])
    assert json.loads(run("stats", "--json")[1])["size_bytes"] == 4


def test_validate_says_no_when_corrupt_entries_stay(run: Running, storage: MemoryStorage) -> None:
    """Exit code 1; with --purge they go, and it is 0."""
    code, out, _ = run("validate")
    assert code == 1
    assert "2 of 2 entries are corrupt: never served; --purge removes them." in out
    code, out, _ = run("validate", "--purge", "--json")
    assert (code, json.loads(out)["removed"], left_in(storage)) == (0, 2, 0)
    assert run("validate")[:2] == (0, "All 0 entries are whole.\n")


def test_purge_says_what_it_would_remove_before_it_asks(
    run: Running, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And removes nothing when the answer is no."""
    monkeypatch.setattr("typer.confirm", _no)
    code, out, said = run("purge", "--max-size", "0")
    assert (code, out, left_in(storage)) == (130, "", 2)
    assert "This would remove 2 entries, 4 bytes, the oldest of" in said


def test_purge_removes_without_asking_when_told(run: Running, storage: MemoryStorage) -> None:
    """For scripts."""
    assert run("purge", "--older-than", "1d", "--yes")[:2] == (0, "There is nothing to remove.\n")
    assert run("purge", "--max-size", "3", "--yes", "--json")[1] == '{"removed": 1, "size_bytes": 2}\n'
    assert left_in(storage) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "set --older-than, --max-size or both"),
        (("--older-than", "30 days"), "such as 30d"),
        (("--max-size", "2XB"), "such as 2GB"),
        (("--max-size", "1", "--json"), "add --yes"),
    ],
)
def test_purge_refuses_what_it_cannot_read(run: Running, arguments: tuple[str, ...], complaint: str) -> None:
    """Nothing is listed or removed for it."""
    code, out, said = run("purge", *arguments)
    assert code == 2
    assert complaint in out + said


def test_periods_and_sizes() -> None:
    """As people write them."""
    assert [parsed_period(text) for text in ("90s", "45m", "12h", "30d")] == [
        timedelta(seconds=90),
        timedelta(minutes=45),
        timedelta(hours=12),
        timedelta(days=30),
    ]
    assert [parsed_size(text) for text in ("1000", "1.5k", "500 MB", "2GB", "1tb")] == [
        1_000,
        1_500,
        500_000_000,
        2_000_000_000,
        10**12,
    ]
    for text in ("", "d", "-1d", "1w"):
        with pytest.raises(UserError):
            parsed_period(text)


def _no(*_: object, **__: object) -> bool:
    raise typer.Abort
