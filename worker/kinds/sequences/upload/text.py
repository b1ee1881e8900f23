"""Texts to windows of tokens.

A text is read in order: lines of .txt files, each of which ends in `<eos>` where tokens are words (as PTB and WikiText
have it), or the `text` of jsonl, csv or Parquet rows. The vocabulary is that of the training part; what it does not
have is `<unk>`. Every part is cut into windows of `max_len` tokens that do not overlap; each begins with the last token
of the one before, which is read and not predicted.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from worker.contract.errors import JobError
from worker.contract.text import storable
from worker.ingest.arrow import Arrow, pc
from worker.ingest.limits import Meter
from worker.ingest.sample import NO_HINTS, Sample
from worker.ingest.sources import Source
from worker.ingest.table import Role, Schema, Table, as_table, read_batches
from worker.ingest.upload import Upload, is_prose
from worker.kinds.sequences import splits
from worker.kinds.sequences.rows import Rows, bounds, places
from worker.kinds.sequences.splits import TEST, TRAIN, VALIDATION, part_of_file

EOS, UNK = "<eos>", "<unk>"
MOST_TOKENS = 200_000
_NAMES = ("text", "content", "document", "body", "sentence")
_WORD = re.compile(r"^[^\W\d_]+$")
_PLAIN = (".txt", ".tokens", ".text", ".raw")

TEXTS = Schema("a table of texts", (Role("text", "text", _NAMES, required=True), Role("split", "split", ("split",))))


def looks_like_text(upload: Upload, sources: Sequence[Source]) -> bool:
    """Whether these files are texts: prose in lines, or tables with a text column and neither users nor items."""
    some = [source for source in sources if not (len(sources) > 1 and is_prose(source.name))]
    seen = [
        source for source in some if len(some) == 1 or source.head(upload.meter)[0].strip()
    ]  # an empty part is none
    return bool(seen) and all(_is_prose(source, upload.meter) or _as_texts(upload, source, {}) for source in seen)


def _is_prose(source: Source, meter: Meter) -> bool:
    """Lines of unlike length, or of five tokens and more, most of which are words without digits."""
    if not source.name.lower().endswith(_PLAIN):
        return False
    sample = Sample(source, *source.head(meter), NO_HINTS)
    tokens = [line.split() for line in sample.lines]
    flat = [token.strip(".,;:!?\"'()") for row in tokens for token in row]
    words = sum(bool(_WORD.match(token)) or token in (UNK, EOS) for token in flat)
    widths = {len(row) for row in tokens}
    return words > len(flat) / 2 and (len(widths) > 2 or min(widths) > 4)


def _as_texts(upload: Upload, source: Source, asked: dict[str, str | int]) -> Table | None:
    try:
        detected = upload.detect(source)
        named = {column.name.lower() for column in detected.columns}
        if named & {"item_id", "item", "user_id", "user", "items", "item_ids"} and "text" not in asked:
            return None
        return as_table(detected, asked, TEXTS) if detected.header else None
    except JobError:
        return None


def documents(
    upload: Upload, sources: Sequence[Source], asked: dict[str, str | int]
) -> Iterator[tuple[int | None, str]]:
    """Texts in order, with the part that the name of their file or a split column says, None where nothing does."""
    for source in sources:
        if len(sources) > 1 and is_prose(source.name):
            continue
        part = part_of_file(source.name)
        if source.name.lower().endswith(_PLAIN):
            for line in _lines(source, upload.meter):
                yield part, line
            continue
        table = _as_texts(upload, source, asked)
        if table is None:
            raise JobError(
                "unknown_column",
                f"{source.name} has no text column.",
                hint='Name it, as in columns={"text": "review"}; or upload .txt files.',
                pointer="/columns/text",
            )
        for batch in read_batches([table], upload.meter):
            texts = pc.fill_null(batch["text"].cast("string"), "").to_pylist()
            parts = _parts_of_rows(batch, part)
            for row_part, text in zip(parts, texts, strict=True):
                for line in text.split("\n"):
                    yield row_part, line


def _parts_of_rows(batch: Arrow, part: int | None) -> list[int | None]:
    """The part of each row by the split column, that of the file where there is none."""
    if "split" not in batch.schema.names:
        return [part] * batch.num_rows
    return splits.given(np.array(pc.fill_null(batch["split"].cast("string"), "").to_pylist(), dtype=str)).tolist()


def _lines(source: Source, meter: Meter) -> Iterator[str]:
    rest = b""
    with source.open(meter) as stream:
        while chunk := stream.read(1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            meter.tick()
            for line in lines:
                yield _text(line, source)
    if rest:
        yield _text(rest, source)


def _text(line: bytes, source: Source) -> str:
    try:
        return storable(line.decode("utf-8-sig").removesuffix("\r"))
    except UnicodeDecodeError as bad:
        raise JobError("invalid_input", f"{source.name} is not UTF-8 text.", hint="Save it as UTF-8.") from bad


def tokens_of(lines: Iterable[str], tokeniser: str) -> Iterator[str]:
    """Words with `<eos>` behind each line, characters with the line's end among them, or ids: words without `<eos>`."""
    for line in lines:
        if tokeniser == "char":
            yield from line
            yield "\n"
        else:
            yield from line.split()
            if tokeniser == "word":
                yield EOS


