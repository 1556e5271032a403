"""A sink that the settings do not allow to open: it says so when it is used, and holds up no other."""

from assay.errors import UserError
from assay.sinks.base import Bundle, Receipt
from assay.suite.levels import Level


class UnusableSink:
    """Refuses with the reason why it could not be opened."""

    def __init__(self, name: str, clearance: Level, reason: str) -> None:
        self.name, self.clearance, self._reason = name, clearance, reason

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        return (f"nothing: {self._reason}",)

    async def publish(self, bundle: Bundle) -> Receipt:
        raise UserError(self._reason)

    async def close(self) -> None:
        """There is nothing to close."""
