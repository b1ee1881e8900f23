"""From an audit to its report: the verdict, the arms, and where text would help most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.plot import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.evidence.verdict import Status, Verdict
from worker.evidence.wording import number
from worker.kinds.interactions.side_text.arms import LABELS
from worker.kinds.interactions.side_text.audit import BUCKETS, OWN, SHUFFLED, Audit, Difference, bucket
from worker.numerics.npz import npz_bytes

_SAID = {OWN: "its own", SHUFFLED: "shuffled", "": "none"}
_DECIMALS = 4
FOOTNOTE = (
    "Measured on held-out ratings. Settings and the arm of the verdict were chosen on validation ratings only. Square "
    "brackets are 95\u202f% intervals of a paired bootstrap over test ratings."
)


def findings(audit: Audit, warnings: Sequence[str]) -> Findings:
    """What the report lays out."""
    beside_mf = audit.difference((audit.arm, OWN), ("mf", ""))
    beside_shuffled = audit.difference((audit.arm, OWN), (audit.arm, SHUFFLED))
    status = verdict_of(beside_mf, beside_shuffled)
    mf = float(audit.errors("mf").mean())
    return Findings(
        kind="interactions",
        unit="review",
        units="reviews",
        test_units="ratings",
        n_test=len(audit.reviews.test),
        verdict=_verdict(status, audit, beside_mf, beside_shuffled),
        because=(
            f"{LABELS[audit.arm]} predicts validation ratings best of the arms with text. Text helps only if this arm "
            "is better than the factorisation without text and better than itself on shuffled texts, both beyond "
            "chance."
        ),
        key_figures=(
            KeyFigure("MSE without text", number(mf, _DECIMALS), LABELS["mf"]),
            KeyFigure("difference with text", _signed(beside_mf.value), _ends(beside_mf)),
            KeyFigure("beside shuffled text", _signed(beside_shuffled.value), _ends(beside_shuffled)),
            KeyFigure("training reviews with text", number(audit.with_text), f"of {number(len(audit.reviews.train))}"),
        ),
        tables=(_arms(audit), _support(audit)),
        plots=(_differences(audit), *_masked(audit)),
        warnings=(*warnings, *_warnings(audit)),
        protocol=_protocol(audit),
        lead="differences",
        metric={"name": "mse", "label": "mean squared error", "unit": "", "scale": 1.0, "higher_is_better": False},
        footnote=FOOTNOTE,
        files={"predictions.npz": _predictions(audit)},
    )


def verdict_of(beside_mf: Difference, beside_shuffled: Difference) -> Status:
    """`helps`: both intervals lie below 0; `hurts`: that beside the factorisation lies above; else `no_evidence`."""
    if beside_mf.high < 0 and beside_shuffled.high < 0:
        return "helps"
    return "hurts" if beside_mf.low > 0 else "no_evidence"


def _verdict(status: Status, audit: Audit, beside_mf: Difference, beside_shuffled: Difference) -> Verdict:
    said = {
        "helps": "Text helps to predict ratings here",
        "hurts": "Text makes predictions worse here",
        "no_evidence": "There is no evidence that text helps to predict ratings here",
    }[status]
    because = (
        f"the mean squared error changes by {_signed(beside_mf.value)} {_ends(beside_mf)} against the factorisation "
        f"without text, and by {_signed(beside_shuffled.value)} {_ends(beside_shuffled)} against the same model on "
        f"shuffled texts ({LABELS[audit.arm]}, {number(beside_mf.n)} test ratings)."
    )
    settled = ("More test ratings would narrow the intervals.",) if status == "no_evidence" else ()
    if _left_out(beside_mf):
        because = (
            f"validation ratings chose a setting of {LABELS[audit.arm]} that leaves the text out, and so predicts what "
            f"the factorisation does ({number(beside_mf.n)} test ratings)."
        )
        settled = ("More training and validation ratings: on these no setting that reads the text was better.",)
    sentence = f"{said}: {because}"
    more = {"arm": audit.arm, "beside_shuffled": _json(beside_shuffled)}
    return Verdict(
        status, sentence, beside_mf.value, beside_mf.low, beside_mf.high, "MSE", settled_by=settled, details=more
    )


def _left_out(beside_mf: Difference) -> bool:
    """Whether the arm predicts every test rating as the factorisation without text does: no difference to measure."""
    return beside_mf.low == beside_mf.value == beside_mf.high == 0


def _json(one: Difference) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, _DECIMALS)}"


def _ends(one: Difference) -> str:
    return f"[{number(one.low, _DECIMALS)}, {number(one.high, _DECIMALS)}]"


def _interval_columns(key: str, label: str) -> tuple[Column, ...]:
    ends = (f"{key}_low", f"{key}_high")
    return (
        Column(key, label, decimals=_DECIMALS, interval=ends),
        *(Column(end, f"{label}, {end.rpartition('_')[2]} end", decimals=_DECIMALS, shown=False) for end in ends),
    )


def _cells(key: str, one: Difference | None) -> dict[str, Cell]:
    if one is None:
        return {}
    return {key: one.value, f"{key}_low": one.low, f"{key}_high": one.high}


def _arms(audit: Audit) -> Table:
    rows: list[dict[str, Cell]] = []
    for (arm, texts), found in audit.found.items():
        control = (arm, SHUFFLED)
        rows.append(
            {
                "arm": LABELS[arm],
                "texts": _SAID.get(texts, texts),
                "settings": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.settings.items()),
                "validation": audit.validation_mse(arm, texts),
                "test": float(audit.errors(arm, texts).mean()),
                **_cells("mf", audit.difference((arm, texts), ("mf", "")) if arm != "mf" else None),
                **_cells("shuffled", audit.difference((arm, texts), control) if texts == OWN else None),
            }
        )
    columns = (
        Column("arm", "model", "text"),
        Column("texts", "texts", "text"),
        Column("settings", "chosen", "text"),
        Column("validation", "validation MSE", decimals=_DECIMALS),
        Column("test", "test MSE", decimals=_DECIMALS),
        *_interval_columns("mf", "less factorisation"),
        *_interval_columns("shuffled", "less shuffled texts"),
    )
    stressed = [place for place, key in enumerate(audit.found) if key == (audit.arm, OWN)]
    return Table(
        "arms",
        "Mean squared error of every model on the same test ratings; negative differences are in favour of text.",
        columns,
        tuple(rows),
        heading="Models with and without text",
        highlight=tuple(stressed),
        note="The verdict is on the highlighted model, which validation ratings chose. Differences of the others are "
        "shown, and decide nothing.",
    )


def _support(audit: Audit) -> Table:
    by_user, by_item = audit.reviews.support(audit.reviews.test)
    rows: list[dict[str, Cell]] = []
    for side, support in (("user", by_user), ("item", by_item)):
        for low, high in BUCKETS:
            chosen = np.flatnonzero(bucket(support, low, high))
            if not len(chosen):
                continue
            one = audit.difference((audit.arm, OWN), ("mf", ""), chosen)
            control = audit.difference((audit.arm, OWN), (audit.arm, SHUFFLED), chosen)
            span = f"more than {low - 1}" if high is None else f"{low}" if low == high else f"{low} to {high}"
            rows.append(
                {
                    "side": f"of the {side}",
                    "support": span,
                    "n": len(chosen),
                    "test": float(audit.errors("mf")[chosen].mean()),
                    **_cells("mf", one),
                    **_cells("shuffled", control),
                    "verdict": verdict_of(one, control).replace("_", " "),
                }
            )
    columns = (
        Column("side", "training reviews", "text"),
        Column("support", "how many", "text"),
        Column("n", "test ratings", decimals=0),
        Column("test", "MSE without text", decimals=_DECIMALS),
        *_interval_columns("mf", "with text, less without"),
        *_interval_columns("shuffled", "less shuffled texts"),
        Column("verdict", "text", "text"),
    )
    return Table(
        "support",
        f"{LABELS[audit.arm]} by how many training reviews the user or the item has.",
        columns,
        tuple(rows),
        heading="Where text might help",
        group="side",
        note="Each line is judged alone by the rule of the verdict; of so many lines one may differ by chance.",
    )


def _differences(audit: Audit) -> Plot:
    arms = list(dict.fromkeys(arm for arm, texts in audit.found if texts == OWN))
    series = []
    for texts in (OWN, SHUFFLED):
        found = [audit.difference((arm, texts), ("mf", "")) for arm in arms]
        series.append(
            Series(
                f"{_SAID[texts]} texts",
                tuple(LABELS[arm] for arm in arms),
                tuple(one.value for one in found),
                tuple(one.low for one in found),
                tuple(one.high for one in found),
                stress=(LABELS[audit.arm],) if texts == OWN else (),
            )
        )
    return Plot(
        "differences",
        "Error with text, less that without",
        "Differences of mean squared errors with their intervals: own texts and shuffled texts of every model.",
        "interval",
        "",
        "difference of MSE (below 0: text helps)",
        tuple(series),
        n=len(audit.reviews.test),
    )


def _masked(audit: Audit) -> list[Plot]:
    percents = sorted({int(texts.split()[0]) for _, texts in audit.found if texts.endswith("%")} | {100})
    if len(percents) < 2:
        return []
    arms = list(dict.fromkeys(arm for arm, texts in audit.found if texts == OWN))
    series = []
    for arm in arms:
        found = [audit.difference((arm, OWN if p == 100 else f"{p} %"), ("mf", "")) for p in percents]
        low, high = tuple(one.low for one in found), tuple(one.high for one in found)
        series.append(Series(LABELS[arm], tuple(percents), tuple(one.value for one in found), low, high))
    return [
        Plot(
            "masked",
            "Error by how much text is left",
            "Difference of the mean squared error to the factorisation, by the share of training reviews with text.",
            "line",
            "training reviews that keep their text (%)",
            "difference of MSE",
            tuple(series),
            n=len(audit.reviews.test),
        )
    ]


def _warnings(audit: Audit) -> list[str]:
    said = []
    if audit.with_text < 0.5 * len(audit.reviews.train):
        said.append(f"Only {number(audit.with_text)} of {number(len(audit.reviews.train))} training reviews have text.")
    if audit.errors("mf").mean() >= audit.errors("bias").mean():
        said.append(
            "The factorisation is not better than the biases alone here: there is little to personalise, with text or "
            "without."
        )
    return said


def _protocol(audit: Audit) -> str:
    parts = audit.reviews
    return (
        f"{number(len(parts.train))} training, {number(len(parts.validation))} validation and "
        f"{number(len(parts.test))} test reviews of {number(parts.users)} users and {number(parts.items)} items; the "
        "test reviews are those of the version's split. Only training reviews are read, and what is read about a "
        "training pair leaves its own review out. Every model's settings are chosen on validation ratings, the "
        "factorisation's own among them. Shuffled texts are the same "
        "texts, each at another training review; masked ones keep a random share. Errors are squared, predictions "
        "within the range of training ratings. Intervals: percentiles of means over resampled test ratings, "
        f"{number(audit.bootstrap)} times, the same for both sides of a difference."
    )


def _predictions(audit: Audit) -> bytes:
    arrays = {f"{arm}/{texts or 'none'}".replace(" ", ""): one.test for (arm, texts), one in audit.found.items()}
    return npz_bytes({"rating": audit.reviews.test.rating, **arrays})
