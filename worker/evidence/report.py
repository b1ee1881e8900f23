"""From evidence to the report that travels with a result: JSON first, page, plots and tables made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.evidence import markdown, page, plots
from worker.evidence.conclude import conclude
from worker.evidence.findings import Findings
from worker.evidence.measurements import Measurements
from worker.evidence.reproduce import reproduce
from worker.evidence.table import Table, finite

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """A finished report. `json` holds everything; `html` is one self-contained page without scripts."""

    json: dict[str, Any]
    html: str
    markdown: str
    tables: tuple[Table, ...]
    drawings: dict[str, str]
    pictures: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict's fields."""
        return self.json["verdict"]

    def write(self, folder: Path) -> list[Path]:
        """Write report.json, .html, .md, plots (SVG, PNG), tables (CSV) and further files; returns the paths."""
        files = {"report.json": self.json_text(), "report.html": self.html, "report.md": self.markdown}
        files |= {f"plots/{name}": svg for name, svg in self.drawings.items()}
        files |= {f"tables/{table.name}.csv": table.to_csv() for table in self.tables}
        encoded = {name: text.encode("utf-8", errors="replace") for name, text in files.items()}
        encoded |= {f"plots/{name}": picture for name, picture in self.pictures.items()}
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
    environment; and, where the runtime measured it, `cost` = {"seconds", "peak_mb"} of making the summary, which
    goes before what the measurements say. Deterministic: same arguments, same bytes.
    """
    found = evidence if isinstance(evidence, Findings) else conclude(evidence, job)
    drawings = {plots.file_name(plot): plots.draw(plot) for plot in found.plots}
    content = plain(
        {
            "schema_version": SCHEMA_VERSION,
            "kind": found.kind,
            "unit": found.unit,
            "units": found.units,
            "test_units": {"value": found.n_test, "unit": found.test_units},
            "task": job.get("task"),
            "method": job.get("method"),
            "method_version": job.get("method_version"),
            "dataset": job.get("dataset"),
            "metric": found.metric,
            "protocol": found.protocol,
            "verdict": found.verdict,
            "tables": [table.to_json() for table in found.tables],
            "plots": [plots.to_json(plot) for plot in found.plots],
            "files": sorted(found.files),
            "warnings": list(dict.fromkeys(found.warnings)),
            "cost": found.cost or _cost(job),
            "reproduce": reproduce(job),
        }
    )
    pictures = {plots.file_name(plot).replace(".svg", ".png"): plots.draw_png(plot) for plot in found.plots}
    figures = [page.Figure(p.name, p.title, plots.inline(drawings[plots.file_name(p)], p.name)) for p in found.plots]
    page_text, text = page.render(content, found, figures), markdown.render(content, found)
    return Report(content, page_text, text, found.tables, drawings, pictures, found.files)


def plain(value: Any) -> Any:
    """Any nesting of mappings, sequences and numpy scalars as plain JSON values; not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    value = finite(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _cost(job: Mapping[str, Any]) -> dict[str, Any]:
    """What the runtime measured of a run that made no summary."""
    measured = job.get("cost") or {}
    return {
        "seconds": {"value": measured.get("seconds"), "unit": "s", "n": 1},
        "peak_memory": {"value": measured.get("peak_mb"), "unit": "MB", "n": 1},
    }
