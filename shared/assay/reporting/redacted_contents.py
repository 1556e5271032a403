"""The contents of a view's report: the figures of the whole report, without anything that a row or an answer said.

Fields are named one by one, so that a new one shows in no view before somebody has looked at what it may hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from assay.reporting.contents import Contents, ExperimentResult, Prices, RunFacts, ViewFacts
from assay.reporting.judge_records import JudgedExperiment, JudgeFacts
from assay.reporting.redacted_tables import MASK, Redaction
from assay.reporting.samples import Trouble

LABELS = ("label.", "expected.")


@dataclass(frozen=True)
class Redactor:
    """What a view may say: what its columns say too, and the suite's descriptions where its level allows them."""

    view: str
    redaction: Redaction
    with_descriptions: bool

    def contents(self, whole: Contents) -> Contents:
        """The view's contents. Plugins are shown labels, so what they found stays only where all labels do."""
        changed = {name: one for name, one in self.redaction.columns.items() if one != "keep"}
        return Contents(
            run=self._run(whole.run),
            headline=whole.headline,
            primary=whole.primary,
            baseline=whole.baseline,
            experiments=tuple(self._experiment(one) for one in whole.experiments),
            comparisons=whole.comparisons,
            disagreements={},
            failures=_counts(whole.failures),
            blocked=_counts(whole.blocked),
            unscored=_counts(whole.unscored),
            bad_rows=(),
            quarantined_messages=whole.quarantined_messages,
            prices=self._prices(whole.prices),
            money=whole.money,
            comparers=whole.comparers if self._keeps_labels else {},
            early_stop=whole.early_stop,
            recommendation=whole.recommendation,
            judges=tuple(self._judge(one) for one in whole.judges),
            view=ViewFacts(
                name=self.view,
                columns=changed,
                experiments=tuple(one.name for one in whole.experiments) if self.redaction.experiments else (),
            ),
        )

    @property
    def _keeps_labels(self) -> bool:
        return all(self.redaction.keeps(name) for name in self.redaction.columns if name.startswith(LABELS))

    def _described(self, text: str) -> str:
        return text if self.with_descriptions else ""

    def _deployment(self, name: str) -> str:
        return name if self.redaction.keeps("deployment") else MASK

    def _names(self, column: str, answers: Mapping[str, int]) -> dict[str, int]:
        """How many answers there were by model or deployment; one sum where the column hides which."""
        if self.redaction.keeps(column) or not answers:
            return dict(answers)
        return {MASK: sum(answers.values())}

    def _run(self, run: RunFacts) -> RunFacts:
        return RunFacts(
            run=run.run,
            suite=run.suite,
            description=self._described(run.description),
            created_at=run.created_at,
            seed=run.seed,
            alpha=run.alpha,
            rows=run.rows,
            bad_rows=run.bad_rows,
            trials=run.trials,
            suite_sha256=run.suite_sha256,
            dataset=run.dataset,
            versions=run.versions,
        )

    def _experiment(self, one: ExperimentResult) -> ExperimentResult:
        keeps = self.redaction.keeps
        return ExperimentResult(
            name=one.name,
            baseline=one.baseline,
            description=self._described(one.description),
            deployment=self._deployment(one.deployment),
            statuses=one.statuses,
            usage=one.usage,
            cost_usd=one.cost_usd,
            money=one.money,
            by_criterion=one.by_criterion,
            latency=one.latency,
            models=self._names("model", one.models),
            deployments=self._names("deployment", one.deployments),
            metrics=one.metrics,
            shortcuts=one.shortcuts,
            distributions=one.distributions,
            confusions={
                score: found for score, found in one.confusions.items() if all(keeps(label + score) for label in LABELS)
            },
            aggregates=one.aggregates if self._keeps_labels else {},
        )

    def _prices(self, prices: Prices) -> Prices:
        unknown = prices.unpriced_models
        shown = unknown if self.redaction.keeps("model") or not unknown else (MASK,)
        return Prices(as_of=prices.as_of, source=prices.source, unpriced_models=shown)

    def _judge(self, judge: JudgeFacts) -> JudgeFacts:
        return JudgeFacts(
            name=judge.name,
            plugin=judge.plugin,
            deployment=self._deployment(judge.deployment),
            is_pairwise=judge.is_pairwise,
            usage=judge.usage,
            money=judge.money,
            models=self._names("model", judge.models),
            experiments=tuple(map(_judged, judge.experiments)),
            agreement=judge.agreement,
            failures=_counts(judge.failures),
        )


def _judged(one: JudgedExperiment) -> JudgedExperiment:
    return JudgedExperiment(
        experiment=one.experiment,
        against=one.against,
        judged=one.judged,
        failed=one.failed,
        blocked=one.blocked,
        skipped=one.skipped,
        unusable=one.unusable,
        human=one.human,
        agreement=one.agreement,
        positions=one.positions,
    )


def _counts(groups: tuple[Trouble, ...]) -> tuple[Trouble, ...]:
    """The kinds of trouble and how many there were, without the samples."""
    return tuple(Trouble(kind=one.kind, count=one.count, by_experiment=one.by_experiment, samples=()) for one in groups)
