"""The result of a dropped query: run once, kept, and from then on the run's dataset. The planning step asks for it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from assay.errors import BlobExists, BlobMissing, UserError
from assay.orchestration.ingest import file_digest
from assay.planning.datasets import freeze_query
from assay.records import Record
from assay.run_records import RunHeader
from assay.sources.sql import Query
from assay.storage import layout
from assay.storage.base import Storage
from assay.suite.models import Suite

AddressOf = Callable[[str], Awaitable[str]]
"""Gives the address of the database that a connection's name stands for, or raises UserError."""


class KeptResult(Record):
    """Which result of its query a run stands on."""

    sha256: str
    connection: str
    asked_at: datetime


async def no_connections(connection: str) -> str:
    """For processes that know no database."""
    raise UserError(f"there is no connection '{connection}'; ASSAY_CONNECTIONS has none")


async def kept_result(
    storage: Storage, header: RunHeader, suite: Suite, query: Query, address_of: AddressOf, at: datetime, target: Path
) -> Path:
    """The result of the run's query, at `target`. It is asked for once: a second call gives what was kept.

    Raises what `freeze_query` and `address_of` raise.
    """
    if (kept := await _kept(storage, header.run)) is None:
        address = await address_of(query.connection)
        await asyncio.to_thread(freeze_query, query, suite, header.suite_source, address, target)
        fresh = KeptResult(
            sha256=await asyncio.to_thread(file_digest, target), connection=query.connection, asked_at=at
        )
        await storage.upload(layout.query_result(header.run, fresh.sha256), target)
        with suppress(BlobExists):  # of two steps that asked at once, both go on with what the first one got
            await storage.write(layout.query(header.run), fresh.model_dump_json().encode())
        kept = await _kept(storage, header.run) or fresh
    await storage.download(layout.query_result(header.run, kept.sha256), target)
    return target


async def _kept(storage: Storage, run: str) -> KeptResult | None:
    try:
        return KeptResult.model_validate_json(await storage.read(layout.query(run)))
    except BlobMissing:
        return None
