"""Endless SHA-256d work that keeps a device full: the room's face to the harness.

Headers roll so that no hash is ever done twice; what a hash costs or earns stops here.
"""

from __future__ import annotations

import importlib
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from .header import NONCES, VERSION_ROLLS, Header, share_mask, sibling, siblings
from .provenance import source_digests
from .real_headers import REAL_HEADERS
from .scanner import PIECE_NONCES, Collect, FoundOverflowError, Scanner, Work, prepare_works
from .shares import Check, ShareLedger
from .verification import verify

KERNELS = {"numba-cpu": "cpu", "cupy": "cuda", "numba-cuda": "cuda"}
"""Back end → the device it runs on."""
_MODULES = {"numba-cpu": ".numba_cpu", "cupy": ".cupy_cuda", "numba-cuda": ".numba_cuda"}

PIECE_S = 0.012
"""Length of one launch: with two per device in flight, a stop is honoured within 50 ms."""

_PROBE_S = 0.1
_MARK_S = 0.06  # under 20 marks a second, the final one included
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


def variants(backend: str) -> tuple[str, ...]:
    """The variants of a back end that this machine can build, best known first."""
    names: tuple[str, ...] = _room(backend).variants()
    return names


def headers(seed: int, midstates: int) -> Iterator[list[bytes]]:
    """Groups of ``midstates`` siblings, no header ever twice: a real block's, rolled.

    Time rolls fastest, which leaves the midstates alone, then the version, group by group, from a
    place that the seed chooses. Each header has 2^32 nonces of its own; 2^28.8 headers last six
    years at 10 GH/s.
    """
    block = Header.parse(REAL_HEADERS[-1])
    start = random.Random(seed).randrange(VERSION_ROLLS)
    for step in range(0, VERSION_ROLLS - midstates + 1, midstates):
        for time_roll in range(_TIME_ROLLS):
            raw = replace(block, time=block.time + time_roll, nonce=0).pack()
            yield siblings(sibling(raw, start + step), midstates)


