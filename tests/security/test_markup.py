"""HTML and scripts in names, ids, titles and labels: shown as text, in a page that could not run them anyway."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tests.security.fort import Fort
from tests.security.hostile import MARKUP

pytestmark = pytest.mark.security
_ACTIVE = {"script", "iframe", "object", "embed", "link", "base", "form", "img", "foreignobject", "a", "use", "image"}


class Findings(HTMLParser):
    """Elements and attributes that can run or fetch something."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            fetches = name in ("href", "src", "xlink:href") and not (value or "").startswith("#")
            if name.startswith("on") or fetches or "javascript:" in (value or ""):
                self.active.append(f"{tag} {name}={value}")
        inside = dict(attrs)
        if tag in _ACTIVE and not (tag == "use" and str(inside.get("xlink:href", "#")).startswith("#")):
            self.active.append(tag)
        if tag == "meta" and "http-equiv" in inside:
            self.active.append("meta http-equiv")


def active(page: str) -> list[str]:
    found = Findings()
    found.feed(page)
    return found.active


def policy(headers: object) -> dict[str, str]:
    text = headers["content-security-policy"]
    return {name: value for name, _, value in (part.strip().partition(" ") for part in text.split(";"))}


def test_scanner_when_shown_an_attack_then_sees_it() -> None:
    assert active(MARKUP) != []
    assert active("<p onclick=x>") == ["p onclick=x"]


def test_report_page_when_strings_are_markup_then_nothing_in_it_is_active(fort: Fort, hostile: dict[str, str]) -> None:
    answer = fort.request("GET", f"/v1/reports/{hostile['report_id']}.html")
    assert active(answer.text) == []
    rules = policy(answer.headers)
    assert rules["sandbox"] == ""
    assert rules["default-src"] == "'none'"
    assert "script-src" not in rules
    assert "frame-ancestors" in rules
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_plots_when_strings_are_markup_then_nothing_in_them_is_active(fort: Fort, hostile: dict[str, str]) -> None:
    report = f"/v1/reports/{hostile['report_id']}"
    plots = [plot["name"] for plot in fort.request("GET", report).json()["plots"]]
    assert plots
    for name in plots:
        answer = fort.request("GET", f"{report}/plots/{name}.svg")
        assert active(answer.text) == []
        assert policy(answer.headers)["default-src"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_bundle_when_it_holds_a_page_then_it_is_offered_for_saving_only(fort: Fort, hostile: dict[str, str]) -> None:
    summary = f"/v1/summaries/{hostile['summary_id']}"
    for file in fort.request("GET", summary).json()["files"]:
        answer = fort.request("GET", f"{summary}/files/{file['path']}")
        assert answer.headers["content-disposition"].startswith("attachment")
        assert policy(answer.headers)["default-src"] == "'none'"


def test_json_when_strings_are_markup_then_it_is_not_taken_for_a_page(fort: Fort, hostile: dict[str, str]) -> None:
    answer = fort.request("GET", f"/v1/datasets/{hostile['dataset_id']}")
    assert answer.json()["name"] == MARKUP
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_upload_when_it_is_a_page_then_it_comes_back_as_a_file(fort: Fort) -> None:
    dataset = fort.request("POST", "/v1/datasets", json={"name": "page", "kind": "interactions"}).json()["id"]
    path = f"/v1/datasets/{dataset}/files/page.html"
    fort.request("PUT", path, content=MARKUP.encode(), headers={"Content-Type": "text/html"})
    answer = fort.request("GET", path)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_refusals_when_they_repeat_what_was_sent_then_as_json_only(fort: Fort) -> None:
    for path in (f"/v1/jobs/{MARKUP}", f"/problems/{MARKUP}", f"/v1/datasets?page_token={MARKUP}"):
        answer = fort.request("GET", path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
