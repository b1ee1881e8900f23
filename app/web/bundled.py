"""The dataset that comes with the service, so that a first summary needs no data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from sqlalchemy import select

from app.api.security import Caller
from app.store.tables import method


class Bundled(NamedTuple):
    """A dataset that is offered, and the job that shows what the service does in a fraction of a minute."""

    file: Path
    name: str
    title: str
    kind: str
    columns: dict[str, str]
    job: dict[str, str]


MSWEB = Bundled(
    Path(__file__).resolve().parents[2] / "distillery" / "data" / "msweb.parquet",
    "Visits to microsoft.com",
    "UCI MSWeb: which areas of a site 32 711 visitors looked at (CC BY 4.0)",
    "interactions",
    {"user": "user_id", "item": "item_id"},
    {"method": "auto", "params.budget": "2%", "evaluate.learners": "ease,popularity"},
)


def offered(caller: Caller) -> Bundled | None:
    """The bundled dataset, where it is installed and a worker reads its kind."""
    can_read = select(method.c.name).where(method.c.kind == MSWEB.kind, method.c.name == "ingest")
    return MSWEB if MSWEB.file.is_file() and caller.conn.scalar(can_read) else None


def quick_job(caller: Caller, name: str) -> str:
    """The query of the form of the job that shows what the service does; empty for datasets of other names."""
    offer = offered(caller)
    return urlencode(offer.job) if offer is not None and offer.name == name else ""
