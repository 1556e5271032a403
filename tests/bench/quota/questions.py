"""How the bench asks: with the product's own retries, one deployment and the limiter that is measured."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict

from assay.execution.asking import Asker
from assay.execution.routes import Route
from assay.llm.base import ChatModel
from assay.llm.pricing import load_prices
from assay.middleware.answer_limits import AnswerLimits, Others
from assay.middleware.base import Question, Reply
from assay.middleware.shared_lengths import lengths_metadata
from assay.quota.base import Limiter
from assay.quota.budget import Budget
from assay.quota.estimate import TokenEstimator
from assay.records import Outcome, Response, TrialStatus
from assay.storage import layout
from assay.storage.base import Blobs
from assay.telemetry import Telemetry

from .loads import DEPLOYMENT

ATTEMPTS_LIMIT = 6
CHUNK_ROWS = 25
EXPERIMENT = "plain"


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


def answer_limits(telemetry: Telemetry, others: Others) -> AnswerLimits:
    """Sends the lower `max_tokens` that the answers suggest, as a link of a run's chain does by default."""
    return AnswerLimits(telemetry, {DEPLOYMENT}, others)


class Chunks:
    """Tells other workers how long answers are, as a run does: in the metadata of each chunk that is done.

    A chunk are questions that were taken up one after the other.
    """

    def __init__(self, blobs: Blobs, run: str, worker: str) -> None:
        self._blobs, self._run, self._worker = blobs, run, worker
        self._asked = 0
        self._outcomes: defaultdict[int, list[Outcome | None]] = defaultdict(list)

    def take_up(self) -> int:
        """The chunk that the next question belongs to."""
        self._asked += 1
        return (self._asked - 1) // CHUNK_ROWS

    async def done(self, chunk: int, question: Question, reply: Reply | None) -> None:
        """One question of a chunk is done; without a reply it failed. Writes the blob once all of them are."""
        outcomes = self._outcomes[chunk]
        outcomes.append(_outcome(question, reply) if reply else None)
        if len(outcomes) == CHUNK_ROWS:
            told = lengths_metadata(one for one in self._outcomes.pop(chunk) if one)
            await self._blobs.write(
                layout.outcome(self._run, f"{EXPERIMENT}/{self._worker}", chunk), b"", metadata=told
            )


def _outcome(question: Question, reply: Reply) -> Outcome:
    answer = reply.answer
    response = Response(
        criterion=question.criterion,
        text="",
        finish_reason=answer.finish_reason,
        model=answer.model,
        deployment=reply.deployment,
        request_id=None,
        usage=answer.usage,
        cost_usd=None,
        latency_seconds=answer.latency_seconds,
    )
    return Outcome(
        row_id="row", row_number=1, experiment=EXPERIMENT, status=TrialStatus.SUCCEEDED, responses=(response,)
    )
