"""The signals that end a run early: what was measured is kept."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from bench.measure import Interrupted

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Each raises Interrupted, once; what follows is not disturbed again."""

    def raise_once(number: int, _frame: FrameType | None) -> None:
        for each in ENDING:
            signal.signal(each, _deaf)
        raise Interrupted(number)

    for each in ENDING:
        signal.signal(each, raise_once)
    try:
        yield
    finally:
        for each in ENDING:
            signal.signal(each, _deaf)


def _deaf(_number: int, _frame: FrameType | None) -> None:
    """Instead of SIG_IGN, which lets a signal already under way raise."""
