"""The signals that end a command early: one line before the run, a partial record during it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from bench.cli.refusal import Refusal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[int, FrameType | None], None]


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """While nothing is measured yet, each ends the command with one line."""
    before = [signal.getsignal(each) for each in ENDING]
    _install(_refuse)
    try:
        yield
    finally:
        for each, handler in zip(ENDING, before, strict=True):
            signal.signal(each, handler)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Each raises Interrupted, once; what follows is not disturbed again."""
    from bench.measure import Interrupted

    def interrupt(number: int, _frame: FrameType | None) -> None:
        _install(_deaf)
        raise Interrupted(number)

    _install(interrupt)
    try:
        yield
    finally:
        _install(_deaf)


def _install(handler: Handler) -> None:
    """A signal that is ignored stays so: nohup means it."""
    for each in ENDING:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handler)


def _refuse(number: int, _frame: FrameType | None) -> None:
    _install(_deaf)
    raise Refusal(128 + number, "interrupted before anything was measured")


def _deaf(_number: int, _frame: FrameType | None) -> None:
    """Instead of SIG_IGN, which lets a signal already under way raise."""
