"""The worker process: one workload, driven by JSON lines on one pipe, answering on another.

It ignores SIGINT (the harness decides), dies with its parent, and leaves at once when the
command pipe closes. What libraries print goes to the log the parent gave it as stdout.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import queue
import signal
import sys
import threading
import traceback
from typing import Any

from bench.machine import die_with_parent
from bench.ports import Workload

GROUP = "joulemark.workloads"


def open_workload(name: str, arguments: dict[str, Any]) -> Workload:
    """Build the workload registered under ``name``; LookupError lists the known ones."""
    points = importlib.metadata.entry_points(group=GROUP)
    if name not in points.names:
        known = ", ".join(sorted(points.names))
        raise LookupError(f"no workload {name!r} is installed (known: {known})")
    workload: Workload = points[name].load()(**arguments)
    return workload


def failure(error: BaseException, doing: str) -> dict[str, Any]:
    """An exception as the parent should hear it: its kind, one line, and the trace for the log."""
    traceback.print_exception(error)
    text = " ".join(str(error).split()).rstrip(" :") or type(error).__name__
    return {"event": "failed", "failure": _kind(error, doing), "text": text}


def _kind(error: BaseException, doing: str) -> str:
    if isinstance(error, ImportError | ConnectionError):
        return "missing"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "memory"
    if isinstance(error, ValueError | LookupError) and doing in {"open", "prepare"}:
        return "usage"
    if type(error).__module__.split(".")[0] in {"cupy", "cupy_backends", "cuda"}:
        return "device"
    return "device" if "CUDA" in str(error) else "bug"


class Child:
    """Commands in, answers out. ``stop`` is heard at any time, the rest in turn."""

    def __init__(self, command_fd: int, event_fd: int) -> None:
        self._commands = os.fdopen(command_fd, "r", encoding="utf-8")
        self._events = os.fdopen(event_fd, "w", encoding="utf-8", buffering=1)
        self._queue: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._workload: Workload | None = None

    def serve(self) -> None:
        """Answer every command until told to close."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            command = self._queue.get()
            try:
                self._say({"event": "done", **self._obey(command)})
            except Exception as error:
                self._say(failure(error, command["do"]))
            if command["do"] == "close":
                return

    def _listen(self) -> None:
        for line in self._commands:
            command = json.loads(line)
            if command["do"] == "stop":
                self._stopped.set()
                continue
            if command["do"] == "run":
                self._stopped.clear()
            self._queue.put(command)
        os._exit(0)

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "open":
            self._workload = open_workload(command["workload"], command["arguments"])
            return {}
        assert self._workload is not None, "open comes first"
        match command["do"]:
            case "prepare":
                self._workload.prepare(group_s=command["group_s"])
                return {"describe": dict(self._workload.describe())}
            case "verify":
                return {"checks": self._workload.verify()}
            case "run":
                return self._run(self._workload, command.get("phase"))
            case "check":
                return {"checks": self._workload.check()}
            case "close":
                self._workload.close()
                return {}
        raise ValueError(f"unknown command {command['do']!r}")

    def _run(self, workload: Workload, phase: str | None) -> dict[str, Any]:
        """``phase`` is named only to a workload that declares phases."""
        part = {} if phase is None else {"phase": phase}
        workload.run(self._mark, self._stopped.is_set, **part)
        return {"facts": [dict(fact) for fact in workload.facts()]}

    def _mark(self, t_s: float, units: int) -> None:
        self._say({"event": "mark", "t_s": t_s, "units": units})

    def _say(self, event: dict[str, Any]) -> None:
        self._events.write(json.dumps(event) + "\n")
        self._events.flush()


def main() -> None:
    """``python -m bench.workers.child COMMAND_FD EVENT_FD PARENT_PID``."""
    command_fd, event_fd, parent_pid = map(int, sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent_pid)
    Child(command_fd, event_fd).serve()


if __name__ == "__main__":
    main()
