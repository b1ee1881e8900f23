"""The pages under `/ui`: what the API offers, for people. Each has the address of the resource that it shows.

A page does what a program would do, by the same functions of `app.api.routes`, so nothing is allowed or checked
otherwise here. What there is to choose comes from the catalogue that the workers announced: no page knows any kind of
data, or any method, by name.
"""

from __future__ import annotations

from fastapi import APIRouter


def page_routers() -> list[APIRouter]:
    """Every router of the pages, the one that answers what no other does last."""
    from app.web.routes import ROUTERS  # only here: they import this package's other modules

    return list(ROUTERS)
