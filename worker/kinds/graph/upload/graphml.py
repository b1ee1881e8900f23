"""GraphML: nodes with the attributes `label`, `split` and numbers, and edges, perhaps with a `weight`.

The parser is expat with every declaration of types or entities refused at sight, so that nothing is expanded and
nothing outside the file is read. The file is never held whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.parsers import expat

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.graph.upload.attributes import Attributed
from worker.kinds.graph.upload.raw import RawGraph

_NUMBERS = {"int": int, "long": int, "float": float, "double": float}
_CELL = 1_000_000  # characters of one value


def recognises(sources: Sequence[Source]) -> bool:
    """Whether the upload is one GraphML file."""
    return len(sources) == 1 and sources[0].name.lower().endswith((".graphml", ".xml"))


def read(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    """The graph of such a file."""
    source, reader = sources[0], _Reader(sources[0].name)
    try:
        with source.open(meter) as stream:
            while piece := stream.read(1 << 18):
                reader.parser.Parse(piece, False)
                meter.rows_read(0, source.name)
                meter.tick()
            reader.parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as broken:
        raise _bad(f"{source.name} is no XML: {str(broken)[:200]}.") from broken
    if not reader.seen:
        raise _bad(f"{source.name} is XML, but has no graph in it.")
    return reader.found.raw("graphml", source.name)


def _bad(detail: str) -> JobError:
    return JobError(
        "invalid_input",
        detail,
        hint="Write it with `networkx.write_graphml(graph, 'graph.graphml')`.",
        pointer="/files",
    )


class _Reader:
    """What has been read of a file until now."""

    def __init__(self, name: str) -> None:
        self.name, self.found, self.seen = name, Attributed(), False
        self.keys: dict[str, tuple[str, str]] = {}
        self.defaults: dict[str, dict[str, Any]] = {"node": {}, "edge": {}}
        self.owner, self.data, self.text = "", "", list[str]()
        self.attributes: dict[str, Any] = {}
        self.ends = ("", "")
        self.size = 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.refuse
        self.parser.EntityDeclHandler = self.refuse
        self.parser.ExternalEntityRefHandler = self.refuse

    def refuse(self, *_: Any) -> Any:
        raise JobError(
            "unsafe_format",
            f"{self.name} declares types or entities, which can grow without bound; it was not read on.",
            hint="Remove the DOCTYPE from the file.",
            pointer="/files",
        )

    def start(self, tag: str, given: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        if name == "graph":
            if self.seen:
                raise _bad(f"{self.name} holds several graphs, or graphs within nodes.")
            self.seen = True
        elif name == "hyperedge":
            raise _bad(f"{self.name} has edges of more than two nodes.")
        elif name == "key":
            self.keys[given.get("id", "")] = (given.get("attr.name", given.get("id", "")), given.get("attr.type", ""))
            self.owner, self.data, self.attributes = "key " + given.get("for", "all"), given.get("id", ""), {}
        elif name in ("node", "edge"):
            self.owner, self.attributes = name, {}
            self.ends = (
                (given.get("source", ""), given.get("target", "")) if name == "edge" else (given.get("id", ""), "")
            )
        elif name in ("data", "default"):
            self.data = given.get("key", self.data)
            self.text, self.size = [], 0

    def characters(self, text: str) -> None:
        self.size += len(text)
        if self.size > _CELL:
            raise _bad(f"A value in {self.name} has more than {_CELL:,} characters.")
        self.text.append(text)

    def end(self, tag: str) -> None:
        name = tag.rpartition(" ")[2]
        if name == "data" and self.owner in ("node", "edge"):
            key, value = self._value()
            self.attributes[key] = value
        elif name == "default" and self.owner.startswith("key "):
            key, value = self._value()
            for kind in ("node", "edge"):
                if self.owner.removeprefix("key ") in (kind, "all"):
                    self.defaults[kind][key] = value
        elif name == "node":
            self.found.add_node(self.ends[0], {**self.defaults["node"], **self.attributes})
            self.owner = ""
        elif name == "edge":
            weight = {**self.defaults["edge"], **self.attributes}.get("weight")
            self.found.edges.append((*self.ends, weight))
            self.owner = ""
        elif name == "key":
            self.owner = ""

    def _value(self) -> tuple[str, Any]:
        key, kind = self.keys.get(self.data, (self.data, ""))
        text = "".join(self.text).strip()
        if kind in _NUMBERS:
            try:
                return key, _NUMBERS[kind](text)
            except ValueError as broken:
                raise _bad(f"The value {text[:40]!r} of {key} in {self.name} is no {kind}.") from broken
        if kind == "boolean":
            return key, text.lower() in ("true", "1")
        return key, text
