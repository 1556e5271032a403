"""How the bench asks: with the product's own retries, one deployment and the limiter that is measured."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import fields
from typing import Any

from assay.execution.asking import Asker
from assay.execution.routes import Route
from assay.llm.base import ChatModel
from assay.llm.pricing import load_prices
from assay.quota.base import Limiter
from assay.telemetry import Telemetry

from .loads import DEPLOYMENT

ATTEMPTS_LIMIT = 6


def make_asker(model: ChatModel, limiter: Limiter, telemetry: Telemetry) -> Asker:
    """Asks one deployment, without a fallback and without a budget."""
    route = Route(DEPLOYMENT, DEPLOYMENT, model, limiter)
    where: dict[str, Any] = {"route": route}
    if any(field.name == "ladder" for field in fields(Asker)):
        where = {"ladder": ((route,),)}
    return Asker(
        **where,
        prices=load_prices(),
        attempts_limit=ATTEMPTS_LIMIT,
        clock=time.monotonic,
        sleep=asyncio.sleep,
        random=random.random,
        telemetry=telemetry,
    )
