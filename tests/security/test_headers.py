"""Request heads: huge, many, malformed, ambiguous."""

from __future__ import annotations

import psutil
import pytest

from tests.security.fort import REFUSED_CPU_S, Fort, seconds_of

pytestmark = pytest.mark.security
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


@pytest.mark.parametrize("size", [17_000, 60_000, 1_000_000, 20_000_000])
def test_header_when_huge_then_refused_without_being_held(fort: Fort, size: int) -> None:
    api = psutil.Process(fort.service.pid("api"))
    before = api.memory_info().rss
    answers: list[bytes] = []
    took = seconds_of(lambda: answers.append(fort.raw(HEAD + b"X-Large: " + b"y" * size + b"\r\n\r\n")))
    assert status(answers[0]) in (0, 400, 431)  # 0: cut off before it could be answered
    assert took < 2 * REFUSED_CPU_S
    assert api.memory_info().rss - before < 16e6


def test_headers_when_very_many_then_refused(fort: Fort) -> None:
    assert status(fort.raw(HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\n")) in (0, 400, 431)


def test_address_when_huge_then_refused(fort: Fort) -> None:
    for size in (17_000, 1_000_000):
        assert status(fort.raw(b"GET /healthz?" + b"a" * size + b" HTTP/1.1\r\nHost: x\r\n\r\n")) in (0, 400, 431)


@pytest.mark.parametrize(
    "extra",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X-Header: a\x00b\r\n",
        b"No-Colon\r\n",
    ],
)
def test_head_when_ambiguous_or_malformed_then_400_and_closed(fort: Fort, extra: bytes) -> None:
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = fort.raw(b"POST /v1/datasets HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n" + smuggled)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1, "what follows is not taken for a second request"


def test_chunks_when_their_extensions_never_end_then_refused(fort: Fort) -> None:
    head = f"POST /v1/datasets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fort.key}\r\n".encode()
    answer = fort.raw(head + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 1_000_000)
    assert status(answer) in (0, 400, 408)


@pytest.mark.parametrize("path", ["/v1/datasets/", "/v1/jobs/", "/docs/", "/v1/me/", "/problems/"])
def test_answer_when_the_host_is_made_up_then_leads_nowhere(fort: Fort, path: str) -> None:
    answer = fort.request("GET", path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert "location" not in answer.headers
    assert answer.status_code == 404
