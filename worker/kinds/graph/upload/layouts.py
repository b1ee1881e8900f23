"""Which layout an upload has, told from its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.graph.upload import bundle
from worker.kinds.graph.upload.raw import RawGraph

Reader = Callable[[Sequence[Source], Any, Meter], RawGraph]


def _npz(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    source = bundle.find(sources)
    assert source is not None  # noqa: S101 - it was recognised
    return bundle.read(source, meter)


LAYOUTS: dict[str, tuple[Callable[[Sequence[Source]], bool], Reader]] = {
    "npz": (lambda sources: bundle.find(sources) is not None, _npz),
}
NAMES = tuple(LAYOUTS)


def read(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    """The graph of an upload, in the layout that was said, or the first that knows its files."""
    for name, (recognises, reader) in LAYOUTS.items():
        if options.layout in ("auto", name) and recognises(sources):
            return reader(sources, options, meter)
    shown = ", ".join(source.name for source in sources[:10])
    raise JobError(
        "invalid_input",
        f"No layout of a graph was recognised in {shown}.",
        hint=f"Save one archive: `{bundle.EXAMPLE}`.",
        pointer="/options/layout",
    )
