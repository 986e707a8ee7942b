"""What a command prints, as far as its units of work may stand in it: the end of each stream."""

from __future__ import annotations

import marshal
import re
import subprocess
import sys
import threading
from collections import deque

from bench.cli import matching

TAIL_BYTES = 1 << 20
"""How much of the end of each stream is kept."""
CHUNK_BYTES = 1 << 16
PATIENCE_S = 5.0


class Printed:
    """The end of what one run of a command printed; streams are told apart by any number."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._lock = threading.Lock()
        self._tails: dict[int, _Tail] = {}
        self._turn, self._last = 0, -1

    def take(self, stream: int, data: bytes) -> None:
        """More of one stream."""
        with self._lock:
            self._turn += stream != self._last
            self._last = stream
            self._tails.setdefault(stream, _Tail()).add(self._turn, data)

    def units(self) -> float | None:
        """Group 1 of the last match as a number; None without one. TimeoutError when the pattern
        takes longer than ``PATIENCE_S``, OSError when it could not be looked for.

        A process of its own looks, which is killed after that time.
        """
        with self._lock:
            tails = [tail.packed() for tail in self._tails.values()]
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", matching.__file__],
                input=marshal.dumps((self._pattern.pattern, tails)),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=PATIENCE_S,
                check=False,
                start_new_session=True,  # Ctrl-C is not for it
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"it takes longer than {PATIENCE_S:g} s") from error
        if done.returncode != 0:
            raise OSError(f"the search ended with status {done.returncode}")
        return float(done.stdout) if done.stdout.strip() else None


class _Tail:
    """The last ``TAIL_BYTES`` of a stream, or a little more."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[int, bytearray]] = deque()
        self._bytes = 0
        self._cut = False

    def add(self, turn: int, data: bytes) -> None:
        last = self._chunks[-1] if self._chunks else None
        if last is not None and last[0] == turn and len(last[1]) < CHUNK_BYTES:
            last[1].extend(data)
        else:
            self._chunks.append((turn, bytearray(data)))
        self._bytes += len(data)
        while self._bytes - len(self._chunks[0][1]) >= TAIL_BYTES:
            self._bytes -= len(self._chunks.popleft()[1])
            self._cut = True

    def packed(self) -> matching.Tail:
        return [(turn, bytes(data)) for turn, data in self._chunks], self._cut
