"""People at a browser: windows that are watched for what they complain of, and for whom they ask."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

WIDE, PHONE = (1280, 900), (360, 780)


class Watched:
    """Windows of a browser. `complaints`: errors on a console, exceptions of scripts, requests to other hosts."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        self.url = url
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()
        self._contexts: list[Any] = []

    def window(self, size: tuple[int, int] = WIDE, *, url: str = "", **options: Any) -> Any:
        """A page of a fresh profile."""
        width, height = size
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, base_url=url or self.url, **options
        )
        context.set_default_timeout(20_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: self._complain(said.type in ("error", "warning"), f"{page.url}: {said.text}"))
        page.on("pageerror", lambda error: self._complain(True, f"{page.url}: {error}"))
        own = urlsplit(url or self.url).netloc
        page.on("request", lambda asked: self._complain(is_foreign(asked.url, own), f"asked {asked.url}"))
        return page

    def person(self, key: str, size: tuple[int, int] = WIDE, *, url: str = "", **options: Any) -> Person:
        """Somebody who has signed in."""
        page = self.window(size, url=url, **options)
        page.goto("/ui/sign-in")
        page.fill("#key", key)
        page.press("#key", "Enter")
        page.wait_for_url("**/ui")
        return Person(page)

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _complain(self, wrong: bool, what: str) -> None:
        if wrong and not any(one in what for one in self.expected):
            self.complaints.append(what)


class Person:
    """Somebody at a page, whose clicks are counted."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.clicks = 0

    def click(self, name: str, *, role: str = "", timeout_s: float = 20) -> None:
        """Click what is called so: a link or a button."""
        found = (
            self.page.get_by_role(role, name=name)
            if role
            else self.page.get_by_role("link", name=name).or_(self.page.get_by_role("button", name=name))
        )
        found.first.click(timeout=1000 * timeout_s)
        self.clicks += 1

    def go(self, path: str) -> Any:
        """Open an address."""
        return self.page.goto(path)


def is_foreign(url: str, own: str) -> bool:
    """Whether an address is of another host than the page's."""
    found = urlsplit(url)
    return found.scheme not in ("data", "blob", "about") and found.netloc != own
