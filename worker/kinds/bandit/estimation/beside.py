"""What stands beside a decision on a target: whether its guardrails hold, in words and as the caveat of its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.evidence.verdict import Verdict
from worker.kinds.bandit.estimation.estimate import TargetEstimate
from worker.kinds.bandit.estimation.guardrails import Status, statuses, together
from worker.kinds.bandit.gain.gain import CLAIM

CLAIMS = ("better", "not_worse")


def with_guardrails(
    verdicts: Sequence[Verdict], found: Sequence[TargetEstimate], p: Sequence[float], alpha: float
) -> list[Verdict]:
    """The verdicts with what is known of the guardrails; `p`: uncorrected p values of the targets' own claims.

    One with a margin that is not shown to hold becomes the caveat.
    """
    guarded = [one.guardrails for one in found]
    joint = together(list(p), guarded)
    made: list[Verdict] = []
    for verdict, mine, states, both in zip(verdicts, guarded, statuses(guarded, alpha), joint, strict=True):
        named = [(one.name, state) for one, state in zip(mine, states, strict=True)]
        clause, said, good = _said(verdict.status, named, both < CLAIM * alpha)
        details = {**verdict.details, "beside": clause} | ({"guardrails": dict(named)} if named else {})
        sentence = f"{verdict.sentence} {said}".rstrip()
        made.append(replace(verdict, sentence=sentence, caveat="" if good else clause, details=details))
    return made


def _said(decided: str, states: list[tuple[str, Status]], all_hold: bool) -> tuple[str, str, bool]:
    """What is said of the guardrails as a clause and as a sentence, and whether it is no bad news.

    Empty where none has a margin. `all_hold`: the claim stands together with all of them holding.
    """
    broken, unknown, holding = (
        [name for name, state in states if state == wanted] for wanted in ("broken", "cannot_tell", "holds")
    )
    if broken:
        said = f"{_listed(broken)} {'is' if len(broken) == 1 else 'are'} broken"
        return f"but {said}", f"Of its guardrails, {said}.", False
    if unknown:
        said = f"the logs cannot tell whether {_listed(unknown)} {'holds' if len(unknown) == 1 else 'hold'}"
        return f"but {said}", f"T{said[1:]}.", False
    if not holding:
        return "", "", True
    if decided in CLAIMS and not all_hold:
        clause = "but for so many targets not shown to do so while its guardrails hold"
        return (
            clause,
            "Each guardrail holds by itself; that all do beside the gain is not shown for so many targets.",
            False,
        )
    return "and the guardrails hold", "The guardrails hold.", True


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
