"""What was asked and paid for in vain before a question was asked anew: links join it to what came then."""

from dataclasses import dataclass, replace

from assay.middleware.base import Reply, Spent, Unanswered
from assay.records import Attempt


@dataclass(frozen=True, slots=True)
class Superseded:
    """A request whose answer nobody uses: its attempts, its waiting and its bill."""

    attempts: tuple[Attempt, ...]
    quota_wait_seconds: float
    spent: Spent
    reruns: int = 0

    @classmethod
    def of(cls, reply: Reply) -> "Superseded":
        """Of a reply that another one replaces."""
        return cls(reply.attempts, reply.quota_wait_seconds, reply.spent, reply.reruns)

    @classmethod
    def of_failure(cls, error: Unanswered) -> "Superseded":
        """Of a question that stayed without an answer and is asked in another way."""
        return cls(error.attempts, error.quota_wait_seconds, error.spent)

    def marked(self, kind: str) -> "Superseded":
        """With the last attempt on record as one that failed in this way, although the service answered it."""
        if not self.attempts:
            return self
        last = self.attempts[-1].model_copy(update={"error": kind})
        return replace(self, attempts=(*self.attempts[:-1], last))

    def before(self, reply: Reply) -> Reply:
        """The later reply with the attempts of both; what this one was billed is spent and discarded."""
        return replace(
            reply,
            attempts=_numbered(self.attempts + reply.attempts),
            quota_wait_seconds=self.quota_wait_seconds + reply.quota_wait_seconds,
            spent=self.spent + reply.spent,
            discarded=self.spent + reply.discarded,
            reruns=self.reruns + reply.reruns,
        )

    def before_failure(self, error: Unanswered) -> Unanswered:
        """The later failure with the attempts and the bill of both."""
        return Unanswered(
            error.last,
            _numbered(self.attempts + error.attempts),
            self.quota_wait_seconds + error.quota_wait_seconds,
            self.spent + error.spent,
        )


def _numbered(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    return tuple(attempt.model_copy(update={"number": at}) for at, attempt in enumerate(attempts, start=1))
