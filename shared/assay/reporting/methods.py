"""How a suite wants a score compared, in the words of the scoring room, which does not know suites."""

from assay.planning.preflight import primary_score
from assay.scoring.paired_scores import Method
from assay.suite.models import Suite


def method_of(suite: Suite, score: str, seed: int, comparisons: int) -> Method:
    """The method for one score; `comparisons` is how many the run has over all scores and variants."""
    settings = suite.comparison
    return Method(
        alpha=settings.alpha,
        seed=seed,
        test=settings.test_of(score),
        interval=settings.interval,
        margin=settings.margin_of(score, primary_score(suite)),
        power=settings.power,
        resamples=settings.resamples,
        zeros=settings.zeros,
        comparisons=comparisons,
    )
