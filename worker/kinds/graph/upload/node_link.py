"""Node-link JSON, as NetworkX writes it: {"nodes": [{"id": ..., "label": ..., ...}], "links" or "edges": [...]}."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.graph.upload.attributes import Attributed
from worker.kinds.graph.upload.json_text import parsed
from worker.kinds.graph.upload.raw import RawGraph


def recognises(sources: Sequence[Source]) -> bool:
    """Whether the upload is one JSON file."""
    return len(sources) == 1 and sources[0].name.lower().endswith(".json")


def read(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    """The graph of such a file."""
    name = sources[0].name
    whole = parsed(sources[0], meter)
    links = whole.get("links", whole.get("edges")) if isinstance(whole, dict) else None
    nodes = whole.get("nodes") if isinstance(whole, dict) else None
    if not isinstance(nodes, list) or not isinstance(links, list):
        raise _bad(f"{name} is not an object with the lists nodes and links.")
    if whole.get("multigraph") and any(isinstance(link, dict) and link.get("key") not in (None, 0) for link in links):
        raise _bad(f"{name} is a multigraph: several edges join the same nodes.")
    found = Attributed()
    for place, node in enumerate(nodes):
        if not isinstance(node, dict):
            raise _bad(f"Node {place} of {name} is no object.")
        found.add_node(str(node.get("id", place)), node)
    for link in links:
        if not isinstance(link, dict) or "source" not in link or "target" not in link:
            raise _bad(f"An edge of {name} lacks its source or target.")
        found.edges.append((str(link["source"]), str(link["target"]), link.get("weight")))
    return found.raw("node-link", name)


def _bad(detail: str) -> JobError:
    return JobError(
        "invalid_input",
        detail,
        hint="Write it with `json.dump(networkx.node_link_data(graph), file)`, a simple graph whose nodes have the "
        "attributes label, split and numbers.",
        pointer="/files",
    )
