"""The circuit breaker of one deployment: stops asking one that keeps failing, and probes whether it is back.

Pure policy: time is passed in, `asking.py` carries it out. A deployment's routes of all experiments share one.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf

CONSECUTIVE_FAILURES = 5
WINDOW = 20
WINDOW_FAILURES = WINDOW // 2
FIRST_PROBE_SECONDS = 15.0
LONGEST_PROBE_SECONDS = 300.0

# While somebody else's probe is under way its end is awaited by looking again.
LOOK_AGAIN_SECONDS = 0.5


@dataclass
class Breaker:
    """Closed: everybody may ask. Open: nobody, until one probe is due. Its success closes it again.

    Opens after five failures in a row, or ten of the last twenty; probes after 15 s, doubling to five minutes.
    Whoever enters tells how it went: exactly one of `succeeded`, `failed` and `left`.
    """

    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _in_a_row: int = 0
    _probe_at: float = -inf
    _probe_wait: float = 0.0
    _is_probing: bool = False

    @property
    def is_open(self) -> bool:
        return self._probe_wait > 0

    @property
    def state(self) -> str:
        """`closed`, `open`, or `probing` while one request finds out."""
        return ("probing" if self._is_probing else "open") if self.is_open else "closed"

    def wait_seconds(self, now: float) -> float:
        """How long nobody may enter; 0 when somebody may."""
        if not self.is_open:
            return 0.0
        return LOOK_AGAIN_SECONDS if self._is_probing else max(0.0, self._probe_at - now)

    def enter(self) -> None:
        """Somebody asks, which `wait_seconds` allowed; when open, it is the probe."""
        self._is_probing = self.is_open

    def left(self) -> None:
        """Whoever entered cannot tell how the deployment is."""
        self._is_probing = False

    def succeeded(self) -> bool:
        """The deployment answered, whatever it said. Says whether that closed the breaker."""
        was_open = self.is_open
        if was_open:
            self._recent.clear()
        self._probe_wait, self._is_probing, self._in_a_row = 0.0, False, 0
        self._recent.append(True)
        return was_open

    def failed(self, now: float) -> bool:
        """The deployment failed. Says whether that opened the breaker."""
        if self.is_open:
            self._reopen(now)
            return False
        self._in_a_row += 1
        self._recent.append(False)
        is_bad = len(self._recent) == WINDOW and self._recent.count(False) >= WINDOW_FAILURES
        if self._in_a_row < CONSECUTIVE_FAILURES and not is_bad:
            return False
        self._probe_wait = FIRST_PROBE_SECONDS
        self._probe_at = now + self._probe_wait
        return True

    def _reopen(self, now: float) -> None:
        """The probe failed. Failures of requests that were under way when it opened change nothing."""
        if not self._is_probing:
            return
        self._is_probing = False
        self._probe_wait = min(2 * self._probe_wait, LONGEST_PROBE_SECONDS)
        self._probe_at = now + self._probe_wait
