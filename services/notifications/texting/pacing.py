"""How fast a number and an account are asked, and when an account is let be: in this process, on real time."""

import asyncio
from collections.abc import Callable

WAIT_MAX_S = 5.0
"""Nobody waits longer for their turn: they come again."""
BURST = 1.0
"""Seconds' worth of texts that may go at once."""
BREAK_AFTER = 5
"""Refusals one after another, then an account is let be."""
BREAK_S = 30.0
"""So long; then it is tried again."""


class TooFast(Exception):
    """The turn is too far off."""


class Pace:
    """A bucket that fills by `per_second` tokens, up to a second's worth, or one."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self.per_second = per_second
        self._each_s, self._clock = 1 / per_second, clock
        self._ahead_s = max(0.0, BURST - self._each_s)
        self._next = clock() - self._ahead_s

    def reserve(self) -> float:
        """Seconds until the turn that is taken with this."""
        now = self._clock()
        turn = max(self._next, now - self._ahead_s)
        if turn - now > WAIT_MAX_S:
            raise TooFast
        self._next = turn + self._each_s
        return max(0.0, turn - now)

    async def turn(self) -> None:
        if wait := self.reserve():
            await asyncio.sleep(wait)


class Breaker:
    """Opens for BREAK_S after BREAK_AFTER failures one after another, and again by each failure after that."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._failures, self._until = clock, 0, 0.0

    @property
    def open(self) -> bool:
        return self._failures >= BREAK_AFTER and self._clock() < self._until

    def told(self, *, failed: bool) -> bool:
        """Whether it opened by this."""
        self._failures = self._failures + 1 if failed else 0
        if self._failures < BREAK_AFTER:
            return False
        self._until = self._clock() + BREAK_S
        return True
