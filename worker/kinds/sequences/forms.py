"""Events in the forms that learners can be trained on: items, or probabilities of all items in few numbers.

    Ids       the item itself
    LowRank   softmax((latent @ decoder + bias) / tau), as in Farzi (arXiv:2310.09983): V numbers from d
    TopK      the k most probable items with their shares; what is left goes to all items by one `spread`, or nowhere

Numpy only: reading a summary needs no torch. `worker.kinds.sequences.networks.targets` has their losses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from worker.kinds.sequences.rows import Rows, bounds, places


@dataclass(frozen=True)
class Ids:
    """`items`: int32 (e,), 0 to V - 1."""

    items: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    def take(self, at: np.ndarray) -> Ids:
        """The events at these places."""
        return Ids(self.items[at])

    def probabilities(self, at: np.ndarray, items: int) -> np.ndarray:
        """One-hot float32 (len(at), items)."""
        table = np.zeros((len(at), items), np.float32)
        table[np.arange(len(at)), self.items[at]] = 1
        return table


@dataclass(frozen=True)
class Factors:
    """Latent vectors of n rows of xi places each as a product: `core` (r1, r2, d), `sequences` (n, r1), `places`
    (xi, r2), float."""

    core: np.ndarray
    sequences: np.ndarray
    places: np.ndarray

    def latent(self) -> np.ndarray:
        """float32 (n * xi, d), row after row."""
        core, sequences, places_ = (np.asarray(one, np.float32) for one in (self.core, self.sequences, self.places))
        by_row = (sequences @ core.reshape(len(core), -1)).reshape(len(sequences), *core.shape[1:])
        return np.matmul(places_, by_row).reshape(-1, core.shape[2])


@dataclass(frozen=True)
class LowRank:
    """`latent`: float (e, d); `decoder`: float (d, V); `bias`: float (V,) or None; `tau`: the temperature; `factors`:
    what `latent` is the product of, and what is stored in its place, or None."""

    latent: np.ndarray
    decoder: np.ndarray
    bias: np.ndarray | None = None
    tau: float = 1.0
    factors: Factors | None = None

    @classmethod
    def of(cls, factors: Factors, decoder: np.ndarray, bias: np.ndarray | None = None, tau: float = 1.0) -> LowRank:
        """Events whose latent vectors are such a product."""
        return cls(factors.latent(), decoder, bias, tau, factors)

    def __len__(self) -> int:
        return len(self.latent)

    def take(self, at: np.ndarray) -> LowRank:
        """The events at these places."""
        return replace(self, latent=self.latent[at], factors=None)

    def probabilities(self, at: np.ndarray, items: int) -> np.ndarray:
        """softmax((latent @ decoder + bias) / tau), float32 (len(at), V)."""
        logits = self.latent[at].astype(np.float32) @ self.decoder.astype(np.float32)
        logits = (logits if self.bias is None else logits + self.bias.astype(np.float32)) / np.float32(self.tau)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class TopK:
    """`ids`: int (e, k), the most probable items; `share`: float (e, k), their probabilities; `spread`: float (V,), a
    distribution over all items to which 1 - sum of shares goes; None: shares are taken relative to their sum."""

    ids: np.ndarray
    share: np.ndarray
    spread: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, at: np.ndarray) -> TopK:
        """The events at these places."""
        return replace(self, ids=self.ids[at], share=self.share[at])

    def parts(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares float32 (len(at), k) as they count, and what is left of each event for `spread` (len(at),)."""
        share = self.share[at].astype(np.float32)
        total = share.sum(axis=1, keepdims=True)
        if self.spread is None:
            return share / total, np.zeros(len(at), np.float32)
        share = share / np.maximum(total, 1)  # rounding may leave a little more than all
        return share, (1 - share.sum(axis=1)).clip(min=0)

    def probabilities(self, at: np.ndarray, items: int) -> np.ndarray:
        """Rows of sum 1, float32 (len(at), items)."""
        share, rest = self.parts(at)
        table = np.zeros((len(at), items), np.float32)
        if self.spread is not None:
            table += rest[:, None] * self.spread.astype(np.float32)
        np.add.at(table, (np.arange(len(at))[:, None], self.ids[at]), share)
        return table


