"""The referee's desk: `/_emulator` tells how well the quotas were met, resets the figures, and starts the schedule.

`openai_emulator` adds its routes to each server.
"""

import math
from collections.abc import Callable
from typing import Any

from aiohttp import web

from assay.local.emulator_page import report_page
from assay.local.emulator_referee import Referee


class RefereeDesk:
    """Answers questions about one server. `?since=` and `?until=` are seconds of `clock`; reports tell it as `now`."""

    def __init__(self, referee: Referee, clock: Callable[[], float]) -> None:
        self._referee = referee
        self._clock = clock

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/_emulator", self.report)
        router.add_get("/_emulator/page", self.page)
        router.add_post("/_emulator/reset", self.reset)
        router.add_post("/_emulator/start", self.start)

    async def report(self, request: web.Request) -> web.Response:
        """The figures as JSON; 400 when a time is no number."""
        return web.json_response(await self._figures(request))

    async def page(self, request: web.Request) -> web.Response:
        """The same figures for a browser."""
        return web.Response(text=report_page(await self._figures(request)), content_type="text/html")

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget the figures; quotas and schedule go on. A second call does the same again."""
        now = self._clock()
        self._referee.reset(now)
        return web.json_response({"now": now})

    async def start(self, _request: web.Request) -> web.Response:
        """Play the schedule from the beginning; figures and what the quotas hold stay."""
        now = self._clock()
        self._referee.start(now)
        return web.json_response({"now": now})

    async def _figures(self, request: web.Request) -> dict[str, Any]:
        since, until = _seconds(request, "since"), _seconds(request, "until")
        return await self._referee.report(self._clock(), since, until)


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
