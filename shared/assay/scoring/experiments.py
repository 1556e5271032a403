"""The aggregators and comparers that suites name. They import NumPy and statsmodels only when they run."""

from assay.registry import OpenRegistry, Plugin
from assay.scoring.aggregators.classification import ClassificationOptions, ClassificationReport
from assay.scoring.aggregators.spread import (
    Latency,
    QuantileOptions,
    ScoreQuantileOptions,
    ScoreQuantiles,
    TokenUsage,
)
from assay.scoring.base import Aggregator, Comparer
from assay.scoring.calls import CallableAggregator, CallableComparer, CallOptions, ComparerCallOptions
from assay.scoring.comparers.pairs import (
    CostRatio,
    LabelChangeOptions,
    LabelChanges,
    LatencyRatio,
    WinRate,
    WinRateOptions,
)
from assay.scoring.options import PluginOptions

AGGREGATORS: OpenRegistry[Aggregator] = OpenRegistry(
    "aggregator",
    Plugin("classification_report", ClassificationOptions, ClassificationReport),
    Plugin("score_quantiles", ScoreQuantileOptions, ScoreQuantiles),
    Plugin("token_usage", QuantileOptions, TokenUsage),
    Plugin("latency", QuantileOptions, Latency),
    Plugin("callable", CallOptions, CallableAggregator),
)

COMPARERS: OpenRegistry[Comparer] = OpenRegistry(
    "comparer",
    Plugin("win_rate", WinRateOptions, WinRate),
    Plugin("label_changes", LabelChangeOptions, LabelChanges),
    Plugin("cost_ratio", PluginOptions, CostRatio),
    Plugin("latency_ratio", PluginOptions, LatencyRatio),
    Plugin("callable", ComparerCallOptions, CallableComparer),
)
