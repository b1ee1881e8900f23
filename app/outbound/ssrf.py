"""Which addresses a request on behalf of a user may reach.

A user names a host; the resolver says what it means, once, and every address it names must be public. The caller
then connects to those very addresses, so a name that changes its mind (DNS rebinding) gains nothing. Decimal, octal
and hexadecimal forms of an address (`2130706433`, `0177.0.0.1`, `0x7f.1`) are left to the resolver as well: what
counts is what it makes of them.
"""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

# IANA's registries of special addresses (2025-10), because `is_global` says different things in different versions of
# Python. Public is what lies in none of these; of IPv6 only 2000::/3 is given out at all.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, where clouds serve machine credentials
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation, as are 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32 and 3fff::/20
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
_INSIDE = tuple(  # what `private` opens; link-local stays closed
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_.])?", re.ASCII | re.IGNORECASE)
_LONGEST_URL = 2048


class UnsafeTarget(Exception):
    """An address that a user may not have requested; the text says why and holds nothing secret."""


class Unresolvable(OSError):
    """The resolver knows no address of the name, or did not answer in time."""


@dataclass(frozen=True)
class Rules:
    """What may be reached. `ports`: None means every port. The two permissions are for closed networks and tests."""

    ports: frozenset[int] | None = frozenset({443, 8443})
    http: bool = False
    private: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """As the settings say."""
        text = settings.outbound_ports.strip()
        ports = None if text == "*" else frozenset(int(port) for port in text.split(",") if port.strip())
        return cls(ports, settings.outbound_http, settings.outbound_private)


@dataclass(frozen=True)
class Target:
    """The parts of a checked URL; `host` is a name or an address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str, rules: Rules) -> Target:
    """The target that a URL names; `UnsafeTarget` when its form alone is refused. Nothing is resolved here."""
    # urlsplit drops line breaks and tabs without a word, so what is not plain is refused before it.
    if len(url) > _LONGEST_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise UnsafeTarget(f"an address has at most {_LONGEST_URL} printable ASCII characters, percent-encoded")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UnsafeTarget("this is not an address") from None
    if parts.scheme != "https" and not (rules.http and parts.scheme == "http"):
        raise UnsafeTarget("only https is allowed")
    if "@" in parts.netloc or parts.fragment:
        raise UnsafeTarget("an address has no user, password or fragment")
    port = {"https": 443, "http": 80}[parts.scheme] if port is None else port
    if rules.ports is not None and port not in rules.ports:
        raise UnsafeTarget(f"port {port} is not allowed")
    literal = _literal(host)
    if literal is None and (":" in host or not _HOST.fullmatch(host)):
        raise UnsafeTarget("this is not the name of a host")
    if literal is not None and not permitted(literal, rules):
        raise UnsafeTarget(f"{literal} is not a public address")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def permitted(address: Address, rules: Rules) -> bool:
    """Whether a connection to this address is allowed."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
    if rules.private and any(address in network for network in _INSIDE):
        return True
    given_out = address.version == 4 or address in _GIVEN_OUT
    return given_out and address.is_global and not any(address in network for network in _NOT_PUBLIC)


def resolve(target: Target, rules: Rules, deadline: float, resolver: Resolver | None = None) -> list[str]:
    """Every address of the host, each of them allowed; resolved once. `deadline`: on the monotonic clock.

    Raises `UnsafeTarget` when one address is not allowed: a name with a private address beside a public one is not
    to be trusted with either. Raises `Unresolvable` when there is none.
    """
    found = _in_time(resolver or system_resolver, target, deadline)
    if not found:
        raise Unresolvable("the host has no address")
    for text in found:
        literal = _literal(text)
        if literal is None or not permitted(literal, rules):
            raise UnsafeTarget("the host has an address that is not public")
    return list(dict.fromkeys(found))


def system_resolver(host: str, port: int) -> list[str]:
    """The operating system's answer."""
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unresolvable("the host has no address") from error
    return [str(row[4][0]) for row in rows]


def _in_time(resolver: Resolver, target: Target, deadline: float) -> Sequence[str]:
    """The resolver's answer. It cannot be given a time limit, so it runs in a thread that is left behind."""
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolver(target.host, target.port))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise Unresolvable("the resolver did not answer in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
