"""Times what is queued on a device one after another, without making it wait for the host.

On a GPU the host runs a little ahead and waits for events, so that the device never idles.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import torch

MARK_S = 0.05  # a mark at most 20 times a second
AHEAD = 2  # things queued on a GPU beyond those being waited for

What = TypeVar("What")


class Edge(Protocol):
    """The moment at which the device has finished what was asked before."""

    def wait(self) -> None:
        """Return once the moment has passed."""

    def since(self, earlier: Edge) -> float:
        """Seconds since an earlier edge; both have passed."""


class HostEdge:
    """On a CPU a call returns when its work is done: the moment is now."""

    def __init__(self) -> None:
        self.t_s = time.monotonic()

    def wait(self) -> None:
        """Nothing to wait for."""

    def since(self, earlier: Edge) -> float:
        """Seconds between two host edges."""
        assert isinstance(earlier, HostEdge)
        return self.t_s - earlier.t_s


class CudaEdge:
    """An event in the current CUDA stream; waiting sleeps instead of spinning."""

    def __init__(self) -> None:
        self.event = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]
        self.event.record()

    def wait(self) -> None:
        """Sleep until the device has reached the event."""
        self.event.synchronize()

    def since(self, earlier: Edge) -> float:
        """Device seconds between two events."""
        assert isinstance(earlier, CudaEdge)
        return float(earlier.event.elapsed_time(self.event)) / 1e3


class Pacer(Generic[What]):
    """``seen(seconds since the start, what)`` for each thing queued, once the device has done it.

    ``mark(monotonic seconds, units so far)`` is called at the start, at the end and at most 20
    times a second between, only for units that exist. On a GPU the host waits once for every
    ``group`` things, with more queued behind them; on a CPU each is done when its call returns.
    """

    def __init__(
        self,
        device: torch.device,
        mark: Callable[[float, int], None],
        seen: Callable[[float, What], None],
        group: int = 1,
    ) -> None:
        cuda = device.type == "cuda"
        self._edge: Callable[[], Edge] = CudaEdge if cuda else HostEdge
        self._group = group if cuda else 1
        self._most = AHEAD + self._group if cuda else 0
        self._mark, self._seen = mark, seen
        self._queue: deque[tuple[Edge, int, What]] = deque()
        self._last: Edge = self._edge()
        self.units = 0  # done
        self.device_s = 0.0  # until the last thing done
        self.began_s = self._marked_s = time.monotonic()
        mark(self.began_s, 0)

    def queued(self, what: What, units: int) -> None:
        """The device has just been given ``what``, which makes so many units."""
        self._queue.append((self._edge(), units, what))
        if len(self._queue) > self._most:
            self._settle(self._group)
            now_s = time.monotonic()
            if now_s - self._marked_s >= MARK_S:
                self._mark(now_s, self.units)
                self._marked_s = now_s

    def finish(self) -> float:
        """Wait for all that is queued and mark the end; returns the host's seconds."""
        self._settle(len(self._queue))
        ended_s = time.monotonic()
        self._mark(ended_s, self.units)
        return ended_s - self.began_s

    def _settle(self, count: int) -> None:
        if count:
            self._queue[count - 1][0].wait()
        for _ in range(count):
            edge, units, what = self._queue.popleft()
            self.device_s += edge.since(self._last)
            self._last = edge
            self.units += units
            self._seen(self.device_s, what)
