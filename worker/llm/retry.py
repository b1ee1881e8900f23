"""Which failures of a server are worth another try, and after how long."""

from __future__ import annotations

import email.utils
import random
import time

TRIES = 6
_FIRST_S, _LONGEST_S, _LONGEST_ASKED_S = 0.5, 30.0, 300.0


def worth_another(status: int) -> bool:
    """Whether this HTTP status may be gone next time: timeouts, conflicts, too many requests, faults of the server."""
    return status in (408, 409, 429) or status >= 500


def pause_s(failed: int, retry_after: str, rng: random.Random) -> float:
    """Seconds to wait after `failed` tries (1 or more): doubling with jitter, never less than the server asks for.

    `retry_after`: the header, seconds or a date, "" where there is none; five minutes of it are honoured.
    """
    backoff = min(_LONGEST_S, _FIRST_S * 2.0 ** (failed - 1))
    return max(backoff * (0.5 + 0.5 * rng.random()), min(_asked_s(retry_after), _LONGEST_ASKED_S))


def _asked_s(header: str) -> float:
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