def read(
    found: Iterable[tuple[int | None, str]], tokeniser: str, min_count: int, shares: tuple[float, float] = (0.8, 0.9)
) -> tuple[dict[int, np.ndarray], np.ndarray, dict[str, int]]:
    """Tokens of each part as numbers, int32; the vocabulary, text (V,), most frequent first; and counts to be told.

    Where no text has a part, the first 80 % of tokens are training and the next 10 % validation; where some are
    training and none are validation, the last tenth of the training tokens becomes that.
    """
    number: dict[str, int] = {}
    streams: dict[int | None, array[int]] = {}
    for part, line in found:
        stream = streams.setdefault(part, array("i"))
        for token in tokens_of((line,), tokeniser):
            stream.append(number.setdefault(token, len(number)))
    flat = {part: np.array(stream, np.int32) for part, stream in streams.items()}
    parts = _parts(flat or {None: np.zeros(0, np.int32)}, shares)
    frequency = np.bincount(parts[TRAIN], minlength=len(number))
    words = list(number)
    order = np.argsort(-frequency, kind="stable")
    kept = [int(code) for code in order if frequency[code] >= min_count]
    vocabulary = [words[code] for code in kept]
    renumbered = np.full(len(words), -1, np.int64)
    renumbered[kept] = np.arange(len(kept))
    outside = {part: int((renumbered[codes] < 0).sum()) for part, codes in parts.items()}
    if any(outside.values()) and UNK not in vocabulary:
        vocabulary.append(UNK)
    if UNK in vocabulary:
        renumbered[renumbered < 0] = vocabulary.index(UNK)
    _refuse_vocabulary(len(vocabulary), min_count)
    told = {"tokens": sum(len(codes) for codes in parts.values()), "unknown_test_tokens": outside.get(TEST, 0)}
    told["named_parts"] = int(any(part is not None for part in streams))
    told["validation_from_training"] = int(bool(told["named_parts"]) and VALIDATION not in streams)
    return {part: renumbered[codes].astype(np.int32) for part, codes in parts.items()}, np.array(vocabulary), told


def _parts(flat: dict[int | None, np.ndarray], shares: tuple[float, float]) -> dict[int, np.ndarray]:
    whole = flat.pop(None, None)
    if whole is not None and not flat:
        cuts = [int(share * len(whole)) for share in shares]
        return dict(zip((TRAIN, VALIDATION, TEST), np.split(whole, cuts), strict=True))
    if whole is not None:
        raise JobError(
            "invalid_input",
            "Some files are named train, valid or test, and others are not.",
            hint="Name all of them so, or none.",
            pointer="/options/split",
        )
    parts = {part: codes for part, codes in flat.items() if part is not None}
    if TRAIN not in parts:
        raise JobError(
            "invalid_input",
            "No file is named train.",
            hint="Rename the training text train.txt.",
            pointer="/options/split",
        )
    if VALIDATION not in parts:
        cut = int(0.9 * len(parts[TRAIN]))
        parts[TRAIN], parts[VALIDATION] = parts[TRAIN][:cut], parts[TRAIN][cut:]
    return parts


def _refuse_vocabulary(size: int, min_count: int) -> None:
    if 2 <= size <= MOST_TOKENS:
        return
    hint = "Raise min_item_count, or choose tokeniser=char."
    if size < 2:
        hint = "Upload more text." if min_count == 1 else f"Upload more text, or lower min_item_count, now {min_count}."
    raise JobError(
        "too_few_rows" if size < 2 else "decoded_too_large",
        f"The vocabulary has {size:,} different tokens; between 2 and {MOST_TOKENS:,} are served.",
        hint=hint,
        pointer="/options/tokeniser" if size < 2 and min_count == 1 else "/options/min_item_count",
    )


def windows(parts: dict[int, np.ndarray], length: int) -> tuple[Rows, np.ndarray]:
    """Windows of all parts, training first, and the part of each, int8 (n,); a last one of one token is dropped."""
    found: list[Rows] = []
    codes: list[np.ndarray] = []
    for part in (TRAIN, VALIDATION, TEST):
        tokens = parts.get(part, np.zeros(0, np.int32))
        starts = np.arange(0, max(0, len(tokens) - 1), length)
        lengths = np.minimum(length + 1, len(tokens) - starts)
        found.append(Rows(bounds(lengths), tokens[places(starts, lengths)]))
        codes.append(np.full(len(starts), part, np.int8))
    lengths = np.concatenate([one.lengths for one in found])
    return Rows(bounds(lengths), np.concatenate([one.items for one in found])), np.concatenate(codes)
