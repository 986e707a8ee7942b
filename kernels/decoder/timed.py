"""Keeps a session decoding and says when each step was finished: marks, latencies, stopping.

On a GPU the host runs a little ahead and waits for events, so that the device never idles.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from .loops import Session

MARK_S = 0.05  # a mark at most 20 times a second
AHEAD = 2  # steps queued on a GPU beyond those being waited for
PROBE_STEPS = 3


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


def drive(
    session: Session,
    mark: Callable[[float, int], None],
    stop: Callable[[], bool],
    group: int = 1,
) -> list[float]:
    """Decode until stop(), rewinding when the cache is full; returns the seconds of each step.

    mark(monotonic seconds, tokens so far) is called only after those tokens exist, and once at
    the start. On a GPU the host waits once for every ``group`` steps, with more queued behind
    them; on a CPU every step is waited for, whatever the group.
    """
    cuda = session.decoder.device.type == "cuda"
    edge, ahead, group = (CudaEdge, AHEAD, group) if cuda else (HostEdge, 0, 1)
    batch = len(session.lengths)
    latencies: list[float] = []
    session.clear()
    pending: deque[Edge] = deque([edge()])
    marked_s = time.monotonic()
    mark(marked_s, 0)

    def finish(steps: int) -> None:
        pending[steps].wait()
        for _ in range(steps):
            earlier = pending.popleft()
            latencies.append(pending[0].since(earlier))

    while not stop():
        if session.steps_left == 0:
            session.rewind()
        session.step()
        pending.append(edge())
        if len(pending) > ahead + group:
            finish(group)
            now_s = time.monotonic()
            if now_s - marked_s >= MARK_S:
                mark(now_s, batch * len(latencies))
                marked_s = now_s
    finish(len(pending) - 1)
    mark(time.monotonic(), batch * len(latencies))
    return latencies


def step_seconds(session: Session) -> float:
    """Seconds of one decode step, at the prompts' length; the session is left as prefilled."""

    def some() -> None:
        for _ in range(PROBE_STEPS):
            if session.steps_left == 0:
                session.rewind()
            session.step()

    some()
    seconds = seconds_of(session, some)
    session.clear()
    return seconds / PROBE_STEPS


def seconds_of(session: Session, work: Callable[[], object]) -> float:
    """Wall seconds of ``work`` on the session's device, synchronised before and after."""
    device = session.decoder.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began_s = time.monotonic()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic() - began_s


def percentiles(latencies: Sequence[float]) -> dict[str, float | int]:
    """p50_s, p90_s, p99_s by nearest rank, and n; ``latencies`` is not empty."""
    ranked = sorted(latencies)

    def at(share: float) -> float:
        return ranked[math.ceil(share * len(ranked)) - 1]

    return {"p50_s": at(0.5), "p90_s": at(0.9), "p99_s": at(0.99), "n": len(ranked)}
