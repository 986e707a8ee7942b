"""Only this host's servers are measured, and the process behind a port is found."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import psutil
import pytest

from bench.kernels.endpoint.address import Address, cpu_seconds, parse, server_pids


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/llm/v1/", "http://127.0.0.1:8000/llm/v1"),
        ("http://127.0.0.1", "http://127.0.0.1:80/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
        ("http://LOCALHOST:9", "http://localhost:9/v1"),
    ],
)
def test_a_url_of_this_host(url: str, base: str) -> None:
    address = parse(url)
    assert address.base == base
    assert address.ips
    assert set(address.ips) <= {"127.0.0.1", "::1"}


def test_this_hosts_own_address_is_this_host() -> None:
    own = [
        each.address
        for cards in psutil.net_if_addrs().values()
        for each in cards
        if each.family is socket.AF_INET and not each.address.startswith("127.")
    ]
    for address in own:
        assert parse(f"http://{address}:8000").ips == (address,)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000", "write http://"),
        ("localhost:8000", "write http://"),
        ("https://127.0.0.1:8000", "write http://"),
        ("http://", "write http://"),
        ("http://127.0.0.1:8000/?key=1", "without query"),
        ("http://127.0.0.1:99999", "port"),
        ("http://127.0.0.1:x", "port"),
        ("http://0.0.0.0:8000", "write 127.0.0.1"),
        ("http://192.0.2.1:8000", "another machine"),
        ("http://[2001:db8::1]:8000", "another machine"),
        ("http://no-such-name.invalid:8000", "no address is known"),
        ("http://127.0.0.1:8000\nHost: x", "plain ASCII"),
        ("http://127.0.0.1 :8000", "plain ASCII"),
        ("http://ünicode:8000", "plain ASCII"),
    ],
)
def test_what_is_no_address_of_this_host(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(url)


def test_credentials_are_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="OPENAI_API_KEY") as caught:
        parse("http://user:secret@127.0.0.1:8000")
    assert "secret" not in str(caught.value)


def test_a_name_with_one_foreign_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves here and elsewhere may lead elsewhere."""
    both = [(0, 0, 0, "", (ip, 80)) for ip in ("127.0.0.1", "192.0.2.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: both)
    with pytest.raises(ValueError, match=r"192\.0\.2\.1"):
        parse("http://two-faced:80")


def test_ipv4_written_as_ipv6_is_this_host() -> None:
    assert parse("http://[::ffff:127.0.0.1]:80").ips == ("127.0.0.1",)


def test_the_process_that_listens() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        pids, reason = server_pids(Address("", port, ("127.0.0.1",)))
        assert os.getpid() in pids
        assert reason is None
        assert cpu_seconds(pids) > 0
        assert server_pids(Address("", port, ("127.0.0.2",)))[0] == ()
    pids, reason = server_pids(Address("", port, ("127.0.0.1",)))
    assert pids == ()
    assert reason is not None
    assert str(port) in reason


def test_a_listener_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system shows the socket to everyone and its owner's process to the owner alone."""
    where = SimpleNamespace(ip="0.0.0.0", port=80)
    seen = SimpleNamespace(status=psutil.CONN_LISTEN, laddr=where, pid=None)
    monkeypatch.setattr(psutil, "net_connections", lambda _kind: [seen])
    pids, reason = server_pids(Address("", 80, ("127.0.0.1",)))
    assert pids == ()
    assert reason is not None
    assert "another user" in reason
