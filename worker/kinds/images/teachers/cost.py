"""What training a teacher costs, for the estimates of the methods that need one."""

from __future__ import annotations

from worker.contract.method import Term


def by_preset(quick: float, standard: float, paper: float, *quantities: str) -> tuple[Term, ...]:
    """Seconds times these quantities, by the preset."""
    powers = dict.fromkeys(quantities, 1.0)
    named = {"quick": quick, "standard": standard, "paper": paper}
    return tuple(Term(value, powers, {"params.preset": preset}) for preset, value in named.items())


TEACHER = (Term(5.0), *by_preset(0.15, 0.75, 3.0, "values"))
"""A ConvNet of width 32 on one core: a thousand images of 784 values a second, in training."""
