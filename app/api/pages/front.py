"""The page at `/`: what this is, and where to go on."""

from __future__ import annotations

from app.api.openapi import SUMMARY, TITLE, VERSION
from app.api.pages.page import prose

_BODY = (
    f"<h1>{TITLE} {VERSION}</h1>{prose(SUMMARY)}"
    '<p><a href="/ui">Open the pages</a>: upload, run, compare and download in a browser.</p>'
    "<p>This is a REST service: programs talk to it, with <code>curl</code>, with the Python client "
    "<code>distillery.Client</code>, or with the command <code>distillery</code>.</p>"
    "<ul>"
    '<li><a href="/docs">/docs</a>: every operation, with its parameters and an example of its answer</li>'
    '<li><a href="/openapi.json">/openapi.json</a>: the same for programs</li>'
    '<li><a href="/problems">/problems</a>: what each problem code means, and what to do</li>'
    '<li><a href="/readyz">/readyz</a>: whether the service can work now</li>'
    '<li><a href="/v1/methods">/v1/methods</a>: what can be done with data; like all of <code>/v1</code> it needs a key'
    "</li></ul>"
    "<p>A key is sent with every request, as <code>Authorization: Bearer dsk_…</code>. On the machine that runs the "
    "service, <code>distillery status --env</code> prints the address and a key as shell variables:</p>"
    '<pre>eval "$(distillery status --env)"\n'
    'curl -H "Authorization: Bearer $DISTILLERY_API_KEY" "$DISTILLERY_URL/v1/methods"</pre>'
)


def front() -> str:
    """The body of the page."""
    return _BODY