class Sha256dWorkload:
    """Endless SHA-256d; one unit is one double hash of an 80-byte header.

    ``kernel`` is "numba-cpu" on ``device`` "cpu", "cupy" or "numba-cuda" on "cuda", in its best
    variant, or one of ``variants`` after a colon ("numba-cpu:avx2"); ``window_s`` is the time that
    will be measured in all; ``threads`` (CPU only) defaults to every CPU this process may use.
    ValueError for a combination that does not exist or that this machine cannot run.
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
        backend, colon, variant = kernel.partition(":")
        if backend not in KERNELS:
            raise ValueError(f"kernel: {backend!r} is none of {', '.join(KERNELS)}")
        if KERNELS[backend] != device:
            raise ValueError(f"kernel: {backend!r} runs on {KERNELS[backend]!r}, not on {device!r}")
        if window_s <= 0:
            raise ValueError(f"window_s: must be positive, not {window_s}")
        if colon:
            _room(backend).require(variant)
        self._backend = backend
        self._variant = variant if colon else None
        self._window_s = window_s
        self._threads = threads
        self._seed = seed
        (self._base,) = next(headers(seed, 1))
        self._scanner: Scanner | None = None
        self._rate_hz = 0.0

    def prepare(self, *, group_s: float | None = None) -> None:
        """Compile, probe the rate for a moment, fit launch length and share bits to it.

        A whole number of launches lasts ``group_s`` when it is given. Once prepared, only the
        launch length changes: the next piece begins where the last one ended.
        """
        if self._scanner is None:
            self._scanner = _open(self._backend, self._variant, self._threads)
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
            "backend": self._backend,
            "tier": None,
            "unit": self.unit,
            "config": {
                "kernel": self._backend,
                **scanner.config,
                "share_bits": self._bits,
                "launch_nonces": self._piece_nonces,
                "base_header_hex": self._base.hex(),
                "seed": self._seed,
            },
            "data_profile": None,
            "sources": source_digests(),
            "launch_s": (self._piece_nonces * scanner.midstates * scanner.parallel / self._rate_hz),
        }
        if _simulated(self._backend):
            facts["config"]["simulator"] = True
        if scanner.device_uuid is not None:
            facts["device_uuid"] = scanner.device_uuid
        return facts

    def verify(self) -> list[Check]:
        """Known answers and exact nonce lists on the compiled function that ``run`` times."""
        scanner = self._opened()
        if KERNELS[self._backend] == "cpu":
            return verify(scanner, seed=self._seed, range_nonces=(1 << 13) // scanner.midstates)
        return verify(scanner, seed=self._seed, range_nonces=1 << 15, long_nonces=1 << 20)

    def run(self, mark: Callable[[float, int], None], stop: Callable[[], bool]) -> None:
        """Hash until ``stop()``; what is in flight by then is finished, entered and counted."""
        scanner = self._opened()
        flight: deque[tuple[list[bytes], int, Collect]] = deque()
        hashes = 0
        marked_s = time.monotonic()
        mark(marked_s, 0)
        running = True
        while running or flight:
            running = running and not stop()
            while running and len(flight) < 2 * scanner.parallel:
                group, works, first, count = next(self._pieces)
                flight.append((group, count, scanner.submit(works, first, count, self._mask)))
            if flight:
                group, count, collect = flight.popleft()
                for header, nonces in zip(group, self._shares(collect), strict=True):
                    self._ledger.add(header, nonces, count)
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

    def _shares(self, collect: Collect) -> list[list[int]]:
        """A piece's shares; none of one that overflowed, which the check after the run tells."""
        try:
            return collect()
        except FoundOverflowError as error:
            self._ledger.overflow(str(error))
            return [[] for _ in range(self._opened().midstates)]

    def _opened(self) -> Scanner:
        if self._scanner is None:
            raise RuntimeError("prepare() the workload first")
        return self._scanner

    def _roll(self) -> Iterator[tuple[list[bytes], list[Work], int, int]]:
        """Pieces of work, none ever twice: (siblings, their works, first nonce, count)."""
        for group in headers(self._seed, self._opened().midstates):
            works, first = prepare_works(group), 0
            while first < NONCES:
                count = min(self._piece_nonces, NONCES - first)
                yield group, works, first, count
                first += count


def _room(backend: str) -> Any:
    """The back end's module: its ``variants``, ``require`` and ``open_scanner``."""
    return importlib.import_module(_MODULES[backend], __package__)


def _open(backend: str, variant: str | None, threads: int | None) -> Scanner:
    options = {"threads": threads} if KERNELS[backend] == "cpu" else {}
    scanner: Scanner = _room(backend).open_scanner(variant, **options)
    return scanner


def _simulated(backend: str) -> bool:
    """Whether Numba runs its CUDA kernels in Python on the host, as its simulator does."""
    if backend != "numba-cuda":
        return False
    from .numba_cuda import simulated

    return simulated


def _piece_nonces(scanner: Scanner, rate_hz: float, group_s: float | None) -> int:
    """Nonces of one launch: whole granules, about ``PIECE_S`` or a whole part of the group."""
    piece_s = group_s / math.ceil(group_s / PIECE_S) if group_s else PIECE_S
    nonces = rate_hz * piece_s / scanner.parallel / scanner.midstates
    granules = round(nonces / scanner.granule)
    return min(max(1, granules) * scanner.granule, PIECE_NONCES)


def _probe(scanner: Scanner, header: bytes) -> float:
    """Hashes per second with all pieces of the device busy, from launches that double in length."""
    works = prepare_works(siblings(header, scanner.midstates))
    count, elapsed_s = scanner.granule, 0.0
    while elapsed_s < _PROBE_S and count < PIECE_NONCES:
        count *= 2
        started_s = time.monotonic()
        pieces = [scanner.submit(works, 0, count, share_mask(32)) for _ in range(scanner.parallel)]
        for piece in pieces:
            piece()
        elapsed_s = time.monotonic() - started_s
    return scanner.parallel * scanner.midstates * count / elapsed_s
