"""Calls aggregators and comparers so that none of them can cost the others their results. The evaluation calls it.

What a plugin did wrong stands in the report under its name, as {"error": "..."}.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from assay.scoring.base import Aggregator, Comparer, Json
from assay.scoring.plain_json import NotJson, plain_mapping
from assay.scoring.raised import PLUGIN_ERRORS, told

if TYPE_CHECKING:
    from assay.scoring.views import ExperimentView

ERROR = "error"
Figures = dict[str, Json]


def run_aggregators(aggregators: Iterable[Aggregator], view: "ExperimentView") -> dict[str, Figures]:
    """The figures of an experiment by aggregator, plain JSON with finite numbers; never raises for a plugin's fault."""
    return {one.name: _safely("aggregator", one.name, partial(one.aggregate, view)) for one in aggregators}


def run_comparers(
    comparers: Iterable[Comparer], baseline: "ExperimentView", variant: "ExperimentView"
) -> dict[str, Figures]:
    """The figures of a variant against the baseline by comparer, as `run_aggregators` gives them."""
    return {one.name: _safely("comparer", one.name, partial(one.compare, baseline, variant)) for one in comparers}


def _safely(kind: str, name: str, run: Callable[[], Mapping[str, Any]]) -> Figures:
    try:
        return plain_mapping(run())
    except NotJson as problem:
        return {ERROR: f"{kind} '{name}' returned what no report can hold: {problem}"}
    except PLUGIN_ERRORS as error:  # a plugin may raise anything, and the report goes on
        return {ERROR: f"{kind} '{name}' failed: {told(error)}"}
