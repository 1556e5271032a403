"""Programs of DSPy users, as their modules would have them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import dspy

from assay.programs.dspy import AssayLM

Queue = Literal["billing", "delivery"]


class Sort(dspy.Signature):
    """Choose the queue that has to act."""

    ticket: str = dspy.InputField()
    queue: Queue = dspy.OutputField()


class Triage(dspy.Module):
    """Two steps; its input has another name than the column."""

    columns: ClassVar = {"ticket": "body"}

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict(Sort)
        self.check = dspy.Predict(Sort)

    def forward(self, ticket: str, hint: str = "") -> dspy.Prediction:
        first = self.sort(ticket=ticket)
        second = self.check(ticket=f"{ticket} (perhaps {first.queue}{hint})")
        return dspy.Prediction(queue=second.queue, first=first.queue)


class AwaitedTriage(dspy.Module):
    """The same as a coroutine."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict(Sort)

    async def aforward(self, body: str) -> dspy.Prediction:
        return await self.sort.acall(ticket=body)


class Parallel(dspy.Module):
    """Asks from threads of DSPy's own."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict(Sort)

    def forward(self, body: str) -> dspy.Prediction:
        asked = [(self.sort, dspy.Example(ticket=f"{body} {number}").with_inputs("ticket")) for number in range(3)]
        found = dspy.Parallel(num_threads=3, disable_progress_bar=True)(asked)
        return dspy.Prediction(queues=[one.queue for one in found])


class Broken(dspy.Module):
    """Cannot be made."""

    def __init__(self) -> None:
        super().__init__()
        raise FileNotFoundError("triage.json")


class Hollow(dspy.Module):
    """Has nothing to call."""


predict = dspy.Predict("body -> queue")
ready = Triage()


EFFORT = {"reasoning_effort": "none"}


def function(row: Any, model: Any) -> Any:
    with dspy.context(lm=AssayLM(model), adapter=dspy.JSONAdapter()):
        return dspy.Predict(Sort)(ticket=row["body"], config={"max_tokens": 17, "temperature": 0.5, **EFFORT})
