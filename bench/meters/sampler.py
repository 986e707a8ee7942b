"""The sampler's process: reads one instrument at a steady period and reports JSON lines.

``python -P -m bench.meters.sampler PARENT_PID COMMAND_FD REPORT_FD SENSOR ARGUMENT``. It opens
the instrument and reports its facts, samples once told to, and ends when the command pipe closes.
A call that hangs hangs only this process, which the parent kills when it falls silent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench.machine import clock_pair, die_with_parent
from bench.meters.sampling import MeterLost, Sampling, Sensor, trouble
from bench.ports import MeterError
from bench.records.journal import to_line

LAST_WORDS_S = 0.5
HEARTBEAT_S = 0.5


class Report:
    """Lines to the parent. Never blocks: what the pipe cannot take waits for the next line."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting = bytearray()
        os.set_blocking(fd, False)

    def say(self, *lines: dict[str, Any]) -> None:
        """Send; with no line at all, a bare sign of life."""
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines or ({},))
        self._waiting += text.encode()
        self._send()

    def close(self) -> None:
        """Send what is left, if the parent takes it within ``LAST_WORDS_S``."""
        deadline_s = time.monotonic() + LAST_WORDS_S
        while self._waiting and (left_s := deadline_s - time.monotonic()) > 0:
            if select.select([], [self._fd], [], left_s)[1]:
                self._send()
        os.close(self._fd)

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            del self._waiting[: os.write(self._fd, self._waiting)]


def open_sensor(kind: str, argument: str) -> Sensor:
    """Open "nvml" by index or UUID, or "rapl" by the root of its tree; MeterError says why not."""
    if kind == "nvml":
        from bench.meters.nvml_sensor import NvmlSensor

        return NvmlSensor(argument)
    from bench.meters.rapl import RaplSensor

    return RaplSensor(Path(argument))


class Orders:
    """What the parent tells: JSON lines; ``closed`` once it has closed its end."""

    def __init__(self, fd: int) -> None:
        self.closed = False
        self._fd = fd
        self._partial = b""

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """The orders that are there, or come within so many seconds."""
        if not select.select([self._fd], [], [], max(seconds, 0.0))[0]:
            return []
        data = os.read(self._fd, 1 << 16)
        self.closed = not data
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [json.loads(line) for line in lines]


def sample_until_closed(sensor: Sensor, orders: Orders, report: Report) -> None:
    """Tick at the period asked for until the orders end or sampling ends by itself."""
    sampling = Sampling(sensor, clock_pair)
    period_s, due_s = sensor.period_s, time.monotonic()
    try:
        while not orders.closed:
            idle_s = HEARTBEAT_S if period_s == 0 else due_s - time.monotonic()
            for order in orders.wait(idle_s):
                if "pace" in order:
                    asked_s = order["pace"]
                    period_s = sensor.period_s if asked_s is None else asked_s
                    due_s = time.monotonic()
            if period_s == 0:
                report.say()
            elif not orders.closed and time.monotonic() >= due_s:
                report.say(*map(to_line, sampling.step()))
                due_s = max(due_s + period_s, time.monotonic())
    except MeterLost as lost:
        report.say(to_line(trouble(time.monotonic(), lost.code, lost.text)))
    report.say(*map(to_line, sampling.end(time.monotonic())))


def serve(kind: str, argument: str, command_fd: int, report: Report) -> None:
    """Open, report the facts or the refusal, wait for the word, sample."""
    try:
        sensor = open_sensor(kind, argument)
    except MeterError as error:
        report.say({"kind": "refused", "text": str(error)})
        return
    report.say({"kind": "facts", "facts": dataclasses.asdict(sensor.facts())})
    orders = Orders(command_fd)
    while not orders.closed:
        if any("start" in order for order in orders.wait(HEARTBEAT_S)):
            sample_until_closed(sensor, orders, report)
            return


def main() -> None:
    """Entry point of the process; the parent decides when it ends, so SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent_pid, command_fd, report_fd = map(int, sys.argv[1:4])
    die_with_parent(parent_pid)
    report = Report(report_fd)
    with contextlib.suppress(BrokenPipeError):
        serve(sys.argv[4], sys.argv[5], command_fd, report)
        report.close()


if __name__ == "__main__":
    main()
