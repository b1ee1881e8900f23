"""Which layout an upload has, told from its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.ingest.upload import is_prose
from worker.kinds.graph.upload import bundle, graphml, node_link, ogb, saint, tables
from worker.kinds.graph.upload.raw import RawGraph

Recognises = Callable[[Sequence[Source]], bool]
Reader = Callable[[Sequence[Source], Any, Meter], RawGraph]
LAYOUTS: dict[str, tuple[Recognises, Reader]] = {
    "graphsaint": (saint.recognises, saint.read),
    "ogb": (ogb.recognises, ogb.read),
    "npz": (bundle.recognises, bundle.read),
    "graphml": (graphml.recognises, graphml.read),
    "node-link": (node_link.recognises, node_link.read),
    "tables": (tables.recognises, tables.read),
}
NAMES = tuple(LAYOUTS)


def read(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    """The graph of an upload, in the layout that was said, or the first that knows its files."""
    files = [source for source in sources if not is_prose(source.name)] or list(sources)
    for name, (recognises, reader) in LAYOUTS.items():
        if options.layout in ("auto", name) and recognises(files):
            return reader(files, options, meter)
    shown = ", ".join(source.name for source in files[:10])
    raise JobError(
        "invalid_input",
        f"No layout of a graph was recognised in {shown}"
        + (f" that is {options.layout}." if options.layout != "auto" else "."),
        hint=f"Save one archive: `{bundle.EXAMPLE}`; or upload nodes.csv and edges.csv.",
        pointer="/options/layout",
    )
