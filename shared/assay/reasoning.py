"""How much models may think before they answer; suites, requests and programs say it. Imports nothing of ours."""

from typing import Literal

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
"""Each model knows some of these."""
