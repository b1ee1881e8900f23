"""`python -m tests.browser.screenshots FOLDER`: pictures of the main pages, from a service that runs for it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.people import PHONE, WIDE, Watched
from tests.service import Service

HEIGHT = 1400  # of a picture, at most


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if CHROMIUM is None:
        sys.exit("There is no chromium here: apt-get install chromium, or name one in $CHROMIUM.")
    with Service(threads=2, devices="cpu") as service, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        things = prepared(service)
        key = json.loads((service.home / "run" / "credentials").read_text())["api_key"]
        watched = Watched(browser, service.state()["url"])
        for name, path in pages(things).items():
            with signed_in(watched, key, WIDE, "light") as page:
                shoot(page, path, folder / f"{name}.png", WIDE[0])
        for name in ("start", "job", "summary"):
            with signed_in(watched, key, PHONE, "dark") as page:
                shoot(page, pages(things)[name], folder / f"{name}-phone-dark.png", PHONE[0])
        browser.close()


@contextmanager
def signed_in(watched: Watched, key: str, size: tuple[int, int], scheme: str) -> Any:
    page = watched.person(key, size, color_scheme=scheme).page
    yield page
    page.context.close()
    watched._contexts.remove(page.context)


def pages(things: dict[str, str]) -> dict[str, str]:
    """The main pages, by the name of their picture."""
    return {
        "start": "/ui",
        "datasets": "/ui/datasets",
        "dataset": f"/ui/datasets/{things['dataset']}",
        "new-job": f"/ui/jobs/new?dataset={things['dataset']}",
        "settings": f"/ui/jobs/new?dataset={things['dataset']}&method=distill-cf",
        "jobs": "/ui/jobs",
        "job": f"/ui/jobs/{things['job']}",
        "summary": f"/ui/summaries/{things['summary']}",
        "compare": f"/ui/compare?summary={things['summary']}&summary={things['other']}",
        "methods": "/ui/methods?kind=interactions",
        "status": "/ui/status",
    }


def prepared(service: Service) -> dict[str, str]:
    """The bundled dataset, two summaries of it, and their ids."""
    with service.client as client, as_file(files("distillery") / "data" / "msweb.parquet") as path:
        columns = {"user": "user_id", "item": "item_id"}
        dataset = client.datasets.upload(path, kind="interactions", name="Visits to microsoft.com", columns=columns)
        evaluate = {"learners": ["ease", "popularity"]}
        methods = ("auto", "frequent-histories")
        jobs = [client.run(one, dataset, budget="2%", evaluate=evaluate).wait(timeout=600) for one in methods]
        return {
            "dataset": dataset.reference.partition("@")[0],
            "job": jobs[0].view["id"],
            "summary": jobs[0].view["result"]["summary"],
            "other": jobs[1].view["result"]["summary"],
        }


def shoot(page: Any, path: str, target: Path, width: int) -> None:
    page.goto(path)
    page.wait_for_load_state("load")
    page.wait_for_timeout(700)
    tall = min(HEIGHT, page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": width, "height": tall})
    page.screenshot(path=target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
