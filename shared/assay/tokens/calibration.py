"""Running measures that follow a stream and forget what is long past. Called by `estimate.py`; no I/O, no clock."""

import math

REMEMBERED = 200
SETTLED = 20
WIDEST_STEP = 2.0


class RunningRatio:
    """Tokens per unit of text, as a ratio of sums, so that long prompts weigh as much as they cost.

    It forgets over some two hundred prompts. Once settled, one prompt counts for at most twice or at least half of what
    was expected of it: a prompt of another kind moves the ratio, and only many of them turn it.
    """

    def __init__(self, start: float, units: float) -> None:
        self._tokens = start * units
        self._units = units
        self._seen = 0

    @property
    def value(self) -> float:
        return self._tokens / self._units

    def learn(self, units: int, tokens: float) -> None:
        """Takes one prompt's units and tokens in; a prompt without units says nothing."""
        if units <= 0:
            return
        self._seen += 1
        if self._seen > SETTLED:
            expected = self.value * units
            tokens = min(max(tokens, expected / WIDEST_STEP), expected * WIDEST_STEP)
        kept = 1 - 1 / REMEMBERED
        self._tokens = self._tokens * kept + max(0.0, tokens)
        self._units = self._units * kept + units


class RelativeError:
    """Mean (bias) and standard deviation (sigma) of relative errors, over some two hundred of them.

    Exponentially weighted; the first ones weigh alike (West 1979, incremental mean and variance).
    """

    def __init__(self) -> None:
        self.count = 0
        self.bias = 0.0
        self._variance = 0.0

    @property
    def sigma(self) -> float:
        return math.sqrt(self._variance)

    def learn(self, estimated: float, actual: float) -> None:
        """Takes one estimate in; too high is a positive error. Nothing is relative to an actual value of 0."""
        if actual <= 0:
            return
        self.count += 1
        weight = max(1 / self.count, 1 / REMEMBERED)
        distance = (estimated - actual) / actual - self.bias
        self.bias += weight * distance
        self._variance = (1 - weight) * (self._variance + weight * distance * distance)
