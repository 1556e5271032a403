"""How a suite wants a score compared, in the words of the scoring room, which does not know suites."""

from assay.planning.judges.catalogue import preference_scores
from assay.planning.preflight import primary_score
from assay.scoring.paired_scores import Method
from assay.scoring.statistics.choice import DEMANDED
from assay.suite.models import Suite

PREFERENCE = "the score is a preference: for one side, for the other, or for neither"


def method_of(suite: Suite, score: str, seed: int, comparisons: int) -> Method:
    """The method for one score; `comparisons` is how many the run has over all scores and variants."""
    settings = suite.comparison
    test, reason = settings.test_of(score), DEMANDED
    if test is None and settings.group is None and score in preference_scores(suite):
        test, reason = "sign", PREFERENCE
    return Method(
        alpha=settings.alpha,
        seed=seed,
        test=test,
        test_reason=reason,
        interval=settings.interval,
        margin=settings.margin_of(score, primary_score(suite)),
        power=settings.power,
        resamples=settings.resamples,
        zeros=settings.zeros,
        comparisons=comparisons,
    )
