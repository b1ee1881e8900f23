"""Uploads of documents with labels to a dataset version: the form recognised, documents without labels left out, the
split taken or drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import Sources
from worker.ingest.limits import Limits
from worker.ingest.options import ColumnMap, Delimiter, ReadOptions, column_map, parse_options
from worker.ingest.sample import NO_HINTS, Sample
from worker.ingest.sources import Source
from worker.ingest.unsafe import refuse_unsafe
from worker.ingest.upload import Upload, is_prose
from worker.kinds.labels import dataset, splits
from worker.kinds.labels.contents import contents
from worker.kinds.labels.dataset import TEST, TRAIN, About, LabelledDocuments
from worker.kinds.labels.description import describe
from worker.kinds.labels.texts import Texts
from worker.kinds.labels.upload import arff, libsvm, raw, sparse_text, tables, xc
from worker.kinds.labels.upload.found import Found, part_of_file
from worker.kinds.labels.upload.label_text import is_filter, is_label_names

MIN_DOCUMENTS = 20
Form = Literal["documents", "labels", "arff", "xml", "matrix", "rows", "filter", "names", "table"]
_ROW = re.compile(r"\s*(\d+(,\d+)*\s+)?\d+:\S+(\s+\d+:\S+)*\s*$")
_LABEL_TABLE = re.compile(r"^(lbl|labels?|tags?)([._\-].*)?$")


class IngestOptions(ReadOptions):
    """How documents with labels become a dataset version."""

    columns: ColumnMap = column_map(tables.DOCUMENTS, example='{"labels": "tags", "text": "abstract"}')
    label_delimiter: Delimiter = Field(
        "",
        max_length=2,
        description="What stands between the labels in a cell (`|` `;` `,` `tab` `whitespace`); blank: guessed. Lists "
        "need none.",
    )
    split: Literal["auto", "random"] = Field(
        "auto",
        description="auto: the names of files, or a column `split`, say which documents are for training, validation "
        "and test, and what they do not say is drawn; random: all is drawn.",
    )
    validation_share: float = Field(
        0.1, gt=0, lt=0.5, description="Share of the training documents that is drawn for validation."
    )
    test_share: float = Field(0.2, gt=0, lt=0.9, description="Share of all documents that is drawn for test.")
    propensity_a: float = Field(
        0.55,
        ge=0,
        le=2,
        description="A of the propensities behind PSP@k. Customary A, B: 0.55, 1.5; for Wikipedia 0.5, 0.4; for Amazon "
        "0.6, 2.6.",
    )
    propensity_b: float = Field(1.5, ge=0.01, le=100, description="B of the propensities behind PSP@k.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of what is drawn of the split.")


def ingest(
    sources: Sources, options: Mapping[str, Any], out: Path, ctx: Context, limits: Mapping[str, int]
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; see `worker.contract.kind.Ingest`.

    Raises `JobError` that names the file and line, or the option, at fault.
    """
    given = parse_options(IngestOptions, options)
    upload = Upload(sources, tables.DOCUMENTS, ctx, Limits(**limits))
    found = _read(upload, given, ctx)
    for warning in found.warnings:
        ctx.warn(warning)
    ctx.progress(0, 3, phase="clean")
    found = _with_labels(found, ctx)
    codes = contents(len(found), (found.titles, found.bodies), found.features)
    ctx.progress(1, 3, phase="split")
    split = splits.decide(found, codes, given.split, given.validation_share, given.test_share, given.seed)
    for warning in split.warnings:
        ctx.warn(warning)
    data = LabelledDocuments(
        found.ids if found.ids is not None else Texts.of([str(row) for row in range(len(found))]),
        split.part,
        found.targets,
        found.features,
        found.titles,
        found.bodies,
        found.label_titles,
        found.label_bodies,
        found.label_features,
        found.pairs.astype(np.int32),
        found.weights,
        about=About(split.words, split.drawn, given.propensity_a, given.propensity_b),
    )
    _check(data, codes, ctx)
    ctx.progress(2, 3, phase="write")
    dataset.save(data, out)
    ctx.progress(3, 3, phase="write")
    told = describe(out)
    repeated = splits.repeated(codes, split.part, TEST)
    told["statistics"]["test_documents_in_training"] = repeated
    return told | {
        "schema": {path.name: path.suffix.lstrip(".") for path in sorted(out.iterdir())},
        "warnings": list(ctx.warnings),
        "detection": {
            "format": found.form, "files": list(found.files), "ignored": list(found.ignored), "split": split.words,
            "warnings": [],
        },
    }  # fmt: skip


