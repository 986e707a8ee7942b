"""Where the server listens: an address of this host alone, and the processes behind it.

Joules of this machine pay for no other machine's tokens, so a remote address is refused.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

WILDCARDS = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class Address:
    """A server's ``base`` URL (ending in /v1, without credentials) and what its host resolves to.

    ``ips`` are addresses of this host; a client connects to them and looks up no name again.
    """

    base: str
    port: int
    ips: tuple[str, ...]


def parse(url: str) -> Address:
    """The address behind a URL such as http://127.0.0.1:8000 or one that ends in /v1.

    ValueError says in one line what is wrong with it; credentials in it are never repeated.
    """
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("an endpoint is a URL in plain ASCII, such as http://127.0.0.1:8000")
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("the endpoint holds credentials: put the key into OPENAI_API_KEY instead")
    if parts.scheme != "http" or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url} is no endpoint: write http://HOST:PORT, without query or fragment")
    try:
        port = parts.port or 80
    except ValueError:
        raise ValueError(f"{url}: a port is a number from 1 to 65535") from None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/v1")
    return Address(f"http://{host}:{port}{path}/v1", port, _of_this_host(parts.hostname, port))


def server_pids(address: Address) -> tuple[tuple[int, ...], str | None]:
    """The process that listens there and all its descendants; without any, the reason.

    Engines compute in children of the process that listens. Other users' processes stay hidden.
    """
    import psutil

    try:
        listed = psutil.net_connections("tcp")
    except psutil.Error as error:
        return (), f"the system does not list who listens ({type(error).__name__})"
    there = {*address.ips, *WILDCARDS}
    heard = [
        c
        for c in listed
        if c.status == psutil.CONN_LISTEN
        and c.laddr.port == address.port
        and str(_plain(c.laddr.ip)) in there
    ]
    roots = {c.pid for c in heard if c.pid}
    if not roots:
        why = "belongs to another user or container" if heard else "is in no list of this system"
        return (), f"the process that listens on port {address.port} {why}"
    pids = set(roots)
    for root in roots:
        try:
            pids |= {child.pid for child in psutil.Process(root).children(recursive=True)}
        except psutil.Error:
            continue
    return tuple(sorted(pids)), None


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """Processor seconds that these processes have used; those that are gone used none."""
    import psutil

    used_s = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        used_s += times.user + times.system
    return used_s


def _of_this_host(host: str, port: int) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ValueError(f"{host}: no address is known for this name") from None
    ips = [_plain(str(sockaddr[0])) for *_, sockaddr in found]
    for ip in ips:
        if str(ip) in WILDCARDS:
            raise ValueError(f"{host} is no address to connect to: write 127.0.0.1")
        if not ip.is_loopback and str(ip) not in _own_addresses():
            raise ValueError(
                f"{host} ({ip}) is another machine, whose joules nobody measures here:"
                " run bench on the server's own host"
            )
    return tuple(dict.fromkeys(str(ip) for ip in ips))


def _own_addresses() -> set[str]:
    import psutil

    return {
        str(_plain(each.address))
        for cards in psutil.net_if_addrs().values()
        for each in cards
        if each.family in (socket.AF_INET, socket.AF_INET6)
    }


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address without its zone, IPv4 in IPv6 as IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
