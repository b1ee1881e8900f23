"""When a message is sent again."""

from __future__ import annotations

from app.webhooks.retry import DELAYS_S, delay_after


def test_schedule_when_added_up_then_the_last_try_comes_after_75_hours() -> None:
    assert DELAYS_S == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    assert sum(DELAYS_S) == 75 * 3600 + 35 * 60 + 5


def test_delay_when_jittered_then_within_20_per_cent_and_spread() -> None:
    for attempt in range(1, 10):
        drawn = [delay_after(attempt) or 0 for _ in range(200)]
        wanted = DELAYS_S[attempt]
        assert 0.8 * wanted <= min(drawn) < 0.9 * wanted < 1.1 * wanted < max(drawn) <= 1.2 * wanted


def test_delay_when_the_tenth_try_failed_then_none() -> None:
    assert delay_after(9) is not None
    assert [delay_after(attempt) for attempt in (10, 11, 100)] == [None, None, None]
