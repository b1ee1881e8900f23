from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from distillery._sse import EventParser, ServerEvent

STREAM = (
    ": keep-alive\r\n\r\nretry: 1500\n\nid: 1\nevent: progress\ndata: {\"a\":\ndata: 1}\n\n"
    "id: 2\r\ndata: zwölf\r\r\nid: 3\nevent: end\ndata\n\nevent: x\ndata: never ended"
).encode()  # fmt: skip
EVENTS = [
    ServerEvent("progress", '{"a":\n1}', "1"),
    ServerEvent("message", "zwölf", "2"),
    ServerEvent("end", "", "3"),
]


def parse(chunks: list[bytes]) -> tuple[list[ServerEvent], EventParser]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)], parser


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_parser_when_stream_is_cut_anywhere_then_gives_the_same_events(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(STREAM)]
    events, parser = parse([STREAM[a:b] for a, b in itertools.pairwise(ends)])
    assert events == EVENTS
    assert parser.retry_s == 1.5


def test_parser_when_event_names_no_id_then_keeps_the_last_one() -> None:
    events, parser = parse([b"id: 7\ndata: a\n\ndata: b\n\n"])
    assert [event.id for event in events] == ["7", "7"]
    assert parser.last_id == "7"


def test_parser_when_stream_begins_with_a_mark_then_drops_it() -> None:
    assert parse([b"\xef\xbb\xbfdata: a\n\n"])[0] == [ServerEvent("message", "a", "")]


def test_parser_when_retry_is_no_number_then_ignores_it() -> None:
    assert parse([b"retry: soon\n\n"])[1].retry_s is None
