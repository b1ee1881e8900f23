"""Made-up documents of two sorts: what an encyclopaedia says, and what spam says, with words that both use."""

from __future__ import annotations

import random

_THINGS = [
    "river",
    "castle",
    "comet",
    "engine",
    "treaty",
    "species",
    "island",
    "bridge",
    "cathedral",
    "opera",
    "enzyme",
    "mountain",
    "railway",
    "lake",
]
_FACTS = (
    "The {a} was first described in {year} by scholars who studied the nearby {b}.",
    "In {year}, the {a} became part of a larger {b}, which remains in use today.",
    "It is named after a {b} and lies some {n} kilometres north of the old {a}.",
    "Most historians regard the {a} as older than the {b}, although evidence is scarce.",
    "Its length is {n} metres, and the population of the region reached {n} in {year}.",
)
_OFFERS = (
    "Click here now and win a free {a}, this offer ends today!!!",
    "Dear friend, earn ${n} a week from home, no {b} needed!",
    "Buy one {a} and get {n} more, limited time only, act fast!",
    "Your account was selected for a cash prize of ${n}, reply at once!",
    "Lose weight with our {b} pills, money back guarantee, order now!",
)
_SHARED = (
    "Many people came to see the {a} last summer.",
    "There is a {a} beside the {b}.",
    "Somebody wrote about the {b} again.",
)


def documents(count: int, seed: int = 0, sentences: tuple[int, int] = (2, 6)) -> tuple[list[str], list[bool]]:
    """Texts, all different, and whether each is good: half of them are, within chance."""
    rng = random.Random(seed)
    texts: dict[str, bool] = {}
    while len(texts) < count:
        good = rng.random() < 0.5
        own = _FACTS if good else _OFFERS
        parts = [rng.choice(own)] + [
            rng.choice(_SHARED if rng.random() < 0.4 else own) for _ in range(rng.randint(*sentences) - 1)
        ]
        rng.shuffle(parts)
        filled = [
            part.format(
                a=rng.choice(_THINGS), b=rng.choice(_THINGS), n=rng.randint(2, 9_999), year=rng.randint(900, 1999)
            )
            for part in parts
        ]
        texts[" ".join(filled)] = good
    return list(texts), list(texts.values())
