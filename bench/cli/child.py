"""A command as a child: its streams, the signals it is to get, its exit status.

It stays in the terminal's foreground group, so Ctrl-C and Ctrl-Z reach it as if it ran alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import IO

from bench.cli.printed import CHUNK_BYTES, Printed
from bench.cli.refusal import Refusal

NOT_EXECUTABLE, NOT_FOUND = 126, 127
STDOUT_FD, STDERR_FD = 1, 2
FORWARDED = (signal.SIGTERM, signal.SIGHUP)
STRAGGLERS_S = 0.5


class Child:
    """Runs one command as often as asked; ``signalled`` by what somebody asked it to end."""

    def __init__(self, command: Sequence[str], *, quiet_stdout: bool) -> None:
        """``quiet_stdout``: what it writes to stdout goes to stderr instead."""
        self.signalled: int | None = None
        self._command = command
        self._quiet_stdout = quiet_stdout
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []

    def run(self, printed: Printed | None) -> int:
        """Run it to its end: its exit status, 128 + n after signal n. A Refusal says, with the
        status of a shell, that it cannot be started. What it prints is also ``printed``, all of it
        once ``hear_out`` has returned."""
        if self.signalled is not None:
            raise Refusal(128 + self.signalled, "interrupted before the command was started")
        pipe = subprocess.PIPE if printed is not None else None
        stdout = pipe or (STDERR_FD if self._quiet_stdout else None)
        try:
            process = subprocess.Popen(self._command, stdout=stdout, stderr=pipe)
        except OSError as error:
            raise refused(self._command[0], error) from error
        self._process = process
        stdout_fd = STDERR_FD if self._quiet_stdout else STDOUT_FD
        if printed is not None:
            self._readers = list(_readers(process, printed, stdout_fd))
        try:
            status = process.wait()
        finally:
            self._process = None
        return 128 - status if status < 0 else status

    def hear_out(self) -> None:
        """Wait for what it wrote last, but not for what it left in the background."""
        for reader in self._readers:
            reader.join(STRAGGLERS_S)

    @contextlib.contextmanager
    def heeding(self) -> Iterator[None]:
        """While inside, Ctrl-C is the child's alone, and it is passed what ends a service."""
        heeded = (signal.SIGINT, signal.SIGQUIT, *FORWARDED)
        before = {each: signal.getsignal(each) for each in heeded}
        for each, handler in before.items():
            if handler is not signal.SIG_IGN:  # nohup's child is to outlive the terminal too
                signal.signal(each, self._pass_on)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self.signalled = number
        if self._process is not None and number in FORWARDED:
            self._process.send_signal(number)


def refused(name: str, error: OSError) -> Refusal:
    """As a shell says it: 127 for what is not there, 126 for what cannot be executed."""
    status = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    return Refusal(status, f"cannot run {name}: {error.strerror or error}")


def _readers(
    process: subprocess.Popen[bytes], printed: Printed, stdout_fd: int
) -> Iterator[threading.Thread]:
    """Threads that pass on what it writes, and keep its end."""
    for pipe, fd in ((process.stdout, stdout_fd), (process.stderr, STDERR_FD)):
        assert pipe is not None, "both are piped"
        reader = threading.Thread(target=_tee, args=(pipe, fd, printed), daemon=True)
        reader.start()
        yield reader


def _tee(pipe: IO[bytes], fd: int, printed: Printed) -> None:
    """Until its end, or until nobody reads it any more: then the command is to hear of it too."""
    with pipe, contextlib.suppress(OSError):
        while data := os.read(pipe.fileno(), CHUNK_BYTES):
            printed.take(pipe.fileno(), data)
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
