"""HTTP to one server on this host: no proxy, no redirect, no cookie, no name looked up again.

Needs aiohttp, whose compiled parser keeps up with thousands of streamed tokens a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .address import Address
from .wire import DONE, Events, FaultKind, Piece, WireError, plain, read_json, read_piece, said

BODY_BYTES = 4 << 20
ERROR_BYTES = 1 << 14
CONNECT_S = 5.0
WHOLE = frozenset({"length", "stop"})


class Pinned(AbstractResolver):
    """Every name is the server's: the addresses that were checked, and no others."""

    def __init__(self, ips: tuple[str, ...]) -> None:
        self._ips = ips

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The pinned addresses."""
        del family
        return [
            ResolveResult(
                hostname=host,
                host=ip,
                port=port,
                family=socket.AF_INET6 if ":" in ip else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for ip in self._ips
        ]

    async def close(self) -> None:
        """Nothing to close."""


class Client:
    """A session with one server, inside ``async with``; every trouble is a ``WireError``.

    ``timeout_s`` bounds every silence. ``key`` goes into the Authorization header and nowhere
    else: a server that repeats it in a message is not quoted. Each request has a connection of
    its own: one kept from before may be dropped by the server just as it is used again.
    """

    def __init__(self, address: Address, key: str | None, timeout_s: float) -> None:
        self._base = address.base
        self._key = key
        self.server: str | None = None
        headers = {"Accept-Encoding": "identity", "User-Agent": "joulemark"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=Pinned(address.ips), limit=0, force_close=True),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=timeout_s),
            auto_decompress=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Client:
        """The session is open."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        await self._session.close()

    async def get(self, path: str) -> Any:
        """The JSON behind a path."""
        async with self._answer("GET", path, None) as response:
            body = await self._read(response, BODY_BYTES)
        if len(body) >= BODY_BYTES:
            raise WireError("endless", f"{path} answers with more than {BODY_BYTES} bytes")
        return read_json(body)

    async def stream(
        self, path: str, body: dict[str, Any], limit: int
    ) -> AsyncIterator[tuple[float, list[Piece]]]:
        """(monotonic seconds, pieces) of every arrival, up to ``limit`` bytes, to a whole end."""
        events, whole = Events(limit), False
        async with self._answer("POST", path, body) as response:
            async for chunk in response.content.iter_any():
                now_s = time.monotonic()
                data = list(events.feed(chunk))
                pieces = [read_piece(each) for each in data if each != DONE]
                whole = _finished(pieces) or DONE in data or whole
                yield now_s, pieces
        if not whole:
            raise WireError("truncated", "the stream ends before the answer does")

    @contextlib.asynccontextmanager
    async def _answer(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method, f"{self._base}{path}", json=body, allow_redirects=False
            ) as response:
                self.server = plain(response.headers.get("Server", "")) or None
                if response.status != 200:
                    raise self._status(response.status, await self._read(response, ERROR_BYTES))
                yield response
        except TimeoutError:
            raise WireError("timeout", f"{path}: silent for too long") from None
        except aiohttp.ClientPayloadError as error:
            raise WireError(
                "truncated", f"the connection broke amid an answer: {_why(error)}"
            ) from None
        except aiohttp.ClientConnectorError as error:
            raise WireError("unreachable", f"{path}: {error.os_error.strerror}") from None
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise WireError("unreachable", f"{path}: {_why(error)}") from None
        except aiohttp.ClientError as error:
            raise WireError("malformed", f"{path}: no HTTP: {_why(error)}") from None

    async def _read(self, response: aiohttp.ClientResponse, most: int) -> bytes:
        parts, left = [], most
        async for chunk in response.content.iter_any():
            parts.append(chunk[:left])
            left -= len(parts[-1])
            if not left:
                break
        return b"".join(parts)

    def _status(self, status: int, body: bytes) -> WireError:
        if 300 <= status < 400:
            return WireError("redirect", f"status {status}: it redirects, and that is not followed")
        try:
            text = said(read_json(body))
        except WireError:
            text = plain(body.decode("utf-8", "replace"))
        if self._key is not None and self._key in text:
            text = "(its message repeats the key)"
        kind: FaultKind = "refused" if 400 <= status < 500 else "failing"
        return WireError(kind, f"status {status}: {text}")


def _finished(pieces: list[Piece]) -> bool:
    """Whether an answer came to its own end; WireError when the server gave it up."""
    reasons = {piece.finish for piece in pieces if piece.finish is not None}
    if given_up := reasons - WHOLE:
        raise WireError("truncated", f"the server ended the answer: {', '.join(sorted(given_up))}")
    return bool(reasons)


def _why(error: BaseException) -> str:
    return plain(str(error)) or type(error).__name__


async def nap(seconds: float) -> float:
    """Sleep so long; how much longer it took: the event loop's lag."""
    due_s = time.monotonic() + seconds
    await asyncio.sleep(seconds)
    return time.monotonic() - due_s
