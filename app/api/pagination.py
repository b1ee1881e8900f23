"""Pages of lists (AIP-158): a keyset instead of an offset, so that inserts neither repeat nor skip rows.

The token holds where the page ended and a hash of the list and its filters, signed so that it cannot be made up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query

from app.api.problems import Problem

DEFAULT_SIZE = 50
LARGEST_SIZE = 1000
LARGEST_TEXT = 4_000_000  # characters of a page, about
_SIGNATURE_BYTES = 16


@dataclass(frozen=True)
class PageRequest:
    """The page a client asks for."""

    size: int
    token: str


def _page(
    page_size: Annotated[
        int,
        Query(
            ge=0,
            description=f"Items a page, {DEFAULT_SIZE} unless given; above {LARGEST_SIZE} it is {LARGEST_SIZE}. "
            "Fewer come when they are long.",
        ),
    ] = DEFAULT_SIZE,
    page_token: Annotated[
        str, Query(description="`next_page_token` of the page before; the filters must be the same.")
    ] = "",
) -> PageRequest:
    return PageRequest(min(page_size or DEFAULT_SIZE, LARGEST_SIZE), page_token)


Page = Annotated[PageRequest, Depends(_page)]


@dataclass(frozen=True)
class Pager:
    """Makes and reads the tokens of one list of one tenant with one set of filters."""

    page: PageRequest
    secret: str
    scope: str

    @classmethod
    def of(cls, page: PageRequest, secret: str, tenant_id: str, route: str, **filters: Any) -> Pager:
        """`filters`: those of the request, as JSON values; a token of other filters is refused."""
        return cls(page, secret, json.dumps([tenant_id, route, filters], sort_keys=True))

    @property
    def limit(self) -> int:
        """Rows to ask the database for: one more than the page has tells whether another page follows."""
        return self.page.size + 1

    def after(self) -> list[str] | None:
        """The position after which the page begins; None for the first page."""
        if not self.page.token:
            return None
        try:
            raw = base64.urlsafe_b64decode(self.page.token.encode("ascii") + b"=" * (-len(self.page.token) % 4))
        except (UnicodeEncodeError, binascii.Error):
            raise _bad_token() from None
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise _bad_token()
        return json.loads(body)

    def after_row(self) -> tuple[datetime, str] | None:
        """The position in a list ordered by (created_at, id)."""
        position = self.after()
        return (datetime.fromisoformat(position[0]), position[1]) if position else None

    def answer(
        self,
        rows: Sequence[Mapping[str, Any]],
        view: Callable[[Mapping[str, Any]], Any],
        keys: Sequence[str] = ("created_at", "id"),
    ) -> dict[str, Any]:
        """The page: rows beyond its size, or its bytes, are dropped, and the token then names the last row shown."""
        shown = rows[: fitting(rows[: self.page.size])]
        token = ""
        if len(rows) > len(shown):
            token = self._token([_text(shown[-1][key]) for key in keys])
        return {"items": [view(row) for row in shown], "next_page_token": token}

    def _token(self, position: list[str]) -> str:
        body = json.dumps(position).encode()
        return base64.urlsafe_b64encode(self._sign(body) + body).rstrip(b"=").decode()

    def _sign(self, body: bytes) -> bytes:
        message = hashlib.sha256(self.scope.encode()).digest() + body
        return hmac.digest(self.secret.encode(), message, "sha256")[:_SIGNATURE_BYTES]


def fitting(rows: Sequence[Mapping[str, Any]]) -> int:
    """How many of these rows a page has room for, by the length of what is in them; the first always fits."""
    room = LARGEST_TEXT
    for number, row in enumerate(rows):
        room -= sum(len(repr(value)) for value in row.values() if isinstance(value, dict | list | str))
        if room < 0:
            return max(1, number)
    return len(rows)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _bad_token() -> Problem:
    return Problem(
        "invalid_page",
        "The page token is not one this list gave for these filters.",
        hint="Begin again without page_token.",
        pointer="page_token",
    )
