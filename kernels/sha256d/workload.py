"""Endless SHA-256d work that keeps a device full: the room's face to the harness.

Headers roll so that no hash is ever done twice; what a hash costs or earns stops here.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from .header import NONCES, Header, prepare_work, share_mask
from .provenance import source_digests
from .real_headers import REAL_HEADERS
from .scanner import PIECE_NONCES, Scanner
from .shares import Check, ShareLedger
from .verification import verify

KERNELS = {"numba-cpu": "cpu", "cupy": "cuda", "numba-cuda": "cuda"}
"""Kernel → the device it runs on."""

PIECE_S = 0.012
"""Length of one launch: with two per device in flight, a stop is honoured within 50 ms."""

_PROBE_S = 0.1
_MARK_S = 0.06  # under 20 marks a second, the final one included
_VERSION_ROLLS, _VERSION_SHIFT = 1 << 16, 13  # BIP 320: version bits 13–28 are free to roll
_TIME_ROLLS = 7200  # a block may be two hours ahead of network time
_STANDARD_SHARES, _STANDARD_S = 16_384, 60.0
_PUBLISH_SHARES, _PUBLISH_S = 240_000, 600.0


def share_bits(rate_hz: float, window_s: float) -> int:
    """The rarest share, 8 to 32 bits, of which a window still expects enough.

    Enough is 16 384 in 60 s (pro rata below) and 240 000 from 600 s on, so that a Poisson count
    shows work missing by a few per cent, or by one per cent.
    """
    enough = _STANDARD_SHARES * min(1.0, window_s / _STANDARD_S)
    if window_s >= _PUBLISH_S:
        enough = _PUBLISH_SHARES
    return max(8, min(32, math.floor(math.log2(rate_hz * window_s / enough))))


def headers(seed: int) -> Iterator[bytes]:
    """Different 80-byte headers, each with 2^32 nonces of its own: a real block's, rolled.

    Time rolls fastest, which leaves the midstate alone, then the version from a place that the
    seed chooses; 2^28.8 headers last six years at 10 GH/s.
    """
    block = Header.parse(REAL_HEADERS[-1])
    fixed = block.version & ~((_VERSION_ROLLS - 1) << _VERSION_SHIFT)
    start = random.Random(seed).randrange(_VERSION_ROLLS)
    for step in range(_VERSION_ROLLS):
        version = fixed | ((start + step) % _VERSION_ROLLS) << _VERSION_SHIFT
        for time_roll in range(_TIME_ROLLS):
            yield replace(block, version=version, time=block.time + time_roll, nonce=0).pack()


class Sha256dWorkload:
    """Endless SHA-256d; one unit is one double hash of an 80-byte header.

    ``kernel`` is "numba-cpu" on ``device`` "cpu", "cupy" or "numba-cuda" on "cuda"; ``window_s``
    is the time that will be measured in all; ``threads`` (CPU only) defaults to every CPU this
    process may use. ValueError for a combination that does not exist.
    """

    name = "sha256d"
    unit = "hash"

    def __init__(
        self,
        device: str = "cpu",
        kernel: str = "numba-cpu",
        window_s: float = 60.0,
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        if kernel not in KERNELS:
            raise ValueError(f"kernel: {kernel!r} is none of {', '.join(KERNELS)}")
        if KERNELS[kernel] != device:
            raise ValueError(f"kernel: {kernel!r} runs on {KERNELS[kernel]!r}, not on {device!r}")
        if window_s <= 0:
            raise ValueError(f"window_s: must be positive, not {window_s}")
        self._kernel = kernel
        self._window_s = window_s
        self._threads = threads
        self._seed = seed
        self._headers = headers(seed)
        self._base = next(headers(seed))
        self._scanner: Scanner | None = None
        self._rate_hz = 0.0

    def prepare(self, *, group_s: float | None = None) -> None:
        """Compile, probe the rate for a moment, fit launch length and share bits to it.

        A whole number of launches lasts ``group_s`` when it is given. Once prepared, only the
        launch length changes: the next piece begins where the last one ended.
        """
        if self._scanner is None:
            self._scanner = _open(self._kernel, self._threads)
            self._rate_hz = _probe(self._scanner, self._base)
            self._bits = share_bits(self._rate_hz, self._window_s)
            self._mask = share_mask(self._bits)
            self._ledger = ShareLedger(self._bits, self._mask)
            self._pieces = self._roll()
        self._piece_nonces = _piece_nonces(self._scanner, self._rate_hz, group_s)

    def describe(self) -> Mapping[str, Any]:
        """Name, backend, unit, configuration, sources; ``device_uuid`` on a GPU, as CUDA says.

        ``launch_s`` is how long one launch lasts, the period of whatever power dips between two.
        """
        scanner = self._opened()
        facts: dict[str, Any] = {
            "name": self.name,
            "backend": self._kernel,
            "tier": None,
            "unit": self.unit,
            "config": {
                "kernel": self._kernel,
                **scanner.config,
                "share_bits": self._bits,
                "launch_nonces": self._piece_nonces,
                "base_header_hex": self._base.hex(),
                "seed": self._seed,
            },
            "data_profile": None,
            "sources": source_digests(),
            "launch_s": self._piece_nonces * scanner.parallel / self._rate_hz,
        }
        if _simulated(self._kernel):
            facts["config"]["simulator"] = True
        if scanner.device_uuid is not None:
            facts["device_uuid"] = scanner.device_uuid
        return facts

    def verify(self) -> list[Check]:
        """Known answers and exact nonce lists on the compiled function that ``run`` times."""
        if KERNELS[self._kernel] == "cpu":
            return verify(self._opened(), seed=self._seed, range_nonces=1 << 13)
        return verify(self._opened(), seed=self._seed, range_nonces=1 << 15, long_nonces=1 << 20)

    def run(self, mark: Callable[[float, int], None], stop: Callable[[], bool]) -> None:
        """Hash until ``stop()``; what is in flight by then is finished, entered and counted."""
        scanner = self._opened()
        flight: deque[tuple[bytes, int, Callable[[], list[int]]]] = deque()
        hashes = 0
        marked_s = time.monotonic()
        mark(marked_s, 0)
        running = True
        while running or flight:
            running = running and not stop()
            while running and len(flight) < 2 * scanner.parallel:
                header, work, first, count = next(self._pieces)
                flight.append((header, count, scanner.submit(work, first, count, self._mask)))
            if flight:
                header, count, collect = flight.popleft()
                self._ledger.add(header, collect(), count)
                hashes += count
            now_s = time.monotonic()
            if now_s - marked_s >= _MARK_S or not (running or flight):
                mark(now_s, hashes)
                marked_s = now_s

    def facts(self) -> list[Mapping[str, Any]]:
        """The shares since the last call."""
        return self._ledger.take()

    def check(self) -> list[Check]:
        """Whether the shares of all runs are right, unique, and as many as the work should give."""
        return self._ledger.check()

    def close(self) -> None:
        """Join the threads, free the device."""
        if self._scanner is not None:
            self._scanner.close()
            self._scanner = None

    def _opened(self) -> Scanner:
        if self._scanner is None:
            raise RuntimeError("prepare() the workload first")
        return self._scanner

    def _roll(self) -> Iterator[tuple[bytes, tuple[int, ...], int, int]]:
        """Pieces of work, none ever twice: (header, its work, first nonce, count)."""
        for header in self._headers:
            work, first = prepare_work(header), 0
            while first < NONCES:
                count = min(self._piece_nonces, NONCES - first)
                yield header, work, first, count
                first += count


def _open(kernel: str, threads: int | None) -> Scanner:
    if kernel == "numba-cpu":
        from .numba_cpu import CpuScanner

        return CpuScanner(threads)
    if kernel == "cupy":
        from .cupy_cuda import open_scanner
    else:
        from .numba_cuda import open_scanner
    return open_scanner()


def _simulated(kernel: str) -> bool:
    """Whether Numba runs its CUDA kernels in Python on the host, as its simulator does."""
    if kernel != "numba-cuda":
        return False
    from .numba_cuda import simulated

    return simulated


def _piece_nonces(scanner: Scanner, rate_hz: float, group_s: float | None) -> int:
    """Nonces of one launch: whole granules, about ``PIECE_S`` or a whole part of the group."""
    piece_s = group_s / math.ceil(group_s / PIECE_S) if group_s else PIECE_S
    granules = round(rate_hz * piece_s / scanner.parallel / scanner.granule)
    return min(max(1, granules) * scanner.granule, PIECE_NONCES)


def _probe(scanner: Scanner, header: bytes) -> float:
    """Nonces per second with all pieces of the device busy, from launches that double in length."""
    work, count, elapsed_s = prepare_work(header), scanner.granule, 0.0
    while elapsed_s < _PROBE_S and count < PIECE_NONCES:
        count *= 2
        started_s = time.monotonic()
        pieces = [scanner.submit(work, 0, count, share_mask(32)) for _ in range(scanner.parallel)]
        for piece in pieces:
            piece()
        elapsed_s = time.monotonic() - started_s
    return scanner.parallel * count / elapsed_s
