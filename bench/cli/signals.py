"""The signals that end a command early: one line before the run, a partial record during it.

Only the main thread can hear them; a run on another one is not disturbed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
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
            if _hearing() and handler is not None:
                signal.signal(each, handler)


def deaf(_number: int, _frame: FrameType | None) -> None:
    """Instead of SIG_IGN, which lets a signal already under way raise."""


@contextlib.contextmanager
def interruptible(after: Handler = deaf) -> Iterator[None]:
    """Each raises Interrupted, once; what follows is not disturbed again but heard by ``after``."""
    from bench.measure import Interrupted

    def interrupt(number: int, _frame: FrameType | None) -> None:
        _install(deaf)
        raise Interrupted(number)

    _install(interrupt)
    try:
        yield
    finally:
        _install(after)


class Noted:
    """Hears the signals that end a command and raises nothing: what must be finished is.

    ``number`` is the first that was heard since ``listen``.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def listen(self) -> None:
        """From now on."""
        _install(self.hear)

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """One of them has come."""
        if self.number is None:
            self.number = number


def _hearing() -> bool:
    return threading.current_thread() is threading.main_thread()


def _install(handler: Handler) -> None:
    """A signal that is ignored stays so: nohup means it. So does one that C code handles."""
    for each in ENDING:
        if _hearing() and signal.getsignal(each) not in (signal.SIG_IGN, None):
            signal.signal(each, handler)


def _refuse(number: int, _frame: FrameType | None) -> None:
    _install(deaf)
    raise Refusal(128 + number, "interrupted before anything was measured")
