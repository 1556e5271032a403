"""Asking a busy service again: how often, and how long to wait."""

import pytest

from assay.errors import ServiceError, UserError
from assay.patience import Busy, Patience, is_busy, retry_after_seconds


class Away(ServiceError, Busy):
    def __init__(self, wait_seconds: float | None = None) -> None:
        super().__init__("away")
        self.wait_seconds = wait_seconds


async def waits(errors: list[Exception], **patience: float) -> tuple[list[float], str]:
    """How long was waited, and what came of it."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def work(answer: str) -> str:
        if errors:
            raise errors.pop(0)
        return answer

    asking = Patience(**{"attempts": 4, "first_wait_seconds": 0.5, **patience}, sleep=sleep)
    try:
        return slept, await asking.ask(work, "here")
    except (ServiceError, UserError) as error:
        return slept, str(error)


@pytest.mark.parametrize(
    ("errors", "waited", "end"),
    [
        ([], [], "here"),
        ([Away(), Away(), Away()], [0.5, 1.0, 2.0], "here"),
        ([Away(7.0), Away()], [7.0, 1.0], "here"),
        ([Away(0.0)], [0.5], "here"),
        ([Away()] * 4, [0.5, 1.0, 2.0], "away"),
        ([Away(), UserError("refused")], [0.5], "refused"),
    ],
)
async def test_a_busy_service_is_asked_again(errors: list[Exception], waited: list[float], end: str) -> None:
    """As long as it says, else twice as long each time; its own error comes out of the last try, any other at once."""
    assert await waits(list(errors)) == (waited, end)


async def test_no_wait_is_longer_than_the_longest() -> None:
    """Whatever the service asks for."""
    assert await waits([Away(60.0), Away()], longest_wait_seconds=0.75) == ([0.75, 0.75], "here")


def test_what_busy_is_and_what_it_asks_for() -> None:
    """Statuses that pass, and the header in seconds; a date is not understood."""
    assert [status for status in (200, 400, 404, 408, 409, 429, 500, 503) if is_busy(status)] == [408, 429, 500, 503]
    headers = [{"retry-after": "3"}, {"retry-after": "Fri, 20 Nov 2026 10:00:00 GMT"}, {}]
    assert [retry_after_seconds(one) for one in headers] == [3.0, None, None]
