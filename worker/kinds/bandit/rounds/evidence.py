"""What chosen rounds keep of a log, as findings: estimates of several policies, and the policy learnt from them.

Two comparisons decide. Against all rounds: is the learnt policy equivalent, or short? Against cheap picks of the same
number the rule of every report: a paired difference above zero is ahead, one around zero means that the cheap pick
would do. Where no policy was learnt the errors of estimates are compared, over the draws of the best cheap pick.
"""

from __future__ import annotations

import numpy as np

from worker.evidence import looks
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.verdict import Status, Verdict, beside_cheap
from worker.evidence.wording import number, share
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.rounds import estimates
from worker.kinds.bandit.rounds.comparison import FULL, SUMMARY, PolicyComparison
from worker.kinds.bandit.rounds.coresets import RANDOM
from worker.kinds.bandit.rounds.estimates import Kept

UNIT = "reward a round"
FEWEST_DRAWS = 10  # of a cheap pick, below which the spread of its errors is not known


def findings(
    train: BanditLog,
    summary: BanditLog,
    kept: list[Kept],
    learnt: PolicyComparison | None,
    *,
    draws: int,
    warnings: tuple[str, ...],
    unfinished: str = "",
) -> Findings:
    """What the report lays out. `learnt`: None where no policies were learnt."""
    verdict, headline = _of_policies(kept, learnt, train, summary) if learnt else _of_estimates(kept, train, summary)
    m = summary.n
    figures = [KeyFigure("of the training rounds", share(m / train.n), f"{number(m)} of {number(train.n)}")]
    figures += [
        KeyFigure(f"error on {one.target}", number(one.error, 4), "of its value on all rounds") for one in kept[:2]
    ]
    return Findings(
        kind="bandit",
        unit="round",
        units="rounds",
        test_units="rounds",
        n_test=train.n if learnt is None else learnt.n,
        verdict=verdict,
        headline=headline,
        key_figures=tuple(figures),
        tables=(estimates.table(kept), *([] if learnt is None else learnt.tables())),
        plots=(estimates.plot(kept), *([] if learnt is None else learnt.plots())),
        warnings=tuple(dict.fromkeys(warnings)),
        protocol=f"Cheap picks of equal size were drawn {draws} times. " + ("" if learnt is None else learnt.protocol),
        lead="errors",
        families={FULL: looks.FULL, SUMMARY: looks.OWN, RANDOM: looks.RANDOM},
        unfinished=unfinished,
    )


def _of_policies(
    kept: list[Kept], learnt: PolicyComparison, train: BanditLog, summary: BanditLog
) -> tuple[Verdict, str]:
    """Short or undetermined against all rounds stays so; what is equivalent must be ahead of random rounds, too."""
    status: Status = learnt.status
    headline = learnt.headline
    beside = beside_cheap(learnt.over_random.low, learnt.over_random.high)
    if beside == "cheap_is_better" or (status == "equivalent" and beside == "cheap_would_do"):
        status = beside
        headline = "Random rounds are better" if beside == "cheap_is_better" else "Random rounds would do"
    delta = learnt.delta
    unknown = status == "undetermined"
    return Verdict(
        status,
        f"{learnt.sentence} {_errors_in_words(kept, train, summary)}",
        value=delta.value,
        low=delta.low,
        high=delta.high,
        unit=UNIT,
        reasons=("the interval of the difference holds zero as well as a loss beyond the margin",) if unknown else (),
        settled_by=("more held-out rounds", "a larger budget") if unknown else (),
        details=_details(kept, train, summary) | learnt.to_json(),
    ), headline


def _of_estimates(kept: list[Kept], train: BanditLog, summary: BanditLog) -> tuple[Verdict, str]:
    ours, (label, drawn) = _error(kept), _best_cheap(kept)
    gain = drawn - ours
    low, high = np.quantile(gain, (0.025, 0.975)) if len(drawn) >= FEWEST_DRAWS else (np.nan, np.nan)
    status = beside_cheap(float(low), float(high))
    few = status == "undetermined"
    return Verdict(
        status,
        _errors_in_words(kept, train, summary),
        value=ours,
        unit=UNIT,
        reasons=(f"only {len(drawn)} draws of every cheap pick were made",) if few else (),
        settled_by=(f"`seeds` of {FEWEST_DRAWS} or more",) if few else (),
        details=_details(kept, train, summary),
    ), f"Estimates are off by {number(ours, 4)}, with {label} by {number(float(drawn.mean()), 4)}"


def _errors_in_words(kept: list[Kept], train: BanditLog, summary: BanditLog) -> str:
    of = f"{number(summary.n)} of {number(train.n)} rounds ({share(summary.n / train.n)})"
    label, drawn = _best_cheap(kept)
    policies = "one policy" if len(kept) == 1 else f"{len(kept)} policies"
    return (
        f"Estimates of {policies} on {of} differ from those on all rounds by {number(_error(kept), 4)} on average; "
        f"with the best cheap pick, {label}, by {number(float(drawn.mean()), 4)}."
    )


def _error(kept: list[Kept]) -> float:
    """Mean over the targets."""
    return float(np.mean([one.error for one in kept]))


def _best_cheap(kept: list[Kept]) -> tuple[str, np.ndarray]:
    """The cheap pick of least mean error, and its error (draws,), mean over the targets."""
    errors = {label: np.mean([one.errors[label] for one in kept], axis=0) for label in kept[0].errors}
    return min(errors.items(), key=lambda item: float(item[1].mean()))


def _details(kept: list[Kept], train: BanditLog, summary: BanditLog) -> dict[str, object]:
    return {
        "rows_share": summary.n / train.n,
        "errors": {one.target: one.error for one in kept},
        "random_errors": {one.target: float(one.errors[RANDOM].mean()) for one in kept},
    }
