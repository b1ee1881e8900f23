"""Addresses that users name: only public hosts are reached, whatever form the address takes and whenever it changes."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.main import undecided
from app.outbound import request as outbound
from app.outbound.request import ANSWER_BYTES, OutboundError, exchange, post
from app.outbound.ssrf import Rules, Unresolvable, UnsafeTarget, parse_target, permitted, resolve
from tests.security.certificates import certificate_for

PUBLIC = Rules()
CLOSED = Rules(ports=None, http=True, private=True)
FORBIDDEN = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:224.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    # Every further block that IANA lists as not global, at both its ends.
    *(
        end
        for block in (
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24"),
            *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64"),
            *("100:0:0:1::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "4000::/3"),
            *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "::/96", "::ffff:192.0.0.0/120"),
        )
        for network in [ipaddress.ip_network(block)]
        for end in (str(network[0]), str(network[-1]))
    ),
]
ALLOWED = [
    "8.8.8.8",
    "93.184.216.34",
    "192.88.98.255",
    "192.88.100.0",
    "2606:4700::1",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
]


def naming(*addresses: str) -> Callable[[str, int], Sequence[str]]:
    return lambda host, port: addresses


def soon() -> float:
    return time.monotonic() + 5


@pytest.mark.parametrize("address", FORBIDDEN)
def test_address_when_not_public_then_refused(address: str) -> None:
    assert not permitted(ipaddress.ip_address(address), PUBLIC)
    target = parse_target("https://hooks.example.com/", PUBLIC)
    with pytest.raises(UnsafeTarget):
        resolve(target, PUBLIC, soon(), naming(address))
    with pytest.raises(UnsafeTarget):  # one bad address among good ones spoils the name
        resolve(target, PUBLIC, soon(), naming("8.8.8.8", address))
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(UnsafeTarget):
        parse_target(f"https://{literal}/", PUBLIC)


@pytest.mark.parametrize("address", ALLOWED)
def test_address_when_public_then_allowed(address: str) -> None:
    assert permitted(ipaddress.ip_address(address), PUBLIC)
    target = parse_target("https://hooks.example.com/", PUBLIC)
    assert resolve(target, PUBLIC, soon(), naming(address, address)) == [address]


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0x7f000001", "017700000001", "127.0.1", "localhost"]
)
def test_host_when_another_form_of_loopback_then_the_resolver_tells_and_it_is_refused(host: str) -> None:
    target = parse_target(f"https://{host}/", PUBLIC)
    with pytest.raises((UnsafeTarget, Unresolvable)):
        resolve(target, PUBLIC, soon())
    with pytest.raises((UnsafeTarget, Unresolvable)):
        post(f"https://{host}/", b"{}", {}, PUBLIC)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
def test_host_when_the_resolver_takes_odd_forms_then_it_says_loopback(host: str) -> None:
    # What makes the test above one of addresses, not of names that do not exist.
    assert {row[4][0] for row in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://example.com:22/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com/#fragment",
        "https://example.com/a b",
        "https://exa\nmple.com/",
        "https://exa\tmple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/\r\nHost: evil",
        "https://ex%61mple.com/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://[example.com]/",
        "https://-example.com/",
        "https://exämple.com/",
        "https://１２７.0.0.1/",
        "https://example.com/" + "a" * 2048,
    ],
)
def test_url_when_not_a_plain_https_address_then_refused(url: str) -> None:
    with pytest.raises(UnsafeTarget):
        parse_target(url, PUBLIC)


def test_url_when_plain_then_its_parts_are_kept() -> None:
    target = parse_target("https://Hooks.Example.com:8443/a/b?c=%20d", PUBLIC)
    assert (target.host, target.port, target.path) == ("hooks.example.com", 8443, "/a/b?c=%20d")
    assert target.authority == "hooks.example.com:8443"
    assert parse_target("https://[2606:4700::1]", PUBLIC).authority == "[2606:4700::1]"
    assert parse_target("https://example.com?x=1", PUBLIC).path == "/?x=1"
    longest = "https://example.com/" + "a" * (2048 - len("https://example.com/"))
    assert parse_target(longest, PUBLIC).path.endswith("aaa")
    assert Rules.of(undecided()).ports == {443, 8443}


def test_url_when_http_is_allowed_then_nothing_else_is() -> None:
    target = parse_target("http://hooks.internal/", CLOSED)
    assert (target.scheme, target.port, target.authority) == ("http", 80, "hooks.internal")
    assert parse_target("https://hooks.internal", CLOSED).authority == "hooks.internal"
    assert parse_target("https://hooks.internal:443", CLOSED).authority == "hooks.internal"
    assert parse_target("http://hooks.internal:443", CLOSED).authority == "hooks.internal:443"
    assert parse_target("https://hooks.internal:80", CLOSED).authority == "hooks.internal:80"
    for scheme in ("ftp", "file", "ws", ""):
        with pytest.raises(UnsafeTarget):
            parse_target(f"{scheme}://hooks.internal/", CLOSED)


def test_rules_when_a_closed_network_is_allowed_then_tunnels_and_metadata_stay_refused() -> None:
    for address in ("127.0.0.1", "::1", "10.0.0.1", "fd00::1", "::ffff:192.168.0.1", "8.8.8.8"):
        assert permitted(ipaddress.ip_address(address), CLOSED), address
    for address in ("169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "240.0.0.1"):
        assert not permitted(ipaddress.ip_address(address), CLOSED), address
    for address in ("64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "fec0::1", "2001::1", "192.88.99.1"):
        assert not permitted(ipaddress.ip_address(address), CLOSED), address


def test_rules_when_of_settings_then_nothing_private_by_default() -> None:
    assert Rules.of(undecided()) == PUBLIC
    assert Rules.of(undecided().model_copy(update={"outbound_ports": "*"})).ports is None
    assert Rules.of(undecided().model_copy(update={"outbound_ports": " 443, 9000,"})).ports == {443, 9000}
    assert Rules.of(undecided().model_copy(update={"outbound_ports": ""})).ports == frozenset()  # not every port


def test_resolver_when_it_changes_its_mind_then_asked_once_and_the_checked_address_is_used(
    listener: tuple[int, list[bytes]],
) -> None:
    port, heard = listener
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    answer = post(f"http://rebind.example:{port}/x", b"{}", {}, CLOSED, resolver=rebinding)
    assert answer.status == 200
    assert asked == ["rebind.example"]
    assert f"Host: rebind.example:{port}\r\n".encode() in heard[0]


def test_resolver_when_first_public_then_private_then_the_private_one_is_never_connected(
    listener: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, heard = listener
    answers = iter([["203.0.113.77"], ["127.0.0.1"], ["127.0.0.1"]])
    tried: list[str] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(outbound.socket, "create_connection", connect)
    rules = Rules(ports=None)
    with pytest.raises(UnsafeTarget):  # 203.0.113.0/24 is documentation: not public either
        post(f"https://rebind.example:{port}/", b"{}", {}, rules, resolver=lambda *_: next(answers))
    with pytest.raises(OutboundError, match="connect"):
        post(f"https://rebind.example:{port}/", b"{}", {}, rules, resolver=naming("8.8.8.8", "8.8.4.4"))
    assert tried == ["8.8.8.8", "8.8.4.4"]
    assert heard == []


def test_resolver_when_silent_then_given_up_in_time() -> None:
    begun = time.monotonic()
    with pytest.raises(Unresolvable):
        post("https://slow.example/", b"{}", {}, PUBLIC, total_s=0.3, resolver=lambda *_: time.sleep(3) or [])
    assert time.monotonic() - begun < 2
    with pytest.raises(Unresolvable):
        post("https://nowhere.example/", b"{}", {}, PUBLIC, resolver=naming())


def test_resolver_when_the_time_was_up_before_then_its_answer_is_not_awaited() -> None:
    target = parse_target("https://late.example/", PUBLIC)
    with pytest.raises(Unresolvable, match="in time"):
        resolve(target, PUBLIC, time.monotonic() - 1, lambda *_: time.sleep(0.2) or ["8.8.8.8"])


def test_resolver_when_it_fails_then_its_error_is_told() -> None:
    def failing(host: str, port: int) -> list[str]:
        raise Unresolvable("no such host")

    target = parse_target("https://nowhere.example/", PUBLIC)
    with pytest.raises(Unresolvable, match="no such host"):
        resolve(target, PUBLIC, soon(), failing)
    with pytest.raises(Unresolvable, match="has no address"):
        resolve(parse_target("https://nowhere.invalid/", PUBLIC), PUBLIC, soon())
    with pytest.raises(UnsafeTarget):  # what a resolver says that is no address at all
        resolve(target, PUBLIC, soon(), naming("hooks.example.com"))


def test_proxy_when_the_environment_names_one_then_not_used(
    listener: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, heard = listener
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(f"http://127.0.0.1:{port}/x", b"{}", {}, CLOSED).status == 200
    assert heard[0].startswith(b"POST /x HTTP/1.1\r\n")


def test_redirect_when_answered_then_not_followed() -> None:
    heard: list[bytes] = []
    with serving(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", heard) as port:
        assert post(f"http://127.0.0.1:{port}/", b"{}", {}, CLOSED).status == 302
    assert len(heard) == 1


def test_answer_when_endless_then_cut_at_the_limit() -> None:
    with serving(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000) as port:
        answer = post(f"http://127.0.0.1:{port}/", b"{}", {}, CLOSED)
    assert (answer.status, len(answer.body)) == (200, ANSWER_BYTES)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 60_000 + b"\r\nZ: " + b"y" * 60_000 + b"\r\n\r\n", b"junk\r\n\r\n"],
)
def test_answer_when_its_head_is_too_large_or_not_http_then_refused(head: bytes) -> None:
    with serving(head) as port, pytest.raises(OutboundError, match="protocol"):
        post(f"http://127.0.0.1:{port}/", b"{}", {}, CLOSED)


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_answer_when_dribbled_then_cut_off_at_the_total_time(beginning: bytes) -> None:
    begun = time.monotonic()
    with serving(beginning, dribble=b"y") as port, pytest.raises(OutboundError, match="timeout"):
        post(f"http://127.0.0.1:{port}/", b"{}", {}, CLOSED, total_s=0.5)
    assert time.monotonic() - begun < 5


def test_body_when_it_breaks_off_then_an_import_is_told_and_a_webhook_has_its_status() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    with serving(reply) as port:
        assert post(f"http://127.0.0.1:{port}/", b"{}", {}, CLOSED).body == b"abc"
    with serving(reply) as port, exchange("GET", f"http://127.0.0.1:{port}/", CLOSED) as answer:
        assert answer.read() == b"abc"
        with pytest.raises(OutboundError, match="truncated"):
            answer.read()


def test_connection_when_refused_then_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(OutboundError, match="connect"):
        post(f"http://127.0.0.1:{port}/", b"{}", {}, CLOSED)


def test_tls_when_the_certificate_names_the_host_then_pinned_address_and_sni(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_for("hooks.example", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    named: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda stream, name, _: named.append(name)
    rules = Rules(ports=None, private=True)
    with serving(b"HTTP/1.1 204 No Content\r\n\r\n", context=context) as port:
        answer = post(f"https://hooks.example:{port}/", b"{}", {}, rules, resolver=naming("127.0.0.1"))
        assert (answer.status, named) == (204, ["hooks.example"])
        with pytest.raises(OutboundError, match="tls"):  # the same server under another name
            post(f"https://other.example:{port}/", b"{}", {}, rules, resolver=naming("127.0.0.1"))
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(OutboundError, match="tls"):  # nobody vouches for it
            post(f"https://hooks.example:{port}/", b"{}", {}, rules, resolver=naming("127.0.0.1"))


@contextmanager
def serving(
    reply: bytes, heard: list[bytes] | None = None, *, dribble: bytes = b"", context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server on loopback that gives every connection this reply, then a byte of `dribble` now and then."""
    server = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        try:
            stream = context.wrap_socket(connection, server_side=True) if context else connection
            with stream:
                request = stream.recv(65_536)
                if heard is not None:
                    heard.append(request)
                stream.sendall(reply)
                while dribble and not ended.wait(0.05):
                    stream.sendall(dribble)
                if context is None:  # a close with bytes unread would reset the connection and lose the reply
                    stream.shutdown(socket.SHUT_WR)
                while stream.recv(65_536):
                    pass
        except OSError:
            connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    heard: list[bytes] = []
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", heard) as port:
        yield port, heard


@pytest.mark.parametrize("address", [a for a in FORBIDDEN if "%" not in a])
def test_address_when_python_calls_everything_global_then_refused_all_the_same(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions of Python disagree about what is global; what is refused does not depend on them."""
    for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        monkeypatch.setattr(kind, "is_global", True)
        monkeypatch.setattr(kind, "is_private", False)
        monkeypatch.setattr(kind, "is_reserved", False)
    assert not permitted(ipaddress.ip_address(address), PUBLIC)
