"""One look at a driver by a process of its own, which is given up when it falls silent.

The process says what it is about to call and what it found, a JSON object a line; a call that
hangs cannot be interrupted in its thread, so the process is killed, and named is what it hung in.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from bench.records.journal import JsonObject

PATIENCE_S = 20.0
"""For one call: a driver that is loaded anew takes seconds for each card of a large node."""
START_PATIENCE_S = 60.0
"""For the process itself: on a busy machine, or from a cold disk, its imports take seconds."""
START = "its start"
KILL_PATIENCE_S = 1.0
PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Told:
    """What the process found, in order, and in one sentence what became of it if it did not end."""

    found: tuple[JsonObject, ...]
    trouble: str | None = None


class Apart:
    """A module run as ``python -m MODULE PARENT_PID``, from its construction on."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(os.getpid())],
            process_group=0,  # a terminal's Ctrl-C is for the harness alone
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._found: list[JsonObject] = []
        self._doing = START
        self._buffer = b""
        self._heard_s = time.monotonic()

    def told(self, patience_s: float | None = None) -> Told:
        """Hear it to its end, or until it has been silent for ``patience_s`` (``PATIENCE_S``)."""
        silence_s = PATIENCE_S if patience_s is None else patience_s
        stdout = self._process.stdout
        assert stdout is not None, "opened as a pipe"
        ended = False
        try:
            ended = self._hear(stdout.fileno(), silence_s)
            if ended:
                self._await_end()
        finally:
            self.close()
        return Told(tuple(self._found), self._trouble(silence_s, ended=ended))

    def close(self) -> None:
        """Kill it if it has not ended; never raises."""
        self._process.kill()
        self._await_end()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _hear(self, pipe: int, silence_s: float) -> bool:
        """Take in what it says; False when it fell silent."""
        while select.select([pipe], [], [], self._left_s(silence_s))[0]:
            data = os.read(pipe, PIECE_BYTES)
            self._heard_s = time.monotonic()
            if not data:
                return True
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        return False

    def _left_s(self, silence_s: float) -> float:
        """Seconds until it has been silent for too long, which it may have been already."""
        patience_s = START_PATIENCE_S if self._doing == START else silence_s
        return max(0.0, self._heard_s + patience_s - time.monotonic())

    def _take(self, line: dict[str, Any]) -> None:
        if "doing" in line:
            self._doing = str(line["doing"])
        else:
            self._found.append(line)

    def _trouble(self, silence_s: float, *, ended: bool) -> str | None:
        status = self._process.returncode
        if not ended:
            stuck = "" if status is not None else f" (process {self._process.pid} cannot be killed)"
            return f"the driver hangs in {self._doing}: no answer in {silence_s:g} s{stuck}"
        if status != 0:
            return f"the look at the driver died in {self._doing} (status {status})"
        return None

    def _await_end(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_PATIENCE_S)


class Teller:
    """The process's side: lines to whoever started it."""

    def __init__(self) -> None:
        self._doing: str | None = None

    def doing(self, what: str) -> None:
        """What is called next; also a sign of life, once every so often."""
        if what != self._doing:
            self._doing = what
            self.found({"doing": what})

    def found(self, line: JsonObject) -> None:
        """Something found."""
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
