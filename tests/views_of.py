"""Builds views from lists, one line per row; a flat list is an experiment without repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assay.scoring.views import NO_LABEL, ExperimentView, LabelColumn, LabelNames


def view(
    scores: Mapping[str, Sequence[Any]] | None = None,
    labels: Mapping[str, Sequence[Any]] | None = None,
    experiment: str = "plain",
    **columns: Sequence[Any],
) -> ExperimentView:
    """`labels` has (expected, found) pairs per trial; None is an unjudged trial. Columns not given are NaN."""
    given = [*(scores or {}).values(), *columns.values(), *(labels or {}).values()]
    rows = len(given[0]) if given else 0
    repeats = len(given[0][0]) if given and isinstance(given[0][0], list) else 1

    def numbers(column: Sequence[Any] | None) -> Any:
        if column is None:
            return np.full((rows, repeats), np.nan)
        return np.array(column, dtype=np.float64).reshape(rows, -1)

    return ExperimentView(
        experiment=experiment,
        baseline=experiment == "plain",
        statuses=np.zeros((rows, repeats), dtype=np.int8),
        scores={name: numbers(column) for name, column in (scores or {}).items()},
        labels={name: label_column(pairs) for name, pairs in (labels or {}).items()},
        **{key: numbers(columns.get(key)) for key in COLUMNS},
    )


COLUMNS = ("latency_seconds", "first_token_seconds", "input_tokens", "output_tokens", "cost_usd")


def label_column(pairs: Sequence[Any]) -> LabelColumn:
    lines = [line if isinstance(line, list) else [line] for line in pairs]
    names = LabelNames()
    codes = [[(names.code(one[0]), names.code(one[1])) if one else (NO_LABEL,) * 2 for one in line] for line in lines]
    both = np.array(codes, dtype=np.int32).reshape(len(lines), -1, 2)
    return LabelColumn(names.names, both[:, :, 0], both[:, :, 1])
