"""The sampler's process: reads one instrument at a steady period and reports JSON lines.

``python -P -m bench.meters.sampler PARENT_PID COMMAND_FD REPORT_FD SENSOR ARGUMENT``. It opens
the instrument and reports its facts, samples once told to, and ends when the command pipe closes.
A call that hangs hangs only this process, which the parent kills when it falls silent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.machine import clock_pair, die_with_parent
from bench.meters.sampling import MeterLost, Sampling, Sensor, trouble
from bench.ports import MeterError
from bench.records.journal import Fact, to_line

LAST_WORDS_S = 0.5
HEARTBEAT_S = 0.5
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
SHORTEST_S = 0.001
HURRIED_S = 0.002  # below this period a counter's ticks are looked for


class Report:
    """Lines to the parent. Never blocks: what the pipe cannot take waits for the next line."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting = bytearray()
        os.set_blocking(fd, False)

    def say(self, *lines: dict[str, Any]) -> None:
        """Send; with no line at all, a bare sign of life."""
        self._waiting += "".join(f"{ENCODE(line)}\n" for line in lines or ({},)).encode()
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
        """The orders that are there, or come within so many seconds.

        The end of the pipe is told by an order too: a process that was forked from the parent may
        hold it open.
        """
        if not select.select([self._fd], [], [], max(seconds, 0.0))[0]:
            return []
        data = os.read(self._fd, 1 << 16)
        self.closed = self.closed or not data
        *lines, self._partial = (self._partial + data).split(b"\n")
        orders: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.closed = self.closed or any("stop" in order for order in orders)
        return orders


class Sampler:
    """Ticks at the period asked for, and answers what it is asked in between."""

    def __init__(self, sensor: Sensor, orders: Orders, report: Report) -> None:
        self._sampling = Sampling(sensor, clock_pair, time.monotonic)
        self._orders = orders
        self._report = report
        self._own_s = sensor.period_s
        self._period_s = sensor.period_s
        self._due_s = self._said_s = time.monotonic()

    def run(self, told: Sequence[dict[str, Any]]) -> None:
        """Obey what was ``told`` so far, then sample until the orders end or sampling does."""
        try:
            for order in told:
                self._obey(order)
            while not self._orders.closed:
                for order in self._orders.wait(self._idle_s()):
                    self._obey(order)
                if not self._orders.closed:
                    self._tick(time.monotonic())
        except MeterLost as lost:
            self._say([trouble(time.monotonic(), lost.code, lost.text)])
        self._say(self._sampling.end(time.monotonic()))

    def _idle_s(self) -> float:
        """Seconds until the next tick or sign of life."""
        return min(self._due_s, self._said_s + HEARTBEAT_S) - time.monotonic()

    def _obey(self, order: dict[str, Any]) -> None:
        if "pace" in order:
            self._period_s = period_s(order["pace"], self._own_s)
            self._due_s = time.monotonic() if self._period_s < math.inf else math.inf
        if "survey" in order:
            self._say(self._sampling.survey())

    def _tick(self, now_s: float) -> None:
        if now_s >= self._due_s:
            self._say(self._sampling.step(hurry=self._period_s < HURRIED_S))
            self._due_s = max(self._due_s + self._period_s, time.monotonic())
        elif now_s >= self._said_s + HEARTBEAT_S:
            self._say([])

    def _say(self, facts: Sequence[Fact]) -> None:
        self._report.say(*map(to_line, facts))
        self._said_s = time.monotonic()


def period_s(asked_s: float | None, own_s: float) -> float:
    """The period to read at: None is the instrument's own, 0 or less never."""
    if asked_s is None:
        return own_s
    return max(asked_s, SHORTEST_S) if asked_s > 0 else math.inf


def serve(kind: str, argument: str, command_fd: int, report: Report) -> None:
    """Open, report the facts or the refusal, wait for the word, sample."""
    try:
        sensor = open_sensor(kind, argument)
    except MeterError as error:
        report.say({"kind": "refused", "text": str(error)})
        return
    report.say({"kind": "facts", "facts": dataclasses.asdict(sensor.facts())})
    orders = Orders(command_fd)
    told: list[dict[str, Any]] = []
    while not orders.closed:
        told += orders.wait(HEARTBEAT_S)
        if any("start" in order for order in told):
            Sampler(sensor, orders, report).run(told)
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
