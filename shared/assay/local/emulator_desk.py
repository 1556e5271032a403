"""The referee's desk: `/_emulator` tells how well the quotas were met and what was billed, and takes orders.

`openai_emulator` adds its routes to each server. Orders are described in `emulator_orders`.
"""

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from assay.field_problems import field_sentence
from assay.local.emulator_deployment import HeaderRules
from assay.local.emulator_orders import (
    DownOrder,
    FaultOrder,
    HeaderOrder,
    QuotaOrder,
    RefusalOrder,
    ShieldOrder,
    Target,
)
from assay.local.emulator_page import report_page
from assay.local.emulator_referee import DeploymentReferee, Referee
from assay.local.emulator_shield import PromptShield, shares_only

_Order = TypeVar("_Order", bound=BaseModel)
_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RefereeDesk:
    """Answers questions about one server. `?since=` and `?until=` are seconds of `clock`; reports tell it as `now`.

    An order that makes no sense is refused with 400 and whom it concerns with 404 when they are not served; both say
    why. A second order of a kind replaces the first.
    """

    def __init__(self, referee: Referee, shield: PromptShield, clock: Callable[[], float]) -> None:
        self._referee = referee
        self._shield = shield
        self._clock = clock

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/_emulator", self.report)
        router.add_get("/_emulator/page", self.page)
        orders: dict[str, _Answer] = {
            "reset": self.reset,
            "start": self.start,
            "restore": self.restore,
            "quota": self.change_quota,
            "faults": self.set_faults,
            "down": self.set_down,
            "refuse": self.set_refusal,
            "headers": self.set_headers,
            "shield": self.set_shield,
        }
        for name, answer in orders.items():
            router.add_post(f"/_emulator/{name}", answer)

    async def report(self, request: web.Request) -> web.Response:
        """The figures as JSON; 400 when a time is no number."""
        return web.json_response(await self._figures(request))

    async def page(self, request: web.Request) -> web.Response:
        """The same figures for a browser."""
        return web.Response(text=report_page(await self._figures(request)), content_type="text/html")

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget figures and bills; quotas, orders and schedule go on. A second call does the same again."""
        self._referee.reset(self._clock())
        self._shield.reset()
        return self._done()

    async def start(self, _request: web.Request) -> web.Response:
        """Play the schedule from the beginning; figures and what the quotas hold stay."""
        self._referee.start(self._clock())
        return self._done()

    async def restore(self, _request: web.Request) -> web.Response:
        """Undo every order; figures and schedule stay."""
        self._referee.restore(self._clock())
        self._shield.restore()
        return self._done()

    async def change_quota(self, request: web.Request) -> web.Response:
        order = await _order(request, QuotaOrder)
        for judge in self._found(order):
            judge.obey(self._clock(), order)
        return self._done()

    async def set_faults(self, request: web.Request) -> web.Response:
        order = await _order(request, FaultOrder)
        shares = shares_only(order)
        for judge in self._found(order):
            judge.switches.faults = shares if shares.played else None
        return self._done()

    async def set_down(self, request: web.Request) -> web.Response:
        order = await _order(request, DownOrder)
        self._found(order)
        self._referee.set_down(order, order.down)
        return self._done()

    async def set_refusal(self, request: web.Request) -> web.Response:
        order = await _order(request, RefusalOrder)
        for judge in self._found(order):
            judge.switches.refusal = order.refusal
        return self._done()

    async def set_headers(self, request: web.Request) -> web.Response:
        order = await _order(request, HeaderOrder)
        rules = HeaderRules(**order.model_dump(include=set(HeaderRules.model_fields)))
        for judge in self._found(order):
            judge.switches.headers = rules
        return self._done()

    async def set_shield(self, request: web.Request) -> web.Response:
        self._shield.faults = shares_only(await _order(request, ShieldOrder))
        return self._done()

    def _found(self, order: Target) -> list[DeploymentReferee]:
        try:
            return self._referee.judges(order)
        except LookupError as error:
            raise web.HTTPNotFound(text=str(error.args[0])) from error

    def _done(self) -> web.Response:
        return web.json_response({"now": self._clock()})

    async def _figures(self, request: web.Request) -> dict[str, Any]:
        since, until = _seconds(request, "since"), _seconds(request, "until")
        report = await self._referee.report(self._clock(), since, until)
        return {**report, "shield": self._shield.fields()}


async def _order(request: web.Request, kind: type[_Order]) -> _Order:
    raw = await request.read()
    try:
        return kind.model_validate(json.loads(raw) if raw else {})
    except ValidationError as error:
        raise web.HTTPBadRequest(text="; ".join(map(field_sentence, error.errors()))) from error
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"The body is no JSON object: {error}") from error


def _seconds(request: web.Request, name: str) -> float | None:
    given = request.query.get(name)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise web.HTTPBadRequest(text=f"{name}={given}: expected monotonic seconds, such as {name}=1234.5")
    return seconds
