"""The pages for everybody: by keyboard alone, on a phone, in the dark, with a screen reader, over a slow line."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.browser.people import PHONE, WIDE, Watched
from tests.service import Service

pytestmark = pytest.mark.browser
MOST_BYTES = 100_000
TABS = 60


def addresses(things: dict[str, str]) -> list[str]:
    """Every sort of page there is."""
    return [
        "/ui",
        "/ui/datasets",
        f"/ui/datasets/{things['dataset']}",
        "/ui/jobs",
        f"/ui/jobs/{things['job']}",
        f"/ui/jobs/new?dataset={things['dataset']}",
        f"/ui/jobs/new?dataset={things['dataset']}&method=every-nth",
        "/ui/summaries",
        f"/ui/summaries/{things['summary']}",
        f"/ui/compare?summary={things['summary']}&summary={things['other']}",
        "/ui/methods?kind=interactions",
        "/ui/methods/interactions/distill-cf",
        "/ui/api-keys",
        "/ui/webhooks",
        "/ui/status",
        "/ui/nothing",
    ]


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light")])
def test_every_page_when_examined_then_no_rule_of_accessibility_is_broken(
    watched: Watched, key: str, finished: dict[str, str], axe: str, size: tuple[int, int], scheme: str
) -> None:
    watched.expected = ("404",)
    page = watched.person(key, size, color_scheme=scheme, bypass_csp=True).page
    broken: list[str] = []
    for path in (*addresses(finished), "/ui/sign-in"):
        page.goto(path)
        if path.endswith("method=every-nth"):
            page.get_by_text("to make it").wait_for()
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        page.evaluate(axe)
        found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        broken += [
            f"{path}: {one['id']} at {one['nodes'][0]['target']}: {one['nodes'][0]['failureSummary']}"
            for one in found["violations"]
        ]
    assert broken == [], "\n".join(broken)


def test_every_page_when_on_a_phone_then_nothing_is_wider_than_it(
    watched: Watched, key: str, finished: dict[str, str], http: httpx.Client
) -> None:
    watched.expected = ("404",)
    failing = {"name": "a_name_without_a_place_to_break_it" * 5, "kind": "points", "columns": {"x": "nowhere"}}
    dataset = http.post("/v1/datasets", json=failing).raise_for_status().json()["id"]
    http.put(f"/v1/datasets/{dataset}/files/{'long' * 40}.csv", content=b"lon,lat\n1,2\n").raise_for_status()
    job = http.post(f"/v1/datasets/{dataset}/commit").raise_for_status().json()["job"]["id"]
    Service.wait(lambda: http.get(f"/v1/jobs/{job}").json()["state"] == "failed", 60, "the job to fail")
    page = watched.person(key, PHONE).page
    wide = {}
    for path in (*addresses(finished), f"/ui/datasets/{dataset}", f"/ui/jobs/{job}"):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE[0]:
            wide[path] = width
    assert wide == {}


def test_page_when_the_reader_likes_it_dark_then_it_is(watched: Watched, key: str, finished: dict[str, str]) -> None:
    page = watched.person(key, color_scheme="dark").page
    page.goto(f"/ui/summaries/{finished['summary']}")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) < 150
    ink = page.evaluate("getComputedStyle(document.querySelector('.report h1')).color")
    assert sum(map(int, ink.removeprefix("rgb(").removesuffix(")").split(","))) > 500


def tab_to(page: Any, name: str) -> None:
    """Press Tab until what is called so has the focus, and see that it shows."""
    for _ in range(TABS):
        page.keyboard.press("Tab")
        here = page.evaluate(
            """() => { const one = document.activeElement;
            const box = one.closest('.drop') ?? one;
            return [one.innerText || one.getAttribute('aria-label') || one.labels?.[0]?.innerText || one.id || '',
                    getComputedStyle(box).outlineStyle]; }"""
        )
        if here[0].strip().startswith(name):
            assert here[1] != "none", f"{name} has the focus and does not show it"
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_keyboard_when_it_is_all_there_is_then_leads_from_the_sign_in_to_a_job(
    watched: Watched, key: str, finished: dict[str, str]
) -> None:
    page = watched.window()
    page.goto("/ui/sign-in")
    assert page.evaluate("document.activeElement.id") == "key"
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip", "the way past the menu comes first"
    tab_to(page, "Datasets")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/datasets")
    tab_to(page, "flowers")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/datasets/ds_*")
    tab_to(page, "New job")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/jobs/new*")
    tab_to(page, "every-nth")
    page.keyboard.press("Enter")
    page.wait_for_url("**method=every-nth")
    tab_to(page, "Budget")
    page.keyboard.press("Control+A")
    page.keyboard.type("30")
    tab_to(page, "Start the job")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/jobs/job_*")
    page.get_by_role("link", name="See the summary").wait_for(timeout=60_000)


def test_pages_when_loaded_for_the_first_time_then_weigh_little(
    watched: Watched, key: str, finished: dict[str, str]
) -> None:
    weights = {}
    for path in addresses(finished)[:-1]:
        page = watched.person(key).page
        sizes: list[int] = []
        page.on("requestfinished", lambda one, sizes=sizes: sizes.append(one.sizes()["responseBodySize"]))
        session = page.context.new_cdp_session(page)
        session.send("Network.clearBrowserCache")
        page.goto(path)
        page.wait_for_load_state("load")
        page.wait_for_timeout(100)
        weights[path] = sum(sizes)
        page.context.close()
        watched._contexts.remove(page.context)
    print({path: f"{weight / 1000:.0f} kB" for path, weight in weights.items()})
    assert max(weights.values()) <= MOST_BYTES
