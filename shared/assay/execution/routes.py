"""Routes: the deployments that may answer an experiment's questions, each with its model client and its limiter."""

from dataclasses import dataclass

from assay.llm.base import ChatModel
from assay.quota.base import Limiter


@dataclass(frozen=True, slots=True)
class Route:
    """One deployment. `reference` is what the suite calls it, `deployment` its name at its endpoint."""

    reference: str
    deployment: str
    model: ChatModel
    limiter: Limiter