def form_of(source: Source, upload: Upload) -> Form:
    """What a file is, by its beginning and, where that says too little, its name."""
    head, whole = source.head(upload.meter)
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<?xml", b"<labels")) and b"<label" in head:
        return "xml"
    refuse_unsafe(source.name, head, whole)
    sample = Sample(source, head, whole, NO_HINTS)
    lines = sample.lines
    first = lines[0].strip() if lines else ""
    if sample.binary:
        return "table"
    if any(line.lstrip().lower().startswith("@relation") for line in lines[:50] if not line.startswith("%")):
        return "arff"
    if first.startswith("{"):
        return _of_object(first, source.name)
    header = sparse_text.header_of(first)
    rows = lines[1:] if header else lines
    if is_filter(source.name) and all(len(line.split()) == 2 for line in lines):
        return "filter"
    if (len(header) == 2 and (xc.role_of(source.name)[1] or _mostly(_is_row, rows))) or xc.is_named_so(source.name):
        return "matrix"
    if len(header) != 2 and any(":" in line for line in rows) and _mostly(_is_row, rows):
        return "rows"
    return "names" if is_label_names(source.name) else "table"


def _is_row(line: str) -> bool:
    return bool(_ROW.match(line)) or line.strip().isdigit()


def _mostly(test: Callable[[str], bool], lines: Sequence[str]) -> bool:
    """Whether most lines pass: who reads them says which one is wrong, which another form could not."""
    return 2 * sum(map(test, lines)) > len(lines)


def _of_object(line: str, name: str) -> Form:
    if '"target_ind"' in line:
        return "documents"
    is_label = _LABEL_TABLE.match(Path(name).name.lower()) and '"title"' in line
    return "labels" if is_label else "table"


def _read(upload: Upload, given: IngestOptions, ctx: Context) -> Found:
    """What the upload holds, in whichever form it is."""
    chosen = [source for source in upload.named(given.file) if not (len(upload.sources) > 1 and is_prose(source.name))]
    forms: dict[Form, list[Source]] = {}
    for source in sorted(chosen, key=lambda source: (part_of_file(source.name), source.name)):
        forms.setdefault(form_of(source, upload), []).append(source)
    names, filters = _single(forms.get("names", []), "labels"), forms.get("filter", [])
    if "documents" in forms:
        labels = _single(forms.get("labels", []), "labels")
        used = [
            *forms["documents"],
            *([labels] if labels else []),
            *filters,
            *([names] if names and not labels else []),
        ]
        upload.expect(used)
        found = raw.read(forms["documents"], labels, names, filters, upload.meter)
    elif "arff" in forms:
        xml = _single(forms.get("xml", []), "labels")
        used = [*forms["arff"], *([xml] if xml else [])]
        upload.expect(used)
        found = arff.read(forms["arff"], xml, upload.meter)
    elif "matrix" in forms:
        used = [*forms["matrix"], *filters, *([names] if names else [])]
        upload.expect(used)
        found = xc.read(forms["matrix"], names, filters, upload.meter)
    elif "rows" in forms:
        used = [*forms["rows"], *filters, *([names] if names else [])]
        upload.expect(used)
        found = libsvm.read(forms["rows"], names, filters, upload.meter)
    else:
        return _read_table(upload, [*forms.get("table", []), *forms.get("labels", [])], chosen, given)
    ignored = [one for one in chosen if one not in used]
    found.files = tuple(one.name for one in used)
    found.ignored = tuple({"file": one.name, "why": f"no file of this form ({found.form})"} for one in ignored)
    return found


