"""A stored report inside a page of ours: its own text and its own style, which holds for the report alone.

Reports are made by `worker.evidence`, once; nothing of them is laid out or computed here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from markupsafe import Markup

from app.api.problems import Problem
from app.api.security import Caller
from app.store.artifacts import get_artifact

_MAIN = re.compile(r"<main>(.*)</main>", re.DOTALL)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
# What our policy would refuse: a report of an earlier version is shown by itself instead, where its own policy holds.
_NOT_HERE = re.compile(r"<script|<style|\sstyle=|\son[a-z]+=", re.IGNORECASE)


def page_of(caller: Caller, report_id: str) -> Markup | None:
    """The report as part of a page; None for one that has to be shown by itself."""
    main = _MAIN.search(_text(caller, report_id, "report.html"))
    if main is None or _NOT_HERE.search(re.sub(r">[^<]*<", "><", main[1])):
        return None
    return Markup(main[1])  # noqa: S704 - made by our template, which escapes; and no script of it would run


def style_of(caller: Caller, report_id: str) -> str:
    """The report's style, held to the report."""
    style = _STYLE.search(_text(caller, report_id, "report.html"))
    return "@scope (.report) {" + (style[1].replace(":root", ":scope") if style else "") + "}"


def read_report(caller: Caller, report_id: str) -> dict[str, Any]:
    """The report as data."""
    return json.loads(_text(caller, report_id, "report.json"))


def _text(caller: Caller, report_id: str, path: str) -> str:
    file = get_artifact(caller.conn, caller.tenant_id, report_id, path)
    if file is None:
        raise Problem("not_found", f"There is no report {report_id[:80]}.")
    with caller.services.blobs.open(file["sha256"]) as opened:
        return opened.read().decode("utf-8", "replace")
