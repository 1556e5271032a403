"""The real `openai` client and a plain session against one emulator, for the tests of the emulator."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import ClientSession
from openai import AsyncAzureOpenAI

from assay.local.emulator_config import Deployment, EmulatorConfig, EmulatorFile, EmulatorScript, merge_scripts
from assay.local.openai_emulator import EmulatorSettings, running_emulator

HELLO: Any = [{"role": "user", "content": "Hello"}]


class Caller:
    """The real client and a plain session against one emulator."""

    def __init__(self, address: str, azure: AsyncAzureOpenAI, http: ClientSession) -> None:
        self.address = address
        self.azure = azure
        self.http = http

    async def ask(self, messages: Any = HELLO, model: str = "mini", **parameters: Any) -> Any:
        return await self.azure.chat.completions.create(model=model, messages=messages, **parameters)

    async def refused(self, **parameters: Any) -> openai.APIStatusError:
        with pytest.raises(openai.APIStatusError) as refusal:
            await self.ask(**parameters)
        return refusal.value

    async def stats(self) -> dict[str, Any]:
        async with self.http.get(f"{self.address}/emulator/stats") as response:
            return dict(await response.json())


def azure_client(endpoint: str, key: str = "any", timeout_seconds: float = 20) -> AsyncAzureOpenAI:
    return AsyncAzureOpenAI(
        azure_endpoint=endpoint, api_key=key, api_version="2024-10-21", max_retries=0, timeout=timeout_seconds
    )


@asynccontextmanager
async def calling(
    config: EmulatorConfig, settings: EmulatorSettings | None = None, *, key: str = "any", timeout_seconds: float = 20
) -> AsyncIterator[Caller]:
    async with (
        running_emulator(config, settings) as address,
        ClientSession() as http,
        azure_client(address, key, timeout_seconds) as azure,
    ):
        yield Caller(address, azure, http)


def in_region(caller: Caller, region: str, key: str = "any") -> Caller:
    """The same emulator, asked through one of its regions; the caller closes its client."""
    return Caller(caller.address, azure_client(f"{caller.address}/regions/{region}", key), caller.http)


def scripted(**content: Any) -> EmulatorConfig:
    """A config of one file with this content."""
    return merge_scripts([EmulatorScript(Path("emulator.yaml"), EmulatorFile.model_validate(content))])


def one_deployment(faults: dict[str, Any] | None = None, **fields: Any) -> EmulatorConfig:
    content = EmulatorFile.model_validate({"seed": 3, "faults": faults or {}})
    script = EmulatorScript(Path("emulator.yaml"), content)
    return EmulatorConfig({"mini": Deployment(model="gpt-4o-mini-2024-07-18", **fields)}, (script,))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def report(caller: Caller, query: str = "") -> dict[str, Any]:
    async with caller.http.get(f"{caller.address}/_emulator{query}") as response:
        return dict(await response.json())


async def post(caller: Caller, path: str, **order: Any) -> None:
    async with caller.http.post(caller.address + path, json=order) as response:
        assert response.status == 200, await response.text()


async def wait_until_idle(caller: Caller) -> None:
    for _ in range(1000):
        if not (await caller.stats())["in_flight"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the emulator still holds a request after ten seconds")
