"""From evidence to the report that travels with a result: JSON first, page, plots and tables made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.evidence import drawing, markdown, page
from worker.evidence.conclude import conclude
from worker.evidence.findings import Findings
from worker.evidence.measurements import Measurements, Protocol
from worker.evidence.plot_table import table_of
from worker.evidence.reproduce import reproduce
from worker.evidence.table import Table, finite
from worker.evidence.wording import about

SCHEMA_VERSION = 3
# Digits of the numbers in report.json: more than anyone reads, fewer than rounding errors of another order of sums.
DIGITS = 10


@dataclass(frozen=True)
class Report:
    """A finished report. `json` holds everything; `html` is one self-contained page without scripts.

    `drawings`: plots as SVG, `prints`: the same as PNG, `pictures`: the kind's own, all by file name.
    """

    json: dict[str, Any]
    html: str
    markdown: str
    tables: tuple[Table, ...]
    drawings: dict[str, str]
    prints: dict[str, bytes] = field(default_factory=dict[str, bytes])
    pictures: dict[str, bytes] = field(default_factory=dict[str, bytes])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict's fields, as in the JSON."""
        return self.json["verdict"]

    def write(self, folder: Path) -> list[Path]:
        """Write report.json, .html and .md, plots, tables (CSV), pictures and further files; returns the paths."""
        files = {"report.json": self.json_text(), "report.html": self.html, "report.md": self.markdown}
        files |= {f"plots/{name}": svg for name, svg in self.drawings.items()}
        files |= {f"tables/{table.name}.csv": table.to_csv() for table in self.tables}
        encoded = {name: text.encode("utf-8", errors="replace") for name, text in files.items()}
        encoded |= {f"plots/{name}": png for name, png in self.prints.items()}
        encoded |= {f"pictures/{name}": png for name, png in self.pictures.items()}
        encoded |= {f"files/{name}": content for name, content in self.files.items()}
        written = []
        for name, content in encoded.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written.append(path)
        return written

    def json_text(self) -> str:
        """The JSON document; NaN and infinities never occur in it."""
        return json.dumps(self.json, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def build(evidence: Measurements | Findings, job: Mapping[str, Any]) -> Report:
    """Lay out the report of what was measured; measurements of a summary are judged first.

    `job` describes the run: id, method, method_version, kind, task, dataset, params, seed, evaluate, input_hash,
    environment; and, where the runtime knows them, `cost` = {"seconds", "peak_mb"} of making the summary, which goes
    before what the measurements say; `uploaded_bytes`, `dataset_name` and `dataset_files` of what was uploaded, and
    `created_at`, when the job was sent (ISO 8601). Deterministic: same arguments, same bytes.
    """
    found = evidence if isinstance(evidence, Findings) else conclude(evidence, job)
    looks = drawing.looks_of(found.plots, found.families)
    drawings = {drawing.file_name(plot.name): drawing.draw(plot, looks) for plot in found.plots}
    prints = {drawing.file_name(plot.name, "png"): drawing.draw_png(plot, looks) for plot in found.plots}
    pictures = {drawing.file_name(one.name, "png"): one.png for one in found.pictures}
    content = document(found, job)
    figures = [
        page.Figure(p.name, p.title, drawing.inline(drawings[drawing.file_name(p.name)], p.name), table_of(p))
        for p in found.plots
    ]
    page_text, text = page.render(content, found, figures), markdown.render(content, found)
    return Report(content, page_text, text, found.tables, drawings, prints, pictures, found.files)


def document(found: Findings, job: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a report, on its own: nothing is drawn for it."""
    measured = {
        "verdict": found.verdict.to_json(),
        "tables": [table.to_json() for table in found.tables],
        "plots": [drawing.to_json(plot) for plot in found.plots],
        "cost": found.cost or _cost(job),
        **found.more,
    }
    described = {
        "schema_version": SCHEMA_VERSION,
        "kind": found.kind,
        "unit": found.unit,
        "units": found.units,
        "test_units": {"value": found.n_test, "unit": found.test_units},
        "task": job.get("task"),
        "method": job.get("method"),
        "method_version": job.get("method_version"),
        "dataset": job.get("dataset"),
        "dataset_name": job.get("dataset_name"),
        "dataset_files": list(job.get("dataset_files") or ()),
        "created_at": job.get("created_at"),
        "about": about({**job, "kind": found.kind}),
        "because": found.because,
        "key_figures": [vars(one) for one in found.key_figures],
        "headline": found.title,
        "metric": found.metric,
        "protocol": _protocol(found.protocol),
        "unfinished": found.unfinished,
        "pictures": [
            {
                "name": one.name,
                "title": one.title,
                "description": one.description,
                "file": f"pictures/{drawing.file_name(one.name, 'png')}",
            }
            for one in found.pictures
        ],
        "files": sorted(found.files),
        "warnings": list(dict.fromkeys(found.warnings)),
        "reproduce": reproduce(job),
    }
    return plain(described) | plain(measured, digits=DIGITS)


def _protocol(protocol: Protocol | str) -> dict[str, Any]:
    if isinstance(protocol, str):
        return {"hash": None, "text": protocol, "fields": {}}
    return {"hash": protocol.hash, "text": protocol.text, "fields": protocol.fields}


def plain(value: Any, *, digits: int | None = None) -> Any:
    """Any nesting of mappings, sequences and numpy scalars as plain JSON values; not finite becomes null.

    `digits`: significant digits to round floats to, all of them by default.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(one, digits=digits) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, digits=digits) for one in value]
    value = finite(value)
    if isinstance(value, float) and digits is not None:
        return float(f"{value:.{digits}g}")
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _cost(job: Mapping[str, Any]) -> dict[str, Any]:
    """What the runtime measured of a run that made no summary."""
    measured = job.get("cost") or {}
    return {
        "seconds": {"value": measured.get("seconds"), "unit": "s", "n": 1},
        "peak_memory": {"value": measured.get("peak_mb"), "unit": "MB", "n": 1},
    }
