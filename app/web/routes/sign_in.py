"""/ui/sign-in and /ui/sign-out: an API key for a session."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.security import Anyone
from app.api.services import services_of
from app.api.sessions import COOKIE, LASTS_S, new_session
from app.store.api_keys import identify
from app.web.ask import go, wanted
from app.web.render import page
from app.web.route import Form, PageRoute

router = APIRouter(route_class=PageRoute)


@router.get("/ui/sign-in")
async def show_sign_in(request: Request) -> Response:
    """The form. Who followed a link from another site is sent on first: their cookie did not come along from there."""
    back = _own(wanted(request, "next"))
    from_elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    return page(request, "sign_in.html", next=back, error="", go_on=back if from_elsewhere else "")


@router.post("/ui/sign-in")
async def sign_in(request: Request, form: Form) -> Response:
    """Begin a session with a key, and go where one wanted to go."""
    services = services_of(request)
    token, back = form.get("key", [""])[0].strip(), _own(form.get("next", [""])[0])
    identity = await services.reading(lambda conn: identify(conn, token))
    if identity is None:
        error = "That is no valid key. Keys begin with dsk_ and are shown once, when they are made."
        return page(request, "sign_in.html", status=401, next=back, error=error, go_on="")
    answer = go(back or "/ui")
    answer.set_cookie(
        COOKIE,
        new_session(services.settings.secret, identity.key_id),
        max_age=LASTS_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=_over_tls(request),
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/ui/sign-out")
def sign_out(request: Request, caller: Anyone) -> Response:
    """End the session in this browser."""
    answer = go("/ui/sign-in")
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def _over_tls(request: Request) -> bool:
    """Whether the browser's own connection is one; a proxy says so. Who makes that up only harms their own cookie."""
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return "https" in (request.url.scheme, said)


def _own(address: str) -> str:
    """An address of a page of ours; empty for any other."""
    return address if address.startswith("/ui/") and "\\" not in address and address.isprintable() else ""