def _read_table(upload: Upload, candidates: Sequence[Source], chosen: Sequence[Source], given: IngestOptions) -> Found:
    beside = [one for one in candidates if _LABEL_TABLE.match(Path(one.name).name.lower())]
    label_file = beside[0] if len(beside) == 1 and len(candidates) > 1 else None
    documents = [one for one in candidates if one is not label_file] or list(chosen)
    found, read = tables.read(upload, documents, label_file, given.columns, given.hints(), given.label_delimiter)
    upload.tell(read)
    return found


def _single(sources: Sequence[Source], what: str) -> Source | None:
    if len(sources) > 1:
        names = ", ".join(source.name for source in sources[:5])
        raise JobError(
            "invalid_input",
            f"Several files look like text of {what}: {names}.",
            hint="Upload one of them.",
            pointer="/options/file",
        )
    return sources[0] if sources else None


def _with_labels(found: Found, ctx: Context) -> Found:
    """Only documents that have labels; the others can neither teach nor test anything."""
    has = np.diff(found.targets.indptr) > 0
    without = int((~has).sum())
    if without:
        ctx.warn(f"{without:,} of {len(found):,} documents have no label and were left out.")
    if has.sum() < MIN_DOCUMENTS:
        raise JobError(
            "too_few_rows",
            f"{int(has.sum()):,} documents have labels; at least {MIN_DOCUMENTS} are needed.",
            hint="Upload more documents, or map the column that holds their labels.",
            pointer="/columns/labels",
        )
    return found.keep(has) if without else found


def _check(data: LabelledDocuments, codes: np.ndarray, ctx: Context) -> None:
    """Warn of what makes figures doubtful; refuse what nothing can be learned from."""
    if data.labels < 2:
        raise JobError(
            "invalid_input",
            f"The documents have {data.labels} label: there is nothing to tell apart.",
            hint="Upload documents of several labels. Of a table, label_delimiter says what stands between them.",
            pointer="/options/label_delimiter",
        )
    for part, name in ((TRAIN, "training"), (TEST, "test")):
        if not (data.split == part).any():
            ctx.warn(f"There are no {name} documents: nothing can be measured on this version.")
    blank = _blank(data)
    if blank == len(data):
        raise JobError(
            "invalid_input",
            "No document has words or features: there is nothing to tell labels by.",
            hint="Upload titles, texts or features of the documents, too.",
            pointer="/columns/text",
        )
    if blank:
        ctx.warn(f"{blank:,} documents have neither words nor features.")
    lost = int(((data.known_counts > 0) & (data.train.counts == 0)).sum())
    if lost:
        ctx.warn(
            f"{lost:,} labels have all their training documents in the validation part that was drawn; models cannot "
            "learn them."
        )
    never = int((data.known_counts == 0).sum())
    if never:
        ctx.warn(f"{never:,} of {data.labels:,} labels have no training document at all.")
    if both := splits.repeated(codes, data.split, TEST):
        share = 100 * both / max(1, int((data.split == TEST).sum()))
        ctx.warn(
            f"{both:,} test documents ({share:.2g} %) have the very content of training documents; figures "
            "on them flatter whoever remembers."
        )


def _blank(data: LabelledDocuments) -> int:
    if data.features is not None:
        return int((np.diff(data.features.indptr) == 0).sum())
    texts = [column for column in (data.titles, data.bodies) if column is not None]
    if not texts:
        return len(data)
    return sum(not any(text.strip() for text in row) for row in zip(*texts, strict=True))