Events = Ids | LowRank | TopK
_FORMS: dict[str, Callable[..., Events]] = {"Ids": Ids, "LowRank": LowRank, "TopK": TopK}


@dataclass(frozen=True)
class TrainingSet:
    """What every learner is trained on, real or synthetic: at each place an event that is read and the one to predict.

    `indptr`: int64 (m + 1,), the bounds of rows of at most `max_len` places. `inputs`, `targets`: events of all places,
    (e,). `weight`: float32 (e,), how much the place counts, None: 1 each. `items`: V, of which padding is no part:
    learners pad with V, which takes no probability. `units`: rows of the kind it stands for (a long real sequence is
    several rows here). `first`: float64 (V,), events that are predicted nowhere since sequences begin with
    them: they count where popularity is counted; None: the first input of every row. `whole`: (e + m,), the events of
    rows that are read but for the last and predicted but for the first, stored in place of both; None where what is
    read and what is predicted are stored apart.
    """

    indptr: np.ndarray
    inputs: Events
    targets: Events
    items: int
    max_len: int
    weight: np.ndarray | None = None
    units: int = 0
    first: np.ndarray | None = None
    whole: Events | None = None

    def __post_init__(self) -> None:
        """ValueError when rows, inputs, targets and weights do not fit together."""
        total = int(self.indptr[-1])
        if (
            len(self.inputs) != total
            or len(self.targets) != total
            or (self.weight is not None and len(self.weight) != total)
        ):
            raise ValueError(f"{total} places, {len(self.inputs)} inputs, {len(self.targets)} targets")
        if len(self) and self.lengths.max() > self.max_len:
            raise ValueError(f"a row has {self.lengths.max()} places, which is more than {self.max_len}")

    @classmethod
    def of(cls, rows: Rows, items: int, max_len: int, *, weight: np.ndarray | None = None) -> TrainingSet:
        """Real rows: each event but the last of a row is read, each but the first to be predicted.

        Rows with more than `max_len` of them are cut into pieces, of which the first is the shorter one, so that every
        event is predicted once. `weight`: float (n,), how many rows each stands for.
        """
        lengths = np.maximum(rows.lengths - 1, 0)
        at = places(rows.indptr[:-1], lengths)
        each = None if weight is None else np.repeat(np.asarray(weight, np.float32), lengths)
        begun = np.flatnonzero(rows.lengths)
        mass = None if weight is None else np.asarray(weight, np.float64)[begun]
        first = np.bincount(rows.items[rows.indptr[begun]], mass, items).astype(np.float64)
        cut, reads, next_ones = _pieces(lengths, max_len), Ids(rows.items[at]), Ids(rows.items[at + 1])
        return cls(cut, reads, next_ones, items, max_len, each, len(rows), first)

    @classmethod
    def of_inputs(cls, rows: Rows, items: int, max_len: int) -> TrainingSet:
        """Rows of at most `max_len` events that are all read, to be given targets by `with_targets`."""
        events = Ids(rows.items)
        return cls(rows.indptr, events, events, items, max_len, units=len(rows))

    def with_targets(self, targets: Events, weight: np.ndarray | None = None) -> TrainingSet:
        """The same inputs with other targets, one for each place."""
        return replace(self, targets=targets, weight=weight, first=None, whole=None)

    @classmethod
    def tied(cls, events: Events, lengths: np.ndarray, items: int, max_len: int) -> TrainingSet:
        """Farzi's own form: rows of soft events (e,), of these lengths (m,), each of at least two. Every event but the
        last of a row is read, every one but the first predicted."""
        each = np.asarray(lengths, np.int64) - 1
        at = places(bounds(lengths)[:-1], each)
        longest = max(max_len, int(each.max(initial=0)))
        sides = events.take(at), events.take(at + 1)
        return cls(bounds(each), *sides, items, longest, units=len(each), whole=events)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Places of each row, int64 (m,)."""
        return np.diff(self.indptr)

    @property
    def places(self) -> int:
        """Places of all rows."""
        return int(self.indptr[-1])

    def take(self, rows: np.ndarray) -> TrainingSet:
        """These rows, in this order."""
        lengths = self.lengths[rows]
        at = places(self.indptr[rows], lengths)
        weight = None if self.weight is None else self.weight[at]
        if self.whole is not None:
            own = places(self.indptr[rows] + rows, lengths + 1)
            taken = TrainingSet.tied(self.whole.take(own), lengths + 1, self.items, self.max_len)
            return replace(taken, weight=weight)
        inputs, targets = self.inputs.take(at), self.targets.take(at)
        return replace(
            self, indptr=bounds(lengths), inputs=inputs, targets=targets, weight=weight, units=len(rows), first=None
        )

    def blocks(self, size: int = 4096) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Input and target probabilities (b, V) and weights (b,) of all places, in blocks: for floors, which count."""
        for start in range(0, self.places, size):
            at = np.arange(start, min(start + size, self.places))
            weight = np.ones(len(at), np.float32) if self.weight is None else self.weight[at]
            yield self.inputs.probabilities(at, self.items), self.targets.probabilities(at, self.items), weight

    def digest(self) -> str:
        """A hash of all that a learner sees of it."""
        digest = hashlib.sha256(repr((self.items, self.max_len)).encode())
        for name, array in self.arrays().items():
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything in it as arrays by name, as they are; `from_arrays` is the way back."""
        found = {"indptr": self.indptr}
        found |= {name: value for name in ("weight", "first") if (value := getattr(self, name)) is not None}
        sides = {"inputs": self.inputs, "targets": self.targets} if self.whole is None else {"events": self.whole}
        for side, events in sides.items():
            found |= {f"{side}.{type(events).__name__}.{name}": value for name, value in _stored(events).items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], items: int, max_len: int, units: int) -> TrainingSet:
        """The set back from `arrays`."""
        arrays = {name: _as_numbers(name, array) for name, array in arrays.items()}
        more = {name: arrays.get(name) for name in ("weight", "first")}
        if any(name.startswith("events.") for name in arrays):
            return replace(cls.tied(_events(arrays, "events"), np.diff(arrays["indptr"]) + 1, items, max_len), **more)
        sides = (_events(arrays, side) for side in ("inputs", "targets"))
        return cls(arrays["indptr"], *sides, items, max_len, units=units, **more)


def _stored(events: Events) -> dict[str, np.ndarray]:
    """What of events is stored, by name: factors in place of their product."""
    held = {one.name: getattr(events, one.name) for one in fields(events)}
    factors = held.pop("factors", None)
    if factors is not None:
        del held["latent"]
        held |= {one.name: getattr(factors, one.name) for one in fields(factors)}
    return {name: np.asarray(value) for name, value in held.items() if value is not None}


def _events(arrays: Mapping[str, np.ndarray], side: str) -> Events:
    """The way back from `_stored`."""
    stored = {name.split(".", 1)[1]: value for name, value in arrays.items() if name.startswith(f"{side}.")}
    form = next(iter(stored)).split(".")[0]
    given: dict[str, Any] = {name.split(".")[1]: value for name, value in stored.items()}
    if form == "LowRank":
        given["tau"] = float(given["tau"])
        given.setdefault("decoder", arrays.get("targets.LowRank.decoder"))  # once for both, in bundles of before
        if "core" in given:
            return LowRank.of(Factors(*(given.pop(one.name) for one in fields(Factors))), **given)
    return _FORMS[form](**given)


def _as_numbers(name: str, array: np.ndarray) -> np.ndarray:
    """Numbers of items as they are held in memory, which are stored in fewer bytes."""
    return array.astype(np.int32) if name.endswith((".items", ".ids")) else array


def _pieces(lengths: np.ndarray, most: int) -> np.ndarray:
    """Bounds of rows of these lengths, those above `most` cut from their ends on; empty ones are left out."""
    count = -(-lengths // most)
    owner = np.repeat(np.arange(len(lengths)), count)
    number = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    first = lengths - (count - 1) * most
    return bounds(np.where(number == 0, first[owner], most))
