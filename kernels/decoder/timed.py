"""Times what a session does: steps for as long as is wanted, one step, or any other work."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import torch

from .loops import Session
from .pace import Pacer

PROBE_STEPS = 3


def drive(
    session: Session,
    mark: Callable[[float, int], None],
    stop: Callable[[], bool],
    group: int = 1,
) -> list[float]:
    """Decode until stop(), rewinding when the cache is full; returns the seconds of each step.

    ``mark`` and ``group`` are as in Pacer; units are tokens.
    """
    session.clear()
    ends_s = [0.0]
    pacer: Pacer[None] = Pacer(
        session.decoder.device, mark, lambda t_s, _: ends_s.append(t_s), group
    )
    while not stop():
        if session.steps_left == 0:
            session.rewind()
        session.step()
        pacer.queued(None, len(session.lengths))
    pacer.finish()
    return [end - begin for begin, end in pairwise(ends_s)]


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
