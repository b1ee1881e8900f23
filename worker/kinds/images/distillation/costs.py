"""What distillers cost, for estimates: images through a network of width 32, forward and backward, on an ordinary core.

Fitted on one core: a ConvNet of width 32 passes some 1.6 million values a second forward and a third of that in all
of a training step; looks at validation and starting come on top.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.contract.method import Term

_FORWARD = 6e-7  # seconds for a value of an image
MEMORY: tuple[Term, ...] = (Term(600.0), Term(5e-6, {"images": 1, "values": 1}))


def passes(
    iterations: Mapping[str, int],
    batch: Mapping[str, int],
    *,
    per_class: bool = False,
    repeats: float = 1.0,
    items: float = 3.0,
) -> tuple[Term, ...]:
    """Seconds of steps that pass `batch` real images (of each class) and all made ones, `items` forward passes each,
    through a network, `repeats` times."""  # fmt: skip
    terms = [Term(5.0), Term(1e-5, {"budget": 1, "values": 1})]
    real: Mapping[str, float] = {"classes": 1, "values": 1} if per_class else {"values": 1}
    for preset, count in iterations.items():
        only = {"params.preset": preset}
        terms.append(Term(_FORWARD * repeats * count * batch[preset], real, only))
        terms.append(Term(_FORWARD * repeats * items * count, {"budget": 1, "values": 1}, only))
    return tuple(terms)
