"""A circuit breaker: spares somebody who is down, and finds out when he is back. Pure."""

import random
from dataclasses import dataclass, replace
from typing import Final

FIRST_PAUSE: Final = 200
LONGEST_PAUSE: Final = 30_000


@dataclass(frozen=True, slots=True)
class Breaker:
    """Closed while `failures` is 0; else open until `retry_at`, then one attempt may be made."""

    failures: int = 0
    retry_at: int = 0

    def allows(self, now: int) -> bool:
        """Whether an attempt may be made."""
        return now >= self.retry_at

    def failed(self, now: int, *, chance: random.Random) -> "Breaker":
        """Twice as long a pause each time, with jitter: not everybody comes back at once."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 20))
        pause = round(chance.uniform(longest / 2, longest))
        return replace(self, failures=self.failures + 1, retry_at=now + pause)


CLOSED: Final = Breaker()
