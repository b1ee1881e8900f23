"""From the sign-in to a downloaded summary, as somebody does it who has never been here."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.browser.people import Person, Watched
from tests.browser.proxy import Proxy

pytestmark = pytest.mark.browser
MOST_CLICKS = 6


def test_visitor_when_they_try_the_bundled_dataset_then_has_a_summary_in_six_clicks(
    watched: Watched, key: str, tmp_path: Path, http: httpx.Client
) -> None:
    page = watched.window()
    page.goto("/ui")
    page.fill("#key", key)
    person = Person(page)
    person.click("Sign in")
    person.click("Try it with this dataset")
    person.click("Distil it to 2 %", timeout_s=60)
    page.get_by_text("to judge it").wait_for()
    person.click("Start the job")
    person.click("See the summary and its evidence", timeout_s=180)
    assert page.locator(".report h1").text_content().startswith("Keeps")
    with page.expect_download() as downloading:
        person.click("Download")
    assert person.clicks <= MOST_CLICKS
    saved = tmp_path / "summary.zip"
    downloading.value.save_as(saved)
    with zipfile.ZipFile(saved) as bundle:
        names = bundle.namelist()
        assert {"manifest.json", "load.py", "report.json"} <= {Path(name).name for name in names}
        report = json.loads(bundle.read(next(name for name in names if name.endswith("report.json"))))
    assert report["verdict"]["value"] > 0.5
    cost = http.get("/v1/jobs?task=distil").json()["items"][0]["cost"]
    print(f"first job: {cost['cpu_s']:.0f} s of processor time, {person.clicks} clicks")
    assert cost["cpu_s"] < 60


def test_own_file_when_dropped_then_confirmed_read_and_described(
    person: Person, watched: Watched, tmp_path: Path
) -> None:
    watched.expected = ("422",)  # a form that is refused on purpose
    page = person.page
    file = tmp_path / "trips.csv"
    file.write_text("lon,lat,species\n" + "".join(f"{i % 7}.5,{i % 5}.25,{'abc'[i % 3]}\n" for i in range(300)))
    person.go("/ui/datasets")
    page.set_input_files("#files", str(file))
    assert page.locator("#name").input_value() == "trips"
    assert page.locator("[data-peek] th").all_text_contents() == ["lon", "lat", "species"]
    page.get_by_label("points").check()
    person.click("Upload")
    page.wait_for_url("**/ui/datasets/ds_*")
    assert page.locator("#columns option").count() == 3, "the columns that were seen are offered"
    for role, column in {"x": "lon", "y": "lat", "label": "species"}.items():
        page.fill(f"[id='read.columns.{role}']", column)
    person.click("Read the files")
    page.get_by_role("heading", name="Statistics").wait_for(timeout=30_000)
    assert page.get_by_text("300 points").count() >= 1
    person.click("New job")
    assert page.get_by_role("link", name="every-nth").count() == 1, "a plug-in's method is in the gallery"
    person.click("every-nth")
    page.fill("[id='params.start']", "3")
    page.get_by_text("to make it").wait_for()
    page.fill("[id='params.budget']", "no size")
    page.locator("[id='params.budget']").blur()
    page.evaluate("document.getElementById('job-form').noValidate = true")
    watched_before = page.url
    person.click("Start the job")
    page.locator("[id='params.budget.error']").wait_for()
    assert page.url != watched_before
    assert page.locator("#problem").evaluate("box => box === document.activeElement"), "the focus is on what is wrong"
    page.fill("[id='params.budget']", "10%")
    person.click("Start the job")
    page.get_by_role("link", name="See the summary").wait_for(timeout=60_000)


def test_upload_when_the_connection_is_killed_then_goes_on_where_it_was(
    watched: Watched, key: str, proxy: Proxy, http: httpx.Client, tmp_path: Path
) -> None:
    content = b"lon,lat,species\n" + b"".join(b"%d.5,%d.25,%c\n" % (i, i % 90, b"abc"[i % 3]) for i in range(600_000))
    file = tmp_path / "long.csv"
    file.write_bytes(content)
    watched.expected = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "Failed to load resource")
    person = watched.person(key, url=proxy.url)
    page = person.page
    person.go("/ui/datasets")
    page.set_input_files("#files", str(file))
    page.get_by_label("points").check()
    page.evaluate(  # what is said, as it is said
        """() => { window.said = [];
        new MutationObserver(() => window.said.push(document.querySelector('[data-files] [role=status]').textContent))
          .observe(document.querySelector('[data-files]'), {subtree: true, childList: true, characterData: true}); }"""
    )
    proxy.slow_s = 0.002
    proxy.cut_after = proxy._passed + len(content) // 2
    page.evaluate("addEventListener('pagehide', () => sessionStorage.setItem('said', JSON.stringify(window.said)))")
    person.click("Upload")
    page.wait_for_url("**/ui/datasets/ds_*", timeout=60_000)
    assert proxy.cuts == 1
    said: list[str] = json.loads(page.evaluate("sessionStorage.getItem('said')"))
    assert any("Trying again" in one for one in said)
    going_on = [one for one in said if one.startswith("Going on at")]
    assert going_on
    assert "0 B" not in going_on[0], "what had arrived was not sent again"
    dataset = page.url.rpartition("/")[2]
    [stored] = http.get(f"/v1/datasets/{dataset}/files").json()["items"]
    assert (stored["size"], stored["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    print(f"{len(content) / 1e6:.1f} MB, cut once: {going_on[0]}")


def test_summaries_when_compared_then_their_differences_are_tested(person: Person, finished: dict[str, str]) -> None:
    page = person.page
    person.go(f"/ui/compare?summary={finished['summary']}&summary={finished['other']}")
    assert page.locator("tbody tr").count() == 2
    person.click("Test the differences")
    page.get_by_text("to make it").wait_for()
    assert page.locator("[name='inputs.summaries']:checked").count() == 2
    assert page.get_by_text("to judge it").count() == 0, "what is compared was judged already"
    person.click("Start the job")
    person.click("Read the report", timeout_s=60)
    assert page.get_by_role("heading", name="Against each other").count() == 1


def test_reader_without_scripts_when_they_look_around_then_reads_everything(
    watched: Watched, key: str, finished: dict[str, str]
) -> None:
    page = watched.person(key, java_script_enabled=False).page
    for path, said in (
        ("/ui/jobs", "every-nth"),
        (f"/ui/jobs/{finished['job']}", "Phases"),
        (f"/ui/datasets/{finished['dataset']}", "Statistics"),
        (f"/ui/summaries/{finished['summary']}", "Load it"),
        (f"/ui/compare?summary={finished['summary']}&summary={finished['other']}", "Kept of the full data"),
        ("/ui/methods/points/every-nth", "a pick that costs nothing"),
    ):
        page.goto(path)
        assert page.get_by_text(said).count() >= 1, path
    page.goto(f"/ui/summaries/{finished['summary']}")
    assert page.locator(".report svg[role=img]").count() >= 2
    assert page.locator(".report details.data").count() == page.locator(".report .drawing svg").count()
