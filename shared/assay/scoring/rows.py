"""The scorers that suites name: `SCORERS`. Heavy packages are imported only when one that needs them is used."""

from assay.registry import OpenRegistry, Plugin
from assay.scoring.base import Scorer
from assay.scoring.calls import CallableScorer, ScorerCallOptions
from assay.scoring.scorers.derived import Normalised, NormalisedOptions, Threshold, ThresholdOptions
from assay.scoring.scorers.labels import JsonValid, JsonValidOptions, LabelMatch, LabelMatchOptions
from assay.scoring.scorers.numbers import JsonScore, JsonScoreOptions, NumericTolerance, NumericToleranceOptions
from assay.scoring.scorers.similarity import TextSimilarity, TextSimilarityOptions
from assay.scoring.scorers.texts import Contains, ContainsOptions, Regex, RegexOptions
from assay.scoring.scorers.usage import LatencyOptions, LatencyScore, TokenUsageOptions, TokenUsageScore

SCORERS: OpenRegistry[Scorer] = OpenRegistry(
    "scorer",
    Plugin("label_match", LabelMatchOptions, LabelMatch),
    Plugin("json_score", JsonScoreOptions, JsonScore),
    Plugin("contains", ContainsOptions, Contains),
    Plugin("regex", RegexOptions, Regex),
    Plugin("numeric_tolerance", NumericToleranceOptions, NumericTolerance),
    Plugin("json_valid", JsonValidOptions, JsonValid),
    Plugin("text_similarity", TextSimilarityOptions, TextSimilarity),
    Plugin("threshold", ThresholdOptions, Threshold),
    Plugin("normalised", NormalisedOptions, Normalised),
    Plugin("token_usage", TokenUsageOptions, TokenUsageScore),
    Plugin("latency", LatencyOptions, LatencyScore),
    Plugin("callable", ScorerCallOptions, CallableScorer),
)
