"""A workload in a process of its own, so that a sticky device error or an out-of-memory in one
cannot take the other's result. Pipes and process ids stop here.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.ports import WorkerError
from bench.records.journal import Event, Fact, JsonObject, Progress, Share, from_line
from bench.records.run import Check, WorkloadFacts

STOP_PATIENCE_S = 20.0
CLOSE_PATIENCE_S = 0.5
PASSIVE_THREADS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
}


class ProcessWorker:
    """Drives one child process; every wait ends when the child dies."""

    def __init__(
        self,
        name: str,
        arguments: dict[str, Any],
        environment: dict[str, str],
        known: JsonObject | None = None,
    ) -> None:
        """Start the child and let it import what it needs; ``name`` is the entry point.

        ``known`` joins what the workload says of its configuration.
        """
        self.name = name
        self._known = known or {}
        self._base_units = 0
        self._run_units = 0
        self._events: list[dict[str, Any]] = []
        self._partial: list[bytes] = []
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        command_read, self._command_fd = os.pipe()
        self._event_fd, event_write = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.workers.child",
             str(command_read), str(event_write), str(os.getpid())],
            pass_fds=(command_read, event_write),
            process_group=0,  # a terminal's Ctrl-C is for the harness alone
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **PASSIVE_THREADS, **environment},
        )  # fmt: skip
        os.close(command_read)
        os.close(event_write)
        self._send({"do": "open", "workload": name, "arguments": arguments})
        self._opened = False

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def prepare(self, group_s: float | None) -> WorkloadFacts:
        """Load and compile; WorkerError says what is missing."""
        self._ensure_open()
        self._send({"do": "prepare", "group_s": group_s})
        said = self._wait()["describe"]
        known = {key: said[key] for key in WorkloadFacts.__slots__ if key in said}
        extra = {key: value for key, value in said.items() if key not in known}
        config = {**self._known, **known["config"]}
        return WorkloadFacts(**{**known, "config": config, "details": extra})

    def verify(self) -> Sequence[Check]:
        """The checks before any timing."""
        return self._checks("verify")

    def check(self) -> Sequence[Check]:
        """The checks on what the timed runs produced."""
        return self._checks("check")

    def start(self, phase: str | None = None) -> None:
        """Begin to run; marks go on from the units of earlier runs."""
        self._send({"do": "run", "phase": phase})

    def poll(self) -> Sequence[Progress]:
        """Marks that have come in, units cumulative over all runs of this worker."""
        self._read(0.0)
        events, self._events = self._events, []
        marks = []
        for event in events:
            match event["event"]:
                case "mark":
                    marks.append(self._progress(event))
                case "failed":
                    raise WorkerError(event["failure"], event["text"])
                case _:
                    raise WorkerError("bug", f"{self.name} ended by itself")
        return marks

    def stop(self) -> Sequence[Fact]:
        """End the run: the marks and facts still under way."""
        self._send({"do": "stop"})
        marks: list[Fact] = []
        done = self._wait(STOP_PATIENCE_S, marks)
        self._base_units += self._run_units
        self._run_units = 0
        return [*marks, *(self._fact(line) for line in done["facts"])]

    def close(self) -> None:
        """Ask it to leave, and see to it."""
        if self._command_fd < 0:
            return
        with contextlib.suppress(OSError, WorkerError):
            self._send({"do": "close"})
        command_fd, self._command_fd = self._command_fd, -1
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_PATIENCE_S)
        finally:  # also when a signal cuts the wait short
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            os.close(command_fd)
            os.close(self._event_fd)
            self._log.close()

    def _ensure_open(self) -> None:
        if not self._opened:
            self._wait()
            self._opened = True

    def _checks(self, what: str) -> list[Check]:
        self._send({"do": what})
        return [
            Check(name, bool(passed), str(text)) for name, passed, text in self._wait()["checks"]
        ]

    def _fact(self, line: dict[str, Any]) -> Fact:
        """A fact that the workload reports of itself, stamped with its name."""
        try:
            fact = from_line(line)
        except ValueError as error:
            text = f"{self.name} reports what no journal keeps: {error}"
            raise WorkerError("bug", text) from error
        if isinstance(fact, Event):
            return replace(fact, data={**fact.data, "workload": self.name})
        return replace(fact, workload=self.name) if isinstance(fact, Share) else fact

    def _progress(self, event: dict[str, Any]) -> Progress:
        units = int(event["units"])
        if units < self._run_units:
            text = f"{self.name} counts backwards: {units} units after {self._run_units}"
            raise WorkerError("bug", text)
        self._run_units = units
        return Progress(float(event["t_s"]), self._base_units + self._run_units, self.name)

    def _send(self, command: dict[str, Any]) -> None:
        try:
            os.write(self._command_fd, (json.dumps(command) + "\n").encode())
        except OSError as error:
            raise self._died() from error

    def _wait(
        self, patience_s: float | None = None, marks: list[Fact] | None = None
    ) -> dict[str, Any]:
        """The answer to the last command; marks seen on the way are added to ``marks``."""
        deadline = None if patience_s is None else time.monotonic() + patience_s
        while True:
            while self._events:
                event = self._events.pop(0)
                if event["event"] == "done":
                    return event
                if event["event"] == "failed":
                    raise WorkerError(event["failure"], event["text"])
                if marks is not None:
                    marks.append(self._progress(event))
            if deadline is not None and time.monotonic() > deadline:
                raise WorkerError("device", f"{self.name} did not stop within {patience_s:.0f} s")
            self._read(0.1)

    def _read(self, timeout_s: float) -> None:
        """Take in whatever the child has said; WorkerError when it has died."""
        while select.select([self._event_fd], [], [], timeout_s)[0]:
            data = os.read(self._event_fd, 1 << 16)
            if not data:
                raise self._died()
            self._partial.append(data)
            if b"\n" in data:
                *lines, rest = b"".join(self._partial).split(b"\n")
                self._partial = [rest]
                self._events += [json.loads(line, parse_constant=_no_number) for line in lines]
            timeout_s = 0.0

    def _died(self) -> WorkerError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        return WorkerError(
            "device", f"{self.name} worker died (status {self._process.returncode}){last}"
        )


def _no_number(name: str) -> float:
    raise WorkerError("bug", f"a worker reports {name}, which is no number")
