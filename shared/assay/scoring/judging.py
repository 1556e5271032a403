"""What the statistics say about complete pairs: test, interval, effect sizes, sensitivity. `comparisons.py` calls it.

Which test: `statistics/choice.py`. The interval and the first effect size go with the test.
"""

from dataclasses import dataclass, replace

import numpy as np

from assay.scoring.base import ScoreKind
from assay.scoring.paired_scores import Method, PairedScores
from assay.scoring.results import (
    CLUSTERED_TESTS,
    BinaryPairs,
    ChosenTest,
    Effect,
    Equivalence,
    Interval,
    Sensitivity,
    Significance,
    TestName,
)
from assay.scoring.statistics.arrays import Codes
from assay.scoring.statistics.binary import (
    cohens_g,
    count_pairs,
    mcnemar_exact,
    newcombe_interval,
    odds_ratio,
    probability_better,
)
from assay.scoring.statistics.choice import LARGE_SAMPLE, choose_clustered_test, choose_test, demanded_test
from assay.scoring.statistics.clusters import clustered_mean
from assay.scoring.statistics.effect_sizes import cliffs_delta, cohens_d, cohens_dz, hedges_g, rank_biserial
from assay.scoring.statistics.equivalence import binary_equivalence, clustered_equivalence, tost
from assay.scoring.statistics.intervals import bootstrap_mean_interval, mean_interval, standard_deviation
from assay.scoring.statistics.paired_tests import paired_t, permutation_test, sign_test, wilcoxon
from assay.scoring.statistics.power import (
    CLUSTERED_POWER,
    PAIRED_POWER,
    mcnemar_sensitivity,
    paired_sensitivity,
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the statistics say about complete pairs."""

    chosen: ChosenTest
    significance: Significance
    interval: Interval
    effects: tuple[Effect, ...]
    equivalence: Equivalence | None
    sensitivity: Sensitivity
    odds_ratio: Interval | None = None
    probability_higher: float | None = None
    n_clusters: int | None = None

    @property
    def effect(self) -> Effect:
        """The effect size that goes with the test."""
        return self.effects[0]


def judge(pairs: PairedScores, kind: ScoreKind, method: Method) -> Judgement:
    """The judgement of complete pairs, one score per row and side. Raises ValueError for a test that cannot be used."""
    if pairs.groups is not None:
        return _judge_clustered(pairs, pairs.groups, method)
    if kind == "binary":
        return _judge_binary(pairs, method)
    return _judge_numeric(pairs, method)


def _judge_clustered(pairs: PairedScores, groups: Codes, method: Method) -> Judgement:
    found = clustered_mean(pairs.differences, groups)
    chosen = _clustered_test(found.clusters, method)
    spread = None if found.standard_error is None else found.standard_error * found.clusters**0.5
    permuted = chosen.name == "permutation"
    return Judgement(
        chosen,
        _significance(chosen.name, pairs, method) if permuted else found.t_test(),
        found.interval(method.level),
        # Their intervals take rows for independent, which these are not.
        tuple(replace(effect, interval=None) for effect in _numeric_effects(pairs, method)),
        None if method.margin is None else clustered_equivalence(found, method.margin, method.alpha),
        paired_sensitivity(spread, found.clusters, _family_alpha(method), method.power, CLUSTERED_POWER),
        n_clusters=found.clusters,
    )


def _clustered_test(clusters: int, method: Method) -> ChosenTest:
    if method.test is None:
        return choose_clustered_test(clusters)
    if method.test not in CLUSTERED_TESTS:
        allowed = " or ".join(CLUSTERED_TESTS)
        raise ValueError(f"test {method.test} takes rows for independent; with groups use {allowed}")
    chosen = demanded_test(method.test, clusters, method.test_reason)
    return replace(chosen, name="clustered_t") if chosen.name == "paired_t" else chosen


def _judge_binary(pairs: PairedScores, method: Method) -> Judgement:
    counts = count_pairs(pairs.baseline, pairs.variant)
    chosen = demanded_test(method.test, counts.n, method.test_reason) if method.test else choose_test("binary", [])
    interval = newcombe_interval(counts, method.level)
    if method.interval is not None:
        interval = _numeric_interval(pairs, chosen, method)
    return Judgement(
        chosen,
        _significance(chosen.name, pairs, method),
        interval,
        (cohens_g(counts, method.level),),
        None if method.margin is None else binary_equivalence(counts, method.margin, method.alpha),
        mcnemar_sensitivity(counts.discordant, counts.n, _family_alpha(method), method.power),
        odds_ratio(counts, method.level),
        probability_better(counts),
    )


def _judge_numeric(pairs: PairedScores, method: Method) -> Judgement:
    differences = pairs.differences
    chosen = choose_test("numeric", differences)
    if method.test:
        chosen = demanded_test(method.test, len(differences), method.test_reason)
    return Judgement(
        chosen,
        _significance(chosen.name, pairs, method),
        _numeric_interval(pairs, chosen, method),
        (*_effects_of_test(chosen.name, pairs, method), *_numeric_effects(pairs, method)),
        None if method.margin is None else tost(differences, method.margin, method.alpha),
        paired_sensitivity(
            standard_deviation(differences), len(differences), _family_alpha(method), method.power, PAIRED_POWER
        ),
    )


def _numeric_interval(pairs: PairedScores, chosen: ChosenTest, method: Method) -> Interval:
    """The interval goes with the test: t with t, and a bootstrap where the differences are few and not normal."""
    by_rule = "t" if chosen.name == "paired_t" or len(pairs.differences) >= LARGE_SAMPLE else "bootstrap"
    if (method.interval or by_rule) == "t":
        return mean_interval(pairs.differences, method.level)
    return bootstrap_mean_interval(pairs.differences, method.seed, method.level, method.resamples)


def _numeric_effects(pairs: PairedScores, method: Method) -> tuple[Effect, ...]:
    return (
        cohens_dz(pairs.differences, method.level),
        cohens_d(pairs.baseline, pairs.variant, method.level),
        hedges_g(pairs.baseline, pairs.variant, method.level),
        cliffs_delta(pairs.baseline, pairs.variant, method.level),
    )


def _sign_share(pairs: PairedScores, method: Method) -> Effect:
    differences = pairs.differences
    higher, lower = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    return cohens_g(BinaryPairs(0, lower, higher, len(differences) - higher - lower), method.level)


def _family_alpha(method: Method) -> float:
    """What Holm asks of the smallest p-value of the family: the sensitivity is then that of its hardest member."""
    return method.alpha / method.comparisons


def _effects_of_test(test: TestName, pairs: PairedScores, method: Method) -> tuple[Effect, ...]:
    """Effect sizes that go with a test and come before the ones that every numeric score gets."""
    if test == "wilcoxon":
        return (rank_biserial(pairs.differences),)
    return (_sign_share(pairs, method),) if test == "sign" else ()


def _significance(test: TestName, pairs: PairedScores, method: Method) -> Significance:
    differences = pairs.differences
    match test:
        case "mcnemar_exact":
            return mcnemar_exact(count_pairs(pairs.baseline, pairs.variant))
        case "paired_t":
            return paired_t(differences)
        case "wilcoxon":
            return wilcoxon(differences, method.zeros)
        case "sign":
            return sign_test(differences)
        case "permutation":
            return permutation_test(differences, method.seed, method.resamples, pairs.groups)
        case "clustered_t":
            raise ValueError("test clustered_t needs groups: name a group column in the suite")
