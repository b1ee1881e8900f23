"""The pages of the problem codes: all of them, and one."""

from __future__ import annotations

from html import escape

from app.api.pages.page import prose, table
from app.api.problem_codes import CODES, Code


def every_problem() -> str:
    """The body of the page that lists them."""
    rows = [
        [f'<a href="/problems/{code}"><code>{code}</code></a>', str(known.status), prose(known.meaning)]
        for code, known in CODES.items()
    ]
    said = "Refusals are problem documents (RFC 9457), and jobs that fail have an error, with one of these codes."
    return f"<h1>Problems</h1>{prose(said)}{table(['Code', 'HTTP', ''], rows)}"


def one_problem(code: str, known: Code) -> str:
    """The body of the page of one code."""
    return (
        f"<h1>{escape(known.title)}</h1><p><code>{escape(code)}</code>, HTTP {known.status}</p>{prose(known.meaning)}"
        '<p><a href="/problems">Every problem</a></p>'
    )
