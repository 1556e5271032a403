"""What can be told to a running emulator under `/_emulator`, and what of it is in force at a deployment.

Read by `emulator_desk`, carried out by `emulator_referee`; strict models.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PositiveInt

from assay.local.emulator_deployment import HeaderRules, Strict
from assay.local.emulator_mishaps import FaultShares
from assay.local.emulator_refusals import RefusalKind


@dataclass(slots=True)
class Switches:
    """What is in force because somebody said so, until somebody says otherwise; the schedule goes on beside it."""

    down: bool = False
    refusal: RefusalKind | None = None
    faults: FaultShares | None = None
    headers: HeaderRules | None = None
    quota_factor: float = 1.0
    headers_tell: bool = True


class Target(Strict):
    """Whom an order concerns: everything, one region, or one deployment (of the region without prefix by default)."""

    region: str | None = None
    deployment: str | None = None


class QuotaOrder(Target):
    """Other limits (absent: unchanged, null: none), or a factor on them. Not `told`: headers go on as before."""

    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    quota_factor: Annotated[float, Field(gt=0, le=1)] | None = None
    told: bool = True


class FaultOrder(Target, FaultShares):
    """Shares of faults in place of those told before; none at all ends them. The file's own go on."""


class DownOrder(Target):
    """Every request is dropped, or no longer."""

    down: bool = True


class RefusalOrder(Target):
    """Every request is refused in one way, or with null no longer."""

    refusal: RefusalKind | None


class HeaderOrder(Target, HeaderRules):
    """Header rules in place of the deployment's own; those that are absent take their defaults."""


class ShieldOrder(FaultShares):
    """Shares of faults of the prompt shield in place of the file's."""
