"""What chosen rounds keep of a log, as findings: estimates of several policies, and the policy learnt from them."""

from __future__ import annotations

import numpy as np

from worker.evidence.findings import Findings, KeyFigure, Tone
from worker.evidence.wording import number, share
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.rounds import estimates
from worker.kinds.bandit.rounds.comparison import PolicyComparison
from worker.kinds.bandit.rounds.coresets import RANDOM
from worker.kinds.bandit.rounds.estimates import Kept


def findings(
    train: BanditLog,
    summary: BanditLog,
    kept: list[Kept],
    learnt: PolicyComparison | None,
    *,
    draws: int,
    warnings: tuple[str, ...],
) -> Findings:
    """What the report lays out. `learnt`: None where no policies were learnt."""
    status, tone, headline, sentence = _verdict(kept, learnt, train, summary)
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
        verdict={
            "status": status,
            "sentence": sentence,
            "rows_share": m / train.n,
            "errors": {one.target: one.error for one in kept},
            "random_errors": {one.target: one.errors[RANDOM] for one in kept},
            **({} if learnt is None else learnt.to_json()),
        },
        status={"equivalent": "As good as all rounds", "cheap_would_do": "A random pick would do"}.get(
            status, "Short of all rounds" if status == "short" else "Undetermined"
        ),
        headline=headline,
        tone=tone,
        key_figures=tuple(figures),
        tables=(estimates.table(kept), *([] if learnt is None else learnt.tables())),
        plots=(estimates.plot(kept), *([] if learnt is None else learnt.plots())),
        warnings=tuple(dict.fromkeys(warnings)),
        protocol=f"Cheap picks of equal size were drawn {draws} times. " + ("" if learnt is None else learnt.protocol),
        lead="errors",
    )


def _verdict(
    kept: list[Kept], learnt: PolicyComparison | None, train: BanditLog, summary: BanditLog
) -> tuple[str, Tone, str, str]:
    of = f"{number(summary.n)} of {number(train.n)} rounds ({share(summary.n / train.n)})"
    ours = float(np.mean([one.error for one in kept]))
    cheap = float(np.mean([one.errors[RANDOM] for one in kept]))
    said = (
        f"Estimates of {len(kept)} policies on {of} differ from those on all rounds by {number(ours, 4)} on average; "
        f"random rounds of the same number by {number(cheap, 4)}."
    )
    nearer = ours < cheap
    if learnt is None:
        status = "cheap_would_do" if not nearer else "short"
        return status, "even", f"Errs by {number(ours, 4)}, random rounds by {number(cheap, 4)}", said
    status = "cheap_would_do" if learnt.status == "equivalent" and learnt.random_is_equivalent else learnt.status
    tone: Tone = "good" if status == "equivalent" else "even" if status == "cheap_would_do" else "open"
    return status, tone, learnt.headline, f"{learnt.sentence} {said}"
