"""Pages that go on by themselves: how soon a step is seen, cancelling, and rows that appear."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.browser.people import Person
from tests.service import Service

pytestmark = pytest.mark.browser
MOST_LAG_S = 1.0
OBSERVE = """(selector) => { window.seen = [];
  const note = () => { const found = document.querySelector(selector);
    const text = found ? found.textContent : ""; const last = window.seen.at(-1);
    if (!last || last[1] !== text) window.seen.push([Date.now(), text]); };
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true}); note();
  addEventListener("pagehide", () => sessionStorage.setItem("seen", JSON.stringify(window.seen))); }"""


def start(http: httpx.Client, dataset: str, seed: int, pause_s: float) -> str:
    """A job whose trainings wait so long."""
    evaluate = {"learners": ["nearest-mean"], "pause_s": pause_s, "draws": 5, "bootstrap": 100}
    body = {"method": "every-nth", "dataset": dataset, "seed": seed, "evaluate": evaluate}
    return http.post("/v1/jobs", json=body).raise_for_status().json()["id"]


def steps(http: httpx.Client, job: str) -> list[tuple[float, int]]:
    """When each per cent was noted, in ms since 1970 by the database's clock, which is this machine's."""
    events: list[dict[str, Any]] = http.get(f"/v1/jobs/{job}/events?limit=1000").json()["items"]
    return [
        (1000 * datetime.fromisoformat(one["at"]).timestamp(), round(100 * one["data"].get("fraction", 0)))
        for one in events
        if one["type"] == "progress"
    ]


def test_progress_when_a_job_runs_then_seen_within_a_second(person: Person, http: httpx.Client, points: str) -> None:
    page = person.page
    job = start(http, points, seed=901, pause_s=0.7)
    person.go(f"/ui/jobs/{job}")
    page.evaluate(OBSERVE, "#job-now .percent")
    page.get_by_role("link", name="See the summary").wait_for(timeout=60_000)
    page.get_by_role("button", name="Run it again").wait_for()
    noted: list[Any] = json.loads(page.evaluate("sessionStorage.getItem('seen')"))
    seen = {int(re.sub(r"\D", "", text)): at for at, text in noted if re.search(r"\d", text)}
    first = min(seen.values())
    lags = [(seen[percent] - at) / 1000 for at, percent in steps(http, job) if percent in seen and at > first]
    print(f"{len(lags)} steps seen after median {statistics.median(lags):.2f} s, at most {max(lags):.2f} s")
    assert len(lags) >= 3
    assert statistics.median(lags) < MOST_LAG_S
    assert page.locator(".while-live").count() == 0, "what has ended offers no cancelling"
    assert page.locator("#job-said").text_content().strip() == "The job is done"


def test_list_when_jobs_come_and_go_then_shows_them_by_itself(person: Person, http: httpx.Client, points: str) -> None:
    page = person.page
    person.go("/ui/jobs")
    page.evaluate("window.same = true")
    job = start(http, points, seed=902, pause_s=0.5)
    row = page.locator(f"#{job}")
    row.wait_for(timeout=10_000)
    row.locator("progress").wait_for(timeout=10_000)
    row.get_by_text("done").wait_for(timeout=60_000)
    assert page.evaluate("window.same"), "the page was not loaded again"


def test_job_when_cancelled_then_stops_and_says_so(person: Person, http: httpx.Client, points: str) -> None:
    page = person.page
    job = start(http, points, seed=903, pause_s=5)
    person.go(f"/ui/jobs/{job}")
    page.get_by_text("running").first.wait_for(timeout=20_000)
    person.click("Cancel")
    page.locator("#job-now .state.cancelled").wait_for(timeout=20_000)
    assert http.get(f"/v1/jobs/{job}").json()["state"] == "cancelled"


def test_job_when_the_api_restarts_then_the_page_goes_on(
    person: Person, http: httpx.Client, points: str, service: Service, watched: Any
) -> None:
    watched.expected = (
        "ERR_CONNECTION",
        "ERR_INCOMPLETE",
        "ERR_EMPTY_RESPONSE",
        "Failed to load",
        "network error",
        "fetch",
    )
    page = person.page
    job = start(http, points, seed=904, pause_s=2)
    person.go(f"/ui/jobs/{job}")
    page.get_by_text("running").first.wait_for(timeout=20_000)
    before = service.pid("api")
    os.kill(before, signal.SIGKILL)
    page.get_by_role("link", name="See the summary").wait_for(timeout=90_000)
    assert service.pid("api") != before
