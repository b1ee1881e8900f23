"""When a message that was not taken is sent again: at once, then less and less often for three days."""

from __future__ import annotations

import random

DELAYS_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before each try; without jitter the last one comes 75 h 35 min after the first."""
JITTER = 0.2


def delay_after(attempt: int) -> float | None:
    """Seconds from the failure of try number `attempt` (the first is 1) to the next; None when it was the last.

    Spread by 20 % either way, so that a receiver that comes back is not met by all its messages at once.
    """
    if attempt >= len(DELAYS_S):
        return None
    return DELAYS_S[attempt] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load
