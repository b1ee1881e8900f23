"""What a tokeniser is worth: how short it writes events that it was not learned from, and whether they come back.

Beside it stand cheap vocabularies of equal size from the same training events: merges within actions alone, and byte
pairs over the features in a fixed order, which any tokeniser library learns. Lengths are over held-out events, the
same for all; normalised by the features that they hold (NSL), so that 1 is no merging at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.plot import Plot, Series
from worker.evidence.table import Column, Table
from worker.evidence.verdict import Verdict, beside_cheap
from worker.kinds.sequences import sizes
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.pieces import encoding
from worker.kinds.sequences.pieces.encoding import Encoder
from worker.kinds.sequences.pieces.learning import Rules, learn
from worker.kinds.sequences.pieces.vocabulary import Vocabulary
from worker.kinds.sequences.rows import Rows, bounds
from worker.kinds.sequences.splits import TRAIN
from worker.kinds.sequences.tokeniser import Tokeniser
from worker.numerics.compiled import ready

SEQUENCES, EPOCHS, CHEAP_EVENTS = 500, 5, 150_000
"""Sequences that are measured; draws that use is counted over; training events of cheap vocabularies."""
OWN, SETS, IN_SET, FLAT = "this vocabulary", "this vocabulary, no random order", "within actions only", "byte pairs"


def judge(data: Sequences, tokeniser: Tokeniser, params: Any, ctx: Context) -> Findings:
    """The findings; `params.bootstrap` resamples behind the interval."""
    ready(encoding.warm_up, lambda: ctx.progress(0, 1, phase="compile"))
    encoder = Encoder.of(tokeniser.vocabulary, tokeniser.item_features)
    held = _held(data, ctx.seed)
    if not len(held):
        return Findings.unmeasured(
            kind="sequences", unit="sequence", units="sequences",
            reason="no sequence of this dataset has held-out events", warnings=tokeniser.warnings,
        )  # fmt: skip
    features = encoder.item_tokens.shape[1] * held.lengths
    own = encoder.encode(held, "feature", np.random.default_rng([ctx.seed, 8]))
    direct = _in_blocks(encoder, held, ctx)
    with ctx.part("cheap", 1, 4) as part:
        cheap = _cheap(data, tokeniser, held, part)
    lengths = {OWN: own.lengths, SETS: direct.lengths, **cheap}
    back = _comes_back(encoder, held, (own, direct)), _labels_come_back(encoder, data)
    best = min(cheap, key=lambda name: cheap[name].sum())
    draws = _resampled(lengths[best] - lengths[SETS], features, params.bootstrap, ctx.seed)
    low, high = np.quantile(draws, (0.025, 0.975))
    ratio = {name: float(count.sum() / features.sum()) for name, count in lengths.items()}
    ends = np.quantile(_resampled(lengths[SETS], features, params.bootstrap, ctx.seed), (0.025, 0.975))
    verdict = _verdict(tokeniser, ratio, best, (float(low), float(high)), ends, back)
    with ctx.part("use", 3, 4) as part:
        used = _utilisation(data, encoder, part)
    return Findings(
        kind="sequences",
        unit="sequence",
        units="sequences",
        test_units="sequences",
        n_test=len(held),
        verdict=verdict,
        key_figures=_figures(tokeniser, ratio, back),
        tables=(
            _lengths_table(lengths, features),
            _growth_table(growth := _growth(encoder, held, features, ctx.seed)),
            _kinds_table(encoder, own),
            _use_table(used),
            _facts_table(tokeniser),
            _sizes_table(data, tokeniser),
        ),
        plots=(_growth_plot(growth, len(held)), _use_plot(used)),
        warnings=tuple(dict.fromkeys([*tokeniser.warnings, *ctx.warnings])),
        protocol=_PROTOCOL,
        lead="length_by_vocabulary",
        metric={"name": "normalised sequence length", "higher_is_better": False},
        footnote="Measured on the held-out events of sequences. Square brackets are 95\u202f% intervals.",
    )


_PROTOCOL = (
    "Up to 500 sequences with test events are drawn by the job's seed, and of each the validation and test events are "
    "written, at most the last 50: no vocabulary was learned from them. With leave-one-out those are two events a "
    "sequence, so that merges across more than two actions count for nothing. NSL is tokens over features. 'This "
    "vocabulary' is one random order of every action's features, as models read it; 'no random order' merges the sets "
    "themselves and is what is compared with cheap vocabularies, which are learned to the same size from up to 150,000 "
    "training events. Intervals resample sequences."
)


def _held(data: Sequences, seed: int) -> Rows:
    """Of some sequences with test events the events that are held out, which no vocabulary was learned from."""
    rows = np.unique(data.cases("test").rows)
    if len(rows) > SEQUENCES:
        rows = np.sort(np.random.default_rng([seed, 9]).choice(rows, SEQUENCES, replace=False))
    some = data.take(rows)
    held = some.split != TRAIN
    counts = np.bincount(some.rows.owners()[held], minlength=len(some))
    return Rows(bounds(counts), some.items[held]).last(50)


def _in_blocks(encoder: Encoder, rows: Rows, ctx: Context) -> Rows:
    """The sets merged directly, some rows at a time."""
    found: list[np.ndarray] = []
    for first in range(0, len(rows), 20):
        ctx.progress(first, 4 * len(rows), phase="write")
        block = encoder.encode(rows.take(np.arange(first, min(first + 20, len(rows)))))
        found += [block.row(number) for number in range(len(block))]
    return Rows.of(found)


def _cheap(data: Sequences, tokeniser: Tokeniser, held: Rows, ctx: Context) -> dict[str, np.ndarray]:
    """Lengths of the held-out events in cheap vocabularies of equal size."""
    rows = data.training().rows
    if len(rows.items) > CHEAP_EVENTS:
        order = np.random.default_rng([ctx.seed, 10]).permutation(len(rows))
        rows = rows.take(np.sort(order[: np.searchsorted(np.cumsum(rows.lengths[order]), CHEAP_EVENTS)]))
    size, features = len(tokeniser.vocabulary), tokeniser.item_features
    with ctx.part("within actions", 0, 2) as part:
        inside = learn(rows.indptr, rows.items, features, Rules(size, context=False), part)
    in_set = Encoder.of(inside, features).labels.lengths
    tokens = Vocabulary.of_features(features).tokens_of(features)
    m, single = features.shape[1], np.arange(tokens.max() + 1, dtype=np.int64)[:, None]
    with ctx.part("byte pairs", 1, 2) as part:
        flat = learn(rows.indptr * m, tokens[rows.items].reshape(-1), single, Rules(size + 1), part)
    pairs = Encoder.of(flat, single)
    flattened = Rows(held.indptr * m, tokens[held.items].reshape(-1).astype(np.int32))
    return {
        IN_SET: np.add.reduceat(in_set[held.items], held.indptr[:-1]),
        FLAT: pairs.encode(flattened, "feature", np.random.default_rng(0)).lengths,
    }


def _comes_back(encoder: Encoder, rows: Rows, written: tuple[Rows, ...]) -> bool:
    """Whether the features of every row come back, as often as they were there."""
    for tokens in written:
        for number in range(len(rows)):
            expected = np.sort(encoder.item_tokens[rows.row(number)].reshape(-1))
            if not np.array_equal(np.sort(encoder.vocabulary.expanded(tokens.row(number))), expected):
                return False
    return True


def _labels_come_back(encoder: Encoder, data: Sequences) -> bool:
    targets = np.unique(data.cases("test").targets)
    return all(encoder.decode(encoder.labels.row(int(item))) == item for item in targets)


def _resampled(values: np.ndarray, over: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    rng, found = np.random.default_rng([seed, 11]), np.zeros(resamples)
    for number in range(resamples):
        drawn = rng.integers(0, len(values), len(values))
        found[number] = values[drawn].sum() / over[drawn].sum()
    return found


def _verdict(
    tokeniser: Tokeniser, ratio: Mapping[str, float], best: str, difference: tuple[float, float], ends: np.ndarray,
    back: tuple[bool, bool],
) -> Verdict:  # fmt: skip
    value = 100 * ratio[SETS]
    if not all(back):
        return Verdict(
            "doubtful", "Held-out events do not come back from their tokens: this tokeniser loses something.",
            reasons=("the round trip fails",),
        )  # fmt: skip
    status = beside_cheap(*difference)
    said = {"ahead": "shorter than", "cheap_would_do": "as short as", "cheap_is_better": "longer than"}
    beside = f"{said.get(status, 'beside')} {_NAMES[best]} of the same size ({100 * ratio[best]:.1f} %)"
    sentence = (
        f"{len(tokeniser.vocabulary):,} tokens write held-out events, without loss, in {value:.1f} % "
        f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}] of the tokens that their features would be: {beside}."
    )
    return Verdict(status, sentence, value, 100 * float(ends[0]), 100 * float(ends[1]), "%")


_NAMES = {IN_SET: "merges within actions alone", FLAT: "byte pairs in a fixed order"}


def _figures(tokeniser: Tokeniser, ratio: Mapping[str, float], back: tuple[bool, bool]) -> tuple[KeyFigure, ...]:
    shared = tokeniser.facts["items_that_share_features"]
    return (
        KeyFigure("Length over features", f"{100 * ratio[SETS]:.1f} %", "held-out events"),
        KeyFigure("Round trip", "lossless" if all(back) else "fails", "held-out events and items"),
        KeyFigure("Items told apart by a digit", f"{shared:,}", f"of {len(tokeniser.item_ids):,}"),
    )


def _lengths_table(lengths: Mapping[str, np.ndarray], features: np.ndarray) -> Table:
    rows = tuple(
        {"name": name, "nsl": float(100 * count.sum() / features.sum()), "mean": float(count.mean())}
        for name, count in lengths.items()
    )
    columns = (
        Column("name", "vocabulary", "text"),
        Column("nsl", "tokens over features", unit="%"),
        Column("mean", "tokens a sequence"),
    )
    return Table("lengths", "Held-out events in vocabularies of equal size", columns, rows, heading="Length")


@dataclass(frozen=True)
class _Size:
    tokens: int
    nsl: float
    mean: float


def _growth(encoder: Encoder, held: Rows, features: np.ndarray, seed: int) -> list[_Size]:
    """Lengths in the first part of the vocabulary, for some sizes."""
    first, last = encoder.vocabulary.n_initial, len(encoder.vocabulary)
    found = []
    for size in np.unique(np.geomspace(first, last, 8).round().astype(int)).tolist():
        smaller = Encoder(encoder.vocabulary.truncated(size), encoder.item_tokens)
        count = smaller.encode(held, "feature", np.random.default_rng([seed, 8])).lengths
        found.append(_Size(size, float(count.sum() / features.sum()), float(count.mean())))
    return found


def _growth_table(growth: list[_Size]) -> Table:
    rows = tuple({"tokens": one.tokens, "nsl": 100 * one.nsl, "mean": one.mean} for one in growth)
    columns = (
        Column("tokens", "vocabulary", unit="tokens", decimals=0),
        Column("nsl", "tokens over features", unit="%"),
        Column("mean", "tokens a sequence"),
    )
    caption = "Length of held-out events by how much of the vocabulary is used, one random order"
    return Table("length_by_vocabulary", caption, columns, rows, heading="Vocabulary size")


def _growth_plot(growth: list[_Size], n: int) -> Plot:
    series = Series(OWN, tuple(one.tokens for one in growth), tuple(one.mean for one in growth))
    return Plot(
        "length_by_vocabulary", "Tokens a sequence by vocabulary size",
        "Mean tokens of a sequence's held-out events fall as the vocabulary grows.", "line", "tokens in the vocabulary",
        "tokens a sequence", (series,), log_x=True, n=n,
    )  # fmt: skip


def _kinds_table(encoder: Encoder, written: Rows) -> Table:
    """Features, merges inside an action, merges across actions, among what was written and the tokens that were used.

    In one random order a token stands for neighbours of the flat list of features, so where it begins and ends says
    which actions it is of.
    """
    indptr, _ = encoder.vocabulary.expansion
    size, m = np.diff(indptr)[written.items], encoder.item_tokens.shape[1]
    ends = np.cumsum(size)
    starts = ends - size  # rows hold whole actions, so that numbering through all rows tells actions apart, too
    across = starts // m != (ends - 1) // m
    kind = np.where(size == 1, 0, np.where(across, 2, 1))
    used = [len(np.unique(written.items[kind == number])) for number in range(3)]
    names = ("features that stay alone", "merges inside an action", "merges across actions")
    rows = tuple(
        {"name": name, "written": 100 * float((kind == number).mean()), "different": used[number]}
        for number, name in enumerate(names)
    )
    columns = (
        Column("name", "tokens", "text"),
        Column("written", "of what is written", unit="%"),
        Column("different", "different tokens", decimals=0),
    )
    caption = "Held-out events in one random order: what their tokens stand for (a token may do both)"
    return Table("kinds_of_tokens", caption, columns, rows, heading="Inside and across actions")


def _utilisation(data: Sequences, encoder: Encoder, ctx: Context) -> list[float]:
    """Share of the vocabulary that was written at least once in the first 1, 2, ... draws of the training sequences."""
    rows, seen, found = data.training().rows, np.zeros(len(encoder.vocabulary), bool), []
    seen[0] = True
    block = max(1, int(50_000 / max(1.0, rows.lengths.mean())))
    if len(rows) > 20 * block:
        rows = rows.take(np.arange(20 * block))
    for epoch in range(EPOCHS):
        for first in range(0, len(rows), block):
            ctx.progress(epoch * len(rows) + first, EPOCHS * len(rows), phase="use")
            part = rows.take(np.arange(first, min(first + block, len(rows))))
            seen[encoder.encode(part, "feature", np.random.default_rng([ctx.seed, epoch, first])).items] = True
        found.append(float(seen.mean()))
    return found


def _use_table(used: list[float]) -> Table:
    rows = tuple({"epoch": number, "used": 100 * share} for number, share in enumerate(used, 1))
    columns = (Column("epoch", "draws", decimals=0), Column("used", "of the vocabulary", unit="%"))
    caption = "Share of the vocabulary that training sequences use, over so many random orders of their features"
    return Table("utilisation", caption, columns, rows, heading="Use of the vocabulary")


def _use_plot(used: list[float]) -> Plot:
    series = Series(OWN, tuple(range(1, len(used) + 1)), tuple(100 * share for share in used))
    return Plot(
        "utilisation", "Use of the vocabulary", "The share of tokens in use rises with further random orders.", "line",
        "random orders of the training sequences", "tokens in use (%)", (series,),
    )  # fmt: skip


def _facts_table(tokeniser: Tokeniser) -> Table:
    facts = tokeniser.facts
    lines = {
        "features come from": facts["features_from"],
        "values of each category": ", ".join(map(str, facts["values_per_category"])),
        "items that are equal but for the last digit": facts["items_that_share_features"],
        "values of the last digit": facts["hash_buckets"],
        "items without a training event": facts["items_unseen_in_training"],
        "training events the vocabulary was learned from": facts["learned_from_events"],
    }
    rows = tuple({"name": name, "value": str(value)} for name, value in lines.items())
    columns = (Column("name", "what", "text"), Column("value", "found", "text"))
    return Table("features", "What items are made of", columns, rows, heading="Features and collisions")


def _sizes_table(data: Sequences, tokeniser: Tokeniser) -> Table:
    """Bytes of the training events as item numbers and as tokens, plain and compressed alike."""
    train = data.training().rows
    kept = tokeniser.written.split == TRAIN
    tokens = tokeniser.written.rows.take(np.flatnonzero(kept))
    rules = {"rules": tokeniser.vocabulary.rules.astype(np.int32), "features": tokeniser.item_features.astype(np.int32)}
    parts = {
        "training events as item numbers": sizes.hard_arrays(train, data.n_items, None),
        "training events as tokens": sizes.hard_arrays(tokens, len(tokeniser.vocabulary), None),
        "vocabulary and item features": rules,
    }
    rows = tuple(
        {"name": name, "bytes": sizes.plain_bytes(arrays), "compressed": sizes.compressed_bytes(arrays)}
        for name, arrays in parts.items()
    )
    columns = (
        Column("name", "what", "text"),
        Column("bytes", "plain", unit="B", decimals=0),
        Column("compressed", "compressed", unit="B", decimals=0),
    )
    plain, tokens_alone = rows[0]["bytes"], rows[1]["bytes"]
    more = (
        "fewer bytes than"
        if tokens_alone < plain
        else "as many bytes as"
        if tokens_alone == plain
        else "more bytes than"
    )
    caption = f"Tokens are shorter than features; they take {more} the item numbers themselves"
    return Table("sizes", caption, columns, rows, heading="Bytes")
