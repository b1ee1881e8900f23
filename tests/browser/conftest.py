"""A running service, and Debian's Chromium to look at it with.

`make browser` installs what is missing, where it can; without a browser these tests are skipped, and say why.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.people import Person, Watched
from tests.browser.proxy import Proxy
from tests.plugins import python_path
from tests.service import Service

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the package playwright is not installed: pip install -e .[dev]"
)
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; every test opens windows of its own."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium, or name one in $CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(chromium: Any) -> Iterator[Service]:
    """An embedded installation with a plug-in that brings a kind of its own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", python_path("points"))
        running = Service(threads=2, devices="cpu", checkpoint_every_s=0, retry_pause_s=0.2)
    with running:
        yield running


@pytest.fixture(scope="session")
def key(service: Service) -> str:
    return json.loads((service.home / "run" / "credentials").read_text())["api_key"]


@pytest.fixture(scope="session")
def http(service: Service) -> Iterator[httpx.Client]:
    with service.http as client:
        yield client


@pytest.fixture(scope="session")
def points(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an uploaded dataset of the plug-in's kind."""
    from tests.planted_points import points_csv

    file = points_csv(tmp_path_factory.mktemp("points") / "flowers.csv")
    columns = {"x": "lon", "y": "lat", "label": "species"}
    with service.client as client:
        return client.datasets.upload(str(file), kind="points", columns=columns).reference.partition("@")[0]


@pytest.fixture(scope="session")
def finished(service: Service, points: str) -> dict[str, str]:
    """Ids of two jobs on it that have ended, and of what the first one made."""
    with service.client as client:
        jobs = [client.run("every-nth", points, budget=count).wait(timeout=60) for count in (24, 40)]
        first = jobs[0].view
        return {
            "dataset": points,
            "job": first["id"],
            "summary": first["result"]["summary"],
            "report": first["result"]["report"],
            "other": jobs[1].view["result"]["summary"],
        }


@pytest.fixture
def watched(chromium: Any, service: Service) -> Iterator[Watched]:
    """Opens windows, and at the end holds against them whatever they complained of or asked of others."""
    watching = Watched(chromium, service.state()["url"])
    yield watching
    watching.close()
    assert watching.complaints == []


@pytest.fixture
def person(watched: Watched, key: str) -> Person:
    """Somebody who has signed in, in a window of ordinary size."""
    return watched.person(key)


@pytest.fixture
def proxy(service: Service) -> Iterator[Proxy]:
    """A way to the service whose connections can be cut."""
    where = service.state()["url"].rpartition("//")[2]
    host, _, port = where.partition(":")
    with Proxy(host, int(port)) as between:
        yield between


@pytest.fixture(scope="session")
def axe() -> str:
    """The rules of accessibility, as a script."""
    return (Path(__file__).parent / "vendored" / "axe.min.js").read_text(encoding="utf-8")
