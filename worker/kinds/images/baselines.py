"""What a summary of images is compared with: the full data, and real images that cost nothing to choose.

Random images and herded ones, as many of every class as the summary stores; random ones that take as many bytes; and
the control that sinks most published gains: random images with the soft labels of a teacher trained on the full data,
whatever labels the summary has.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from worker.contract.context import Context, seed_of
from worker.evidence.measurements import Role, TrainingSet
from worker.evidence.training import Contender
from worker.kinds.images.budget import balanced, image_bytes
from worker.kinds.images.dataset import Images
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.labelling import control
from worker.kinds.images.selection.pickers import at_random, herding, pixel_features, spread
from worker.kinds.images.summary import LABEL, PIXELS, ImagesSummary

PICKS = {"random": "random images", "random-soft": "random images with soft labels", "herding": "herded images"}
"""What stands beside a summary; real images with their classes are made by the method of the same name."""
SOFT = "random-soft"
ENCODING = "arrays"
_APART = 0.05  # shares of the bytes below which sets count as equal
_SAMPLE = 1_000  # images of the full data that are compressed


def contenders(
    data: Images, summaries: Sequence[ImagesSummary], picks: Sequence[str], *, draws: int, ctx: Context
) -> list[Contender]:
    """The full data, the summaries in each of their forms, and the alternatives of each."""
    found = [Contender(_whole(data), (data.train,))]
    cheap = _Cheap(data, picks, draws, ctx)
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        label = "this summary" if len(summaries) == 1 else f"summary {number + 1}: {summary.origin.method or 'given'}"
        record = _record(name, label, "summary", summary)
        images = summary.images
        found.append(Contender(record, (replace(images, weights=None),)))
        found += [
            Contender(_record(f"{name}-{form}", f"{label} {said}", "form", given, of=name), (images,))
            for form, said, given, images in forms(summary)
        ]
        beside = "" if len(summaries) == 1 else f" (as summary {number + 1})"
        found += cheap.of(summary, record, "" if not number else f"-{number + 1}", beside)
    return found


def forms(summary: ImagesSummary) -> list[tuple[str, str, ImagesSummary, ImageSet]]:
    """(name, what it is, the form, what is learned of it) of every other form that a summary is delivered in, or that
    tells its parts apart; the bytes of one are its own."""
    images, found = summary.images, list[tuple[str, str, ImagesSummary, ImageSet]]()
    if images.weights is not None:
        found.append(("weighted", "with its weights", summary, images))
    if not summary.real:
        rounded = replace(summary, x=summary.pixels, decoder=PIXELS, coefficients=None)
        found.append(("png", "as PNG files", rounded, replace(rounded.images, weights=None)))
    if images.soft is not None:
        hard = replace(summary, soft=None, loss="cross-entropy")
        found.append(("hard", "with hard labels", hard, replace(hard.images, weights=None)))
    return found


class _Cheap:
    """The alternatives of summaries, each drawn once for all that have the same size."""

    def __init__(self, data: Images, picks: Sequence[str], draws: int, ctx: Context) -> None:
        self._data, self._picks, self._draws, self._ctx = data, picks, draws, ctx

    def of(self, summary: ImagesSummary, record: TrainingSet, suffix: str, beside: str) -> list[Contender]:
        """Those of one summary: of equal images, then of equal bytes."""
        counts = np.bincount(summary.y, minlength=len(summary.classes)) // summary.decoder.times
        counts = np.minimum(counts, self._data.counts)
        found: list[Contender] = []
        for pick in self._picks:
            drawn = self._drawn(pick, counts)
            name, label = f"{pick}{suffix}", f"{PICKS[pick]}{beside}"
            if pick == SOFT:
                with self._ctx.part(f"control{suffix}", seed=self._ctx.seed) as part:
                    soft = control(self._data, drawn, summary.origin.settings, part)
                images = tuple(replace(one.images, weights=None) for one in soft)
                found.append(Contender(_record(name, label, "baseline", soft[0]), images))
            else:
                found.append(self._contender(name, label, pick, drawn))
        each = image_bytes(self._data)
        fits = balanced(record.bytes // each, self._data.counts)
        if "random" in self._picks and abs(fits.sum() * each / max(1, record.bytes) - 1) < 1:
            apart = abs(int(fits.sum()) - int(counts.sum())) / max(1, int(counts.sum()))
            if apart > _APART and fits.sum() >= len(fits):
                label = f"random images of equal bytes{beside}"
                drawn = self._drawn("random", fits)
                found.append(self._contender(f"random-bytes{suffix}", label, "random", drawn, equal="bytes"))
        return found

    def _drawn(self, pick: str, counts: np.ndarray) -> list[ImageSet]:
        train, found = self._data.train, list[ImageSet]()
        for draw in range(1 if pick == "herding" else self._draws):
            seed = seed_of(self._ctx.seed, f"random {draw}" if pick != "herding" else "herding")
            with self._ctx.part(f"{pick} {counts.sum()} {draw}", seed=seed) as part:
                if pick == "herding":
                    rows = spread(train, counts, pixel_features(train), herding, part)
                else:
                    rows = spread(train, counts, lambda rows: rows[:, None], at_random, part)
            taken = train.take(rows)
            found.append(replace(taken, x=np.ascontiguousarray(taken.x[taken.rows]), rows=None, weights=None))
        return found

    def _contender(
        self, name: str, label: str, method: str, drawn: Sequence[ImageSet], equal: str = "images"
    ) -> Contender:
        first = drawn[0]
        made = TrainingSet(
            name, label, "baseline", len(first), float(len(first)), _bytes_of(first), ENCODING, method,
            "bytes" if equal == "bytes" else "rows", _compressed(first),
        )  # fmt: skip
        return Contender(made, tuple(drawn))


def _bytes_of(images: ImageSet) -> int:
    return int(images.x.nbytes + len(images) * np.dtype(LABEL).itemsize)


def _compressed(images: ImageSet) -> int:
    return _zipped(images.x, images.y.astype(LABEL))


def _zipped(*arrays: np.ndarray) -> int:
    """Bytes of arrays after lossless compression."""
    return len(zlib.compress(b"".join(np.ascontiguousarray(one).tobytes() for one in arrays), 6))


def _record(name: str, label: str, role: Role, summary: ImagesSummary, *, of: str = "") -> TrainingSet:
    stored = len(summary) // summary.decoder.times
    total = sum(summary.parts_in_bytes.values())
    zca = summary.encoding.whitening
    packed = _zipped(*summary.needed) + (0 if zca is None else len(zlib.compress(zca.matrix.tobytes(), 1)))
    seen = float(len(summary) * summary.views.count)
    return TrainingSet(name, label, role, stored, seen, total, ENCODING, summary.origin.method, "rows", packed, of)


def _whole(data: Images) -> TrainingSet:
    """The full data; what it compresses to is estimated from a sample of its images."""
    train = data.train
    sample = train.stored(np.arange(0, len(train), max(1, len(train) // _SAMPLE)))
    share = len(zlib.compress(np.ascontiguousarray(sample).tobytes(), 6)) / max(1, sample.nbytes)
    pixels = len(train) * int(np.prod(data.shape))
    labels = len(train) * (np.dtype(LABEL).itemsize if data.soft is None else 2 * len(data.classes))
    return TrainingSet(
        "full", "full data", "full", len(train), float(len(train)), pixels + labels, ENCODING,
        compressed=int(pixels * share) + labels,
    )  # fmt: skip
