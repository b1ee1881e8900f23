"""A dataset whose every string is an attack, and what a job makes of it."""

from __future__ import annotations

import csv
import io

from tests.security.fort import Fort, finished_job

MARKUP = '<script>alert(1)</script><img src=x onerror="alert(2)">'
FORMULAS = ("=cmd|'/c calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\tx", "\r=1", '=HYPERLINK("http://evil.example")')
STRINGS = (
    *FORMULAS,
    MARKUP,
    '"><svg onload=alert(3)>',
    "</style></title></text><script src=//evil.example></script>",
    "javascript:alert(4)",
    "{{ 7*7 }}{% raw %}",
    "$\\frac{1}{$",
    "]]><!--",
    "&lt;script&gt;",
    "\u202eevil",
    "\x1b[31m",
)


def hostile_csv() -> bytes:
    """Users and items with such names, each item by enough users to be kept."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["user_id", "item_id"])
    for user in range(120):
        name = f"{STRINGS[user % len(STRINGS)]} {user}"
        rows.writerows([name, f"{STRINGS[(user + step) % len(STRINGS)]} {(user + step) % 40}"] for step in range(12))
    return out.getvalue().encode()


def hostile_titles() -> bytes:
    """Titles for them."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["item_id", "title"])
    names = {
        f"{STRINGS[(user + step) % len(STRINGS)]} {(user + step) % 40}" for user in range(120) for step in range(12)
    }
    rows.writerows([name, STRINGS[place % len(STRINGS)]] for place, name in enumerate(sorted(names)))
    return out.getvalue().encode()


def hostile_result(fort: Fort) -> dict[str, str]:
    """Ids of the summary and the report of a job on that dataset."""
    files = {"ratings.csv": hostile_csv(), "movies.csv": hostile_titles()}
    ingest = fort.ended(fort.upload(files, name=MARKUP, tags={MARKUP[:60]: MARKUP}))
    assert ingest["state"] == "succeeded", ingest["error"]
    return finished_job(fort, ingest["dataset"], labels={MARKUP[:60]: MARKUP})
