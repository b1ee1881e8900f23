"""Sessions of the pages: who signed in with an API key is known by a cookie that names the key and does not hold it.

The cookie is signed with the service's secret and ends after half a day; it is worth nothing once its key is revoked
or has expired, which each request asks the database anew. What changes something must carry a token as well, made from
the cookie, which a page of ours knows and a page of another site cannot read.
"""

from __future__ import annotations

import hmac
import secrets
import time
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "distillery_session"
LASTS_S = 12 * 3600
TOKEN_HEADER = b"x-csrf-token"
_FOUND = "distillery.session"
_LONGEST = 400
_READING = ("GET", "HEAD")


class Sessions:
    """Finds out whose session a request is in; a key that it carries itself comes first.

    A session is taken by the pages, which look for the token in their forms themselves (`app.web.route`), and by the
    API: for what only reads, and for the rest when the token is among the headers.
    """

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self.app = app
        self.secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the session, and pass the request on."""
        if scope["type"] == "http" and scope["path"].startswith(("/ui", "/v1/")):
            headers = dict(scope["headers"])
            if b"authorization" not in headers and (session := cookie_of(scope)):
                token = headers.get(TOKEN_HEADER, b"").decode("latin-1")
                may_act = scope["path"].startswith("/ui") or scope["method"] in _READING
                if may_act or is_token(self.secret, session, token):
                    scope[_FOUND] = key_of(self.secret, session)
        await self.app(scope, receive, send)


def new_session(secret: str, key_id: str) -> str:
    """The value of the cookie of somebody who has this key."""
    body = f"{key_id}.{int(time.time()) + LASTS_S}.{secrets.token_urlsafe(12)}"
    return f"{body}.{_sign(secret, 'session', body)}"


def key_of(secret: str, session: str) -> str | None:
    """The id of the key that a session is of; None when we did not make it, or its time is over."""
    body, _, signature = session.rpartition(".")
    if (
        len(session) > _LONGEST
        or not session.isascii()
        or not hmac.compare_digest(signature, _sign(secret, "session", body))
    ):
        return None
    key_id, expires, _ = body.split(".")
    return key_id if int(expires) > time.time() else None


def token_of(secret: str, session: str) -> str:
    """What a form of a page in this session must carry."""
    return _sign(secret, "form", session)


def is_token(secret: str, session: str, given: str) -> bool:
    """Whether a form carried the token of this session."""
    return given.isascii() and hmac.compare_digest(given, token_of(secret, session))


def cookie_of(scope: Scope) -> str:
    """The session that a request carries, unchecked; empty without one."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                continue
            if found is not None:
                return found.value
    return ""


def signed_in(scope: Scope) -> str | None:
    """The id of the key whose session this request was found to be in."""
    return scope.get(_FOUND)


def _sign(secret: str, purpose: str, text: str) -> str:
    return hmac.digest(secret.encode(), f"{purpose}:{text}".encode(), "sha256").hex()
