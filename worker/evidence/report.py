"""From measurements to the report that travels with a summary: JSON first, page, plots and tables made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.evidence import figures, page, plots, tables, wording
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import DistilCost, Measurements, Plot
from worker.evidence.reproduce import reproduce
from worker.evidence.table import Table, finite
from worker.evidence.verdict import Verdict, decide

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """A finished report. `json` holds everything; `html` is one self-contained page without scripts."""

    json: dict[str, Any]
    html: str
    tables: tuple[Table, ...]
    drawings: dict[str, str]
    pictures: dict[str, bytes] = field(default_factory=dict)

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict's fields."""
        return self.json["verdict"]

    def write(self, folder: Path) -> list[Path]:
        """Write report.json, report.html, plots/*.svg, plots/*.png and tables/*.csv; returns the paths, in order."""
        files = {"report.json": self.json_text(), "report.html": self.html}
        files |= {f"plots/{name}": svg for name, svg in self.drawings.items()}
        files |= {f"tables/{table.name}.csv": table.to_csv() for table in self.tables}
        encoded = {name: text.encode("utf-8", errors="replace") for name, text in files.items()}
        encoded |= {f"plots/{name}": picture for name, picture in self.pictures.items()}
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


def build(measurements: Measurements, job: Mapping[str, Any]) -> Report:
    """Judge the measurements and lay out the report.

    `job` describes the run: id, method, method_version, kind, task, dataset, params, seed, evaluate, input_hash,
    environment; and, where the runtime measured it, `cost` = {"seconds", "peak_mb"} of making the summary, which
    goes before what the measurements say. Deterministic: same arguments, same bytes.
    """
    comparison = Comparison(measurements)
    own_method = str(job.get("method", ""))
    verdict = decide(comparison, own_method)
    distilling = _distilling(measurements, job)
    built = tables.all_tables(comparison, distilling)
    drawn = figures.all_figures(comparison, verdict.learner)
    drawings = {plots.file_name(plot): plots.draw(plot) for plot in drawn}
    content = {
        "schema_version": SCHEMA_VERSION,
        "kind": measurements.kind,
        "unit": measurements.unit,
        "units": measurements.units,
        "test_units": {"value": measurements.n_test, "unit": measurements.test_units},
        "task": job.get("task"),
        "method": job.get("method"),
        "method_version": job.get("method_version"),
        "dataset": job.get("dataset"),
        "metric": vars(measurements.metric) | {},
        "protocol": measurements.protocol,
        "verdict": verdict.to_json(),
        "tables": [table.to_json() for table in built],
        "plots": [plots.to_json(plot) for plot in drawn],
        "warnings": list(dict.fromkeys([*measurements.warnings, *warnings(comparison, verdict)])),
        "cost": cost(measurements, distilling, built),
        "reproduce": reproduce(job),
    }
    content = plain(content)
    pictures = {plots.file_name(plot).replace(".svg", ".png"): plots.draw_png(plot) for plot in drawn}
    return Report(content, page.render(content, built, _inlined(drawn, drawings)), built, drawings, pictures)


def warnings(c: Comparison, verdict: Verdict) -> list[str]:
    """What every kind warns of: a summary larger than its source, or one that a floor on the full data beats."""
    m = c.measurements
    said = []
    if m.summary.bytes > m.full.bytes:
        said.append(
            f"The summary is larger than its source: {wording.size(m.summary.bytes)} against "
            f"{wording.size(m.full.bytes)}. It saves rows, not bytes."
        )
    for floor in (learner for learner in m.learners if learner.floor):
        if verdict.learner and floor.name != verdict.learner:
            lead = c.lead(verdict.learner, floor.name, trained_on=m.summary.name)
            if lead is not None and not lead.value > 0:
                said.append(
                    f"{verdict.learner_label} trained on the summary does not beat {floor.label}, which needs only "
                    "counts of the full data."
                )
    return said + _per_byte(c, verdict)


def _per_byte(c: Comparison, verdict: Verdict) -> list[str]:
    """Where a cheap baseline that fills the same bytes keeps as much, rows flatter the summary."""
    m = c.measurements
    said = []
    for one in (s for s in m.sets if s.role == "baseline" and s.equal == "bytes"):
        kept = c.fidelity(verdict.learner, one.name) if verdict.learner else None
        if kept is not None and verdict.low is not None and kept.high >= verdict.low:
            said.append(
                f"Byte for byte a cheap pick does as well: {wording.number(one.rows)} {one.label} "
                f"({wording.size(one.bytes)}) keep {wording.percent(kept)}."
            )
    return said


def cost(m: Measurements, distilling: DistilCost, built: tuple[Table, ...]) -> dict[str, Any]:
    """The cost of making the summary and of training, per learner, every number with its unit."""
    rows = next((table.rows for table in built if table.name == "cost"), ())
    return {
        "distilling": {
            "seconds": {"value": distilling.seconds, "unit": "s", "n": 1},
            "peak_memory": {"value": distilling.peak_mb, "unit": "MB", "n": 1},
        },
        "learners": [
            {
                "learner": row["learner"],
                "train_full": {"value": row["fit_full"], "unit": "s"},
                "train_summary": {"value": row["fit_summary"], "unit": "s"},
                "break_even": {"value": row["break_even"], "unit": "trainings", "said": row["pays"]},
                "n": row["n"],
            }
            for row in rows
        ],
    }


def plain(value: Any) -> Any:
    """Any nesting of mappings, sequences and numpy scalars as plain JSON values; not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    value = finite(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _distilling(m: Measurements, job: Mapping[str, Any]) -> DistilCost:
    # Judging a summary that was there already says nothing about what it took to make it.
    measured = {} if job.get("task") == "evaluate" else job.get("cost") or {}
    return DistilCost(measured.get("seconds", m.distilling.seconds), measured.get("peak_mb", m.distilling.peak_mb))


def _inlined(drawn: tuple[Plot, ...], drawings: dict[str, str]) -> list[page.Figure]:
    return [page.Figure(p.name, p.title, plots.inline(drawings[plots.file_name(p)], p.name)) for p in drawn]
