"""The middleware chain: which links there are, in which order questions pass them, and how a run's chain is made."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from pydantic import BaseModel, ConfigDict

from assay.errors import ServiceError, UserError
from assay.middleware.answer_limits import AnswerLimits
from assay.middleware.answer_schemas import AnswerSchemas
from assay.middleware.audit import AuditLog, AuditOptions
from assay.middleware.base import Ask, Middleware, Question, Reply
from assay.middleware.cache import CacheOptions, ResponseCache
from assay.middleware.context import Context
from assay.middleware.error_texts import ErrorTexts, RedactionOptions
from assay.middleware.extended import extended
from assay.middleware.images import BlobImages
from assay.middleware.prompt_shield import PromptShieldOptions, prompt_shield
from assay.registry import Plugin, Registry
from assay.suite.models import Suite
from assay.telemetry import Telemetry

ORDER = (
    # Outermost: no error text of any other link leaves unredacted.
    "redaction",
    # Before the guard and the cache: what they refuse or answer themselves is on record too.
    "audit",
    # Before the cache: a question that is refused today is not answered from a time when it was not.
    "prompt_shield",
    # Behind the audit, which records addresses, and before the cache, whose key must hold what the model sees.
    "images",
    # Before whatever spends quota or money; its key is the suite's own `max_tokens`, not the one sent below.
    "cache",
    # Behind the cache: what it keeps is the answer that fits. Before the limits: an answer that they cut is no misfit.
    "answer_schemas",
    # Innermost: only a question that is really sent teaches how long answers are, and is worth a lower limit.
    "answer_limits",
)
"""Names of the links, outermost first; after the last one the question is sent."""

KEPT_CHAINS = 32

Maker = Callable[[Context], Middleware]


class NoOptions(BaseModel):
    """Options of a plugin that has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _redaction(_: RedactionOptions) -> Maker:
    """Takes secrets and personal data out of the messages of failures and of stopped runs."""
    return ErrorTexts


def _audit(options: AuditOptions) -> Maker:
    """Records every question before it goes out, and its end before the answer is used."""
    return partial(AuditLog, options)


def _prompt_shield(options: PromptShieldOptions) -> Maker:
    """Blocks prompts that attack the instructions."""
    return partial(prompt_shield, options)


def _images(_: NoOptions) -> Maker:
    """Reads images of `blob://` addresses and sends them as data."""
    return lambda context: BlobImages(context.storage)


def _cache(options: CacheOptions) -> Maker:
    """Answers from storage what was answered before."""
    return lambda context: ResponseCache(context.storage, context.telemetry, context.now, options)


def _answer_schemas(_: NoOptions) -> Maker:
    """Checks answers against the criterion's `schema`, and has one that does not fit repaired once."""
    return lambda context: AnswerSchemas(context.telemetry)


def _answer_limits(_: NoOptions) -> Maker:
    """Sends a lower `max_tokens` where answers are known to be shorter."""
    return lambda context: AnswerLimits(context.telemetry, context.charged)


MIDDLEWARE: Registry[Maker] = Registry(
    "middleware",
    Plugin("redaction", RedactionOptions, _redaction),
    Plugin("audit", AuditOptions, _audit),
    Plugin("prompt_shield", PromptShieldOptions, _prompt_shield),
    Plugin("images", NoOptions, _images),
    Plugin("cache", CacheOptions, _cache),
    Plugin("answer_schemas", NoOptions, _answer_schemas),
    Plugin("answer_limits", NoOptions, _answer_limits),
)


class Chain:
    """The links of one run in one worker, folded into one `ask`."""

    def __init__(self, links: Sequence[tuple[str, Middleware]], ask: Ask, telemetry: Telemetry) -> None:
        self._links, self._telemetry = tuple(links), telemetry
        self._begun: list[tuple[str, Middleware]] = []
        self._turn = asyncio.Lock()
        for _, link in reversed(self._links):
            ask = partial(link.answer, ask=ask)
        self.ask: Ask = ask

    @property
    def names(self) -> tuple[str, ...]:
        """The links, outermost first."""
        return tuple(name for name, _ in self._links)

    async def begin(self) -> None:
        """Begins every link once, outermost first; a second call does nothing.

        When one cannot begin, those before it are ended and UserError or ServiceError says which and why; then
        the next call tries again.
        """
        async with self._turn:
            for name, link in self._links[len(self._begun) :]:
                try:
                    await link.begin()
                except Exception as error:
                    await self._end_begun()
                    kind = UserError if isinstance(error, UserError) else ServiceError
                    raise kind(f"the middleware '{name}' cannot begin, so nothing is asked: {error}") from error
                self._begun.append((name, link))

    async def end(self) -> None:
        """Ends every link that has begun, innermost first, whatever goes wrong; a second call does nothing."""
        async with self._turn:
            await self._end_begun()

    async def _end_begun(self) -> None:
        while self._begun:
            name, link = self._begun.pop()
            try:
                await link.end()
            except Exception as error:
                self._telemetry.problem("middleware_end_failed", middleware=name, reason=str(error))


class Chains:
    """The chains of the runs that this process works on: one per run, begun once; the least recently used is ended."""

    def __init__(self, kept: int = KEPT_CHAINS) -> None:
        self._kept = kept
        self._chains: OrderedDict[str, Chain] = OrderedDict()

    async def of(self, run: str, build: Callable[[], Chain]) -> Chain:
        """The run's chain, made by `build` when it is new, and begun. Raises what `build` and `Chain.begin` raise."""
        if run not in self._chains:
            self._chains[run] = build()
        chain = self._chains[run]
        self._chains.move_to_end(run)
        await chain.begin()
        while len(self._chains) > self._kept:
            _, oldest = self._chains.popitem(last=False)
            await oldest.end()
        return chain

    async def close(self) -> None:
        """Ends all; a second call does nothing."""
        while self._chains:
            _, chain = self._chains.popitem()
            await chain.end()


def build_chain(suite: Suite, context: Context, ask: Ask) -> Chain:
    """The suite's chain before `ask`; `Chain.begin` comes before the first question.

    Raises UserError when a link lacks a setting, or is not known here: a guard is not left out silently.
    """
    for settings in suite.middleware:
        if settings.plugin not in ORDER:
            raise UserError(f"unknown middleware '{settings.plugin}'; this version of Assay has {', '.join(ORDER)}")
    options = {settings.plugin: settings.options for settings in suite.middleware}
    if options.get("redaction", {}).get("recognisers") == "extended":
        context = replace(context, redactor=extended(context.redactor))
    links = [(name, MIDDLEWARE.make(name, options.get(name, {}))(context)) for name in ORDER if name in _on(suite)]
    return Chain(links, ask, context.telemetry)


def by_experiment(asks: Mapping[str, Ask]) -> Ask:
    """One `ask` for all experiments of a run: each question goes to its experiment's."""

    async def ask(question: Question) -> Reply:
        return await asks[question.experiment](question)

    return ask


def _on(suite: Suite) -> set[str]:
    """Redaction, images and schemas always, answer limits by their switch, the others when the suite names them."""
    named = {settings.plugin for settings in suite.middleware} | {
        "redaction",
        "images",
        "answer_schemas",
        "answer_limits",
    }
    return named if suite.limits.adaptive_max_tokens else named - {"answer_limits"}
