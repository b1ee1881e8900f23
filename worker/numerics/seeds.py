"""Seeds made of other seeds and counters."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def mix(*counters: int) -> int:
    """A 63-bit seed from integers: splitmix64 over each in turn, so that neighbouring counters share nothing."""
    state = 0x9E3779B97F4A7C15
    for counter in counters:
        state = (state ^ (counter & _MASK)) & _MASK
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1
