"""When a call is sent again, and how long to wait before that."""

from collections.abc import Collection
from dataclasses import dataclass
from random import SystemRandom

from atoll_client.errors import AtollError, TryAgain

_chance = SystemRandom()


@dataclass(frozen=True, slots=True)
class Retry:
    """UNAVAILABLE says that nothing was done, or that the same request_id is answered as if it had been sent once. Such
    a request is sent again within the deadline of the call. Nothing else is, unless `also` names its reason.

    Pauses grow from `first_s` by `factor` up to `longest_s`; each is cut at random to between a half and the whole of
    that, so that callers who failed together do not come back together. What a RetryInfo says is the least.
    """

    attempts: int = 6
    """All in all. 1: nothing is sent again."""
    first_s: float = 0.1
    longest_s: float = 3.0
    factor: float = 3.0
    also: Collection[str] = ()
    """Reasons that bring a RetryInfo and are to be waited for, too: Reason.NOT_YET_KNOWN, say."""
    reopen_s: float = 300.0
    """For how long a stream with an end, as an export is, is opened again in vain. A watch is until you leave it."""
    silence_s: float = 45.0
    """A watch that brings nothing for so long, though a heartbeat is due every 15 s, is opened again."""

    def pause_s(self, attempt: int, error: AtollError) -> float | None:
        """After the `attempt`-th, counted from 1. None: not again."""
        wanted = isinstance(error, TryAgain) or (error.retry_after is not None and error.reason in self.also)
        return self.pause_between_openings_s(attempt, error) if wanted and attempt < self.attempts else None

    def pause_between_openings_s(self, attempt: int, error: AtollError) -> float:
        longest = min(self.longest_s, self.first_s * self.factor ** min(attempt - 1, 30))
        told = error.retry_after.total_seconds() if error.retry_after else 0.0
        return max(told, _chance.uniform(longest / 2, longest))
