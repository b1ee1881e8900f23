"""Plain text: a document is a line, or what stands between blank lines; lines that are not in the file's encoding are
left out. Read in pieces, so that a file may be larger than memory.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Column, Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.native import BLOCK_BYTES
from worker.ingest.sample import Sample
from worker.kinds.text.unreadable import Unreadable

Ends = Literal["line", "paragraph"]
_CHUNK, _BATCH_BYTES = 1 << 20, 4_000_000
_ENDINGS = (".txt", ".text")


def plain_text(ends: Ends) -> Format:
    """The format of text files whose documents end with the line, or with the paragraph."""

    def recognise(sample: Sample) -> bool:
        said = sample.hints.format == "text"
        return not sample.binary and (said or (sample.hints.format == "auto" and _is_named_so(sample.source.name)))

    def describe(sample: Sample, meter: Meter) -> Detected:
        examples = [line[:80] for line in sample.lines[:20]]
        guessed = not sample.hints.encoding and not sample.encoding.startswith("utf-16")
        encoding = "utf-8" if guessed else sample.encoding  # a few wrong bytes do not make another encoding
        return Detected(sample.source, known, [Column("text", 0, "text", examples)], encoding)

    def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
        lost = Unreadable(detected.source.name, "lines", f"{detected.encoding} text")
        lines = _lines(detected, meter, lost)
        for batch in _batches(lines if ends == "line" else _paragraphs(lines, detected.source.name)):
            yield pa.RecordBatch.from_arrays([pa.array(batch, pa.string())], names=[wanted[0].name])
        lost.tell(meter)

    known = Format("text", recognise, describe, read)
    return known


def _is_named_so(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def _lines(detected: Detected, meter: Meter, lost: Unreadable) -> Iterator[str]:
    """The lines that can be read, without their ends (LF, CR LF or CR). Of UTF-16, whose line ends are two bytes, the
    whole is decoded first, and nothing may be wrong."""
    wide = detected.encoding.startswith("utf-16")
    encoding = "utf-8" if wide else detected.encoding
    decode = codecs.getincrementaldecoder(detected.encoding)().decode
    rest, ended = b"", False
    with detected.source.open(meter) as stream:
        while not ended:
            chunk = stream.read(_CHUNK)
            ended = not chunk
            try:
                block = rest + (decode(chunk, ended).encode() if wide else chunk)
            except UnicodeError as broken:
                raise JobError(
                    "invalid_input",
                    f"{detected.source.name} is not {detected.encoding} text: {str(broken)[:100]}.",
                    hint="Save it as UTF-8.",
                    pointer="/options/encoding",
                ) from broken
            lines, rest = (block.splitlines(), b"") if ended else _whole_lines(block)
            if len(rest) > BLOCK_BYTES:
                line = lost.total + len(lines) + 1
                raise JobError(
                    "decoded_too_large",
                    f"Line {line:,} of {detected.source.name} is longer than {BLOCK_BYTES:,} bytes.",
                    hint="Break it into documents, one a line.",
                )
            yield from _decoded(lines, encoding, lost)
            meter.tick()


def _whole_lines(block: bytes) -> tuple[list[bytes], bytes]:
    """The lines of a block that have ended, and what is left; a CR at its end may be the first half of CR LF."""
    lines = block.splitlines(keepends=True)
    rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    return b"".join(lines).splitlines(), rest


def _decoded(lines: Sequence[bytes], encoding: str, lost: Unreadable) -> Iterator[str]:
    for line in lines:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            lost.count(1, lost=True)
            continue
        yield text if lost.total else text.removeprefix("\ufeff")
        lost.count(1)


def _paragraphs(lines: Iterator[str], name: str) -> Iterator[str]:
    """Lines between blank lines, as they stand; of a file without blank lines, no more than a document may be."""
    paragraph: list[str] = []
    size = 0
    for line in lines:
        if line.strip():
            paragraph.append(line)
            size += len(line) + 1
            if size > BLOCK_BYTES:
                raise JobError(
                    "decoded_too_large",
                    f"A paragraph of {name} is longer than {BLOCK_BYTES:,} characters.",
                    hint='Put blank lines between documents, or take documents="line".',
                    pointer="/options/documents",
                )
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph, size = [], 0
    if paragraph:
        yield "\n".join(paragraph)


def _batches(documents: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document) + 16
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
