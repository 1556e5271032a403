"""How the bench asks: with the product's own retries, one deployment and the limiter that is measured."""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial

from assay.budget.base import Budget
from assay.execution.asking import Asker
from assay.execution.routes import Route
from assay.llm.base import ChatModel
from assay.llm.pricing import load_prices
from assay.middleware.answer_limits import AnswerLimits
from assay.middleware.base import Ask
from assay.quota.base import Limiter
from assay.telemetry import Telemetry
from assay.tokens.estimate import TokenEstimator

from .loads import DEPLOYMENT

ATTEMPTS_LIMIT = 6


def make_asker(model: ChatModel, limiter: Limiter, telemetry: Telemetry, budget: Budget) -> Asker:
    """Asks one deployment, without a fallback."""
    route = Route(DEPLOYMENT, DEPLOYMENT, model, limiter, TokenEstimator(DEPLOYMENT, telemetry))
    return Asker(
        ladder=((route,),),
        prices=load_prices(),
        budget=budget,
        attempts_limit=ATTEMPTS_LIMIT,
        clock=time.monotonic,
        sleep=asyncio.sleep,
        random=random.random,
        telemetry=telemetry,
    )


def with_answer_limits(ask: Ask, telemetry: Telemetry) -> Ask:
    """Asks with the lower `max_tokens` that the answers suggest, as a run's chain does by default."""
    return partial(AnswerLimits(telemetry, {DEPLOYMENT}).answer, ask=ask)
