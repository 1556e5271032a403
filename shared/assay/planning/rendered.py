"""What the rendered rows of an experiment or a judge add up to: requests and their tokens. Estimates count with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.model_settings import QuotaSettings
from assay.planning.prompts import RowPrompt
from assay.planning.templates import PromptError
from assay.records import Record, Row
from assay.suite.models import Experiment
from assay.tokens.estimate import estimate_tokens


class LargestRequest(Record):
    """The rendered request that is charged most. `line` is the row's in the dataset."""

    criterion: str
    line: int
    charged_tokens: int


@dataclass(frozen=True, slots=True)
class Scale:
    """From the rendered rows to all of them, as often as they are asked."""

    rows: int
    rendered: int

    def up(self, count: int) -> int:
        return -(-count * self.rows // self.rendered)


class Sample:
    """What the rendered rows of one experiment add up to.

    `more_tokens` is by how much each prompt could be longer than rendered: a judge's holds an answer that may be.
    """

    def __init__(
        self,
        experiment: Experiment,
        prompts: Sequence[RowPrompt],
        quota: Mapping[str, QuotaSettings],
        more_tokens: int = 0,
    ) -> None:
        self.experiment, self.more_tokens = experiment, more_tokens
        self._prompts = prompts
        self._tokens_per_minute = _most_tokens(experiment, quota)
        self.requests, self.prompt_tokens, self.unrendered, self.above_quota = 0, 0, 0, 0
        self.first_error: str | None = None
        self.largest: LargestRequest | None = None

    def add(self, row: Row) -> None:
        """As in a run, the criteria before one that cannot be rendered are asked, and those after it are not."""
        try:
            for prompt in self._prompts:
                self._count(prompt.criterion, row.line, estimate_tokens(prompt.counted(row.fields)))
        except PromptError as error:
            self.unrendered += 1
            self.first_error = self.first_error or f"line {row.line}: {error}"

    def _count(self, criterion: str, line: int, prompt_tokens: int) -> None:
        self.requests += 1
        self.prompt_tokens += prompt_tokens
        charged = prompt_tokens + self.experiment.model.max_tokens
        self.above_quota += self._tokens_per_minute is not None and charged > self._tokens_per_minute
        if self.largest is None or charged > self.largest.charged_tokens:
            self.largest = LargestRequest(criterion=criterion, line=line, charged_tokens=charged)


def _most_tokens(experiment: Experiment, quota: Mapping[str, QuotaSettings]) -> int | None:
    """The most that any deployment of the experiment can grant to one request; None when one has no quota."""
    granted = [quota.get(name) for name in experiment.model.deployments]
    return None if None in granted else max(one.tokens_per_minute for one in granted if one)
