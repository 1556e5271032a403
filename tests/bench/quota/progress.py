"""Lines about how far the bench is, on standard error: results alone go to standard output."""

from __future__ import annotations

import sys
import time

_began = time.monotonic()
_left = 0.0


def expect(seconds: float) -> None:
    """About how long the whole bench will take from now."""
    global _left
    _left = time.monotonic() + seconds


def say(text: str) -> None:
    """One line with the time since the start and about how much is left."""
    left = max(0.0, _left - time.monotonic())
    rest = f", about {left / 60:.0f} min left" if left else ""
    print(f"[{time.monotonic() - _began:6.0f} s{rest}] {text}", file=sys.stderr, flush=True)
