"""A meter whose sampler lives in a process of its own, watched by its heartbeat.

Pipes, signals and process ids stop here. A driver call that hangs cannot be interrupted in its
thread, so the sampler is killed when it falls silent and the run goes on without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.meters.sampling import TROUBLE, MeterLost, trouble
from bench.ports import MeterError
from bench.records.journal import Event, Fact, from_line
from bench.records.run import DeviceFacts, MeterFacts, SensorFacts

OPEN_PATIENCE_S = 30.0
SILENCE_S = 2.0
KILL_PATIENCE_S = 1.0
PIPE_BYTES = 1 << 20


class ProcessMeter:
    """Drives one sampler process. To be made on the thread that lives as long as the run does:
    the kernel kills the sampler when that thread ends.
    """

    def __init__(self, sensor: str, argument: str, device: DeviceFacts) -> None:
        """Start the process and open the instrument: ("nvml", index or UUID), ("rapl", root).

        Raises MeterError with the sampler's own sentence when it cannot be opened.
        """
        self._buffer = b""
        self._heard: list[Fact] = []
        self._facts: MeterFacts | None = None
        self._refused: str | None = None
        self._lost: MeterLost | None = None
        self._sampling = False
        self._at_end = False
        self._heard_s = time.monotonic()
        self._name = sensor
        self._process, self._command_fd, self._report_fd = _spawn(sensor, argument)
        try:
            self._facts = self._await_facts(device)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The sampler's process id, so that it is not taken for a stranger on the device."""
        return self._process.pid

    def facts(self) -> MeterFacts:
        """What the sampler's own probe of the instrument found."""
        assert self._facts is not None, "set by the constructor"
        return self._facts

    def start(self) -> None:
        """Begin to sample. Raises MeterError when the sampler has died since it was opened."""
        if not self._tell({"start": True}):
            raise MeterError(self._death())
        self._sampling = True
        self._heard_s = time.monotonic()

    def pace(self, period_s: float | None) -> None:
        """Read every ``period_s`` seconds: 0 is never, None the instrument's own pace."""
        self._tell({"pace": period_s})

    def survey(self) -> None:
        """Ask for the processes on the device; a "processes" event answers where it can."""
        self._tell({"survey": True})

    def poll(self) -> Sequence[Fact]:
        """Facts since the last poll: samples, clock pairs, "meter_trouble" with a code and text,
        and after stop() the "meter_tally".

        Once sampling has ended by itself and all it left has been handed over, raises MeterLost
        with that code; no longer after stop().
        """
        self._receive()
        self._watch()
        if self._lost is not None and not self._heard and self._sampling:
            raise self._lost
        heard, self._heard = self._heard, []
        return heard

    def stop(self) -> None:
        """End sampling; what was sampled until now can still be polled. Never raises."""
        if self._command_fd < 0:
            return
        self._tell({"stop": True})
        os.close(self._command_fd)
        self._command_fd = -1
        was_sampling, self._sampling = self._sampling, False
        deadline_s = time.monotonic() + KILL_PATIENCE_S
        while not self._at_end and (left_s := deadline_s - time.monotonic()) > 0:
            select.select([self._report_fd], [], [], left_s)
            self._receive()
        silent = not self._at_end
        if not silent:
            self._await_end()
        gone = self._kill()
        self._receive()
        self._at_end = True
        os.close(self._report_fd)
        if was_sampling and self._lost is None:
            if silent:
                self._hung(stuck=not gone)
            elif self._process.returncode != 0:
                self._lose("SAMPLING_GAPS", self._death())

    def _tell(self, order: dict[str, Any]) -> bool:
        """Send an order; False when nobody reads it, which poll() tells soon enough."""
        if self._command_fd < 0:
            return False
        try:
            os.write(self._command_fd, (json.dumps(order) + "\n").encode())
        except (BrokenPipeError, BlockingIOError):
            return False
        return True

    def _await_facts(self, device: DeviceFacts) -> MeterFacts:
        deadline_s = time.monotonic() + OPEN_PATIENCE_S
        while self._facts is None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise MeterError(
                    f"{self._name} did not answer within {OPEN_PATIENCE_S:.0f} s: the driver hangs;"
                    " reboot, or measure without it (--meter none, --device cpu)"
                )
            select.select([self._report_fd], [], [], left_s)
            self._receive()
            if self._refused is not None:
                raise MeterError(self._refused)
            if self._at_end:
                raise MeterError(self._death())
        return dataclasses.replace(self._facts, mismatch=not belongs(self._facts, device))

    def _receive(self) -> None:
        """Take in whatever the sampler has said so far."""
        while not self._at_end:
            try:
                data = os.read(self._report_fd, PIPE_BYTES)
            except BlockingIOError:
                return
            self._at_end = not data
            self._heard_s = time.monotonic()
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))

    def _hear(self, line: dict[str, Any]) -> None:
        match line.get("kind"):
            case None:  # a bare sign of life
                return
            case "facts":
                self._facts = _meter_facts(line["facts"])
            case "refused":
                self._refused = line["text"]
            case _:
                fact = from_line(line)
                self._heard.append(fact)
                if isinstance(fact, Event) and fact.name == TROUBLE and self._sampling:
                    self._lost = MeterLost(fact.data["code"], fact.data["text"])

    def _watch(self) -> None:
        """Notice, while sampling, a sampler that has died or fallen silent."""
        if not self._sampling or self._lost is not None:
            return
        if self._at_end:
            self._lose("SAMPLING_GAPS", self._death())
        elif time.monotonic() - self._heard_s > SILENCE_S:
            self._hung(stuck=not self._kill())

    def _hung(self, stuck: bool) -> None:
        text = "the power sampler hung and was killed"
        if stuck:
            text += f" (process {self.pid} is stuck in the kernel and outlives the run)"
        self._lose("SAMPLER_HUNG", f"{text}: the driver hangs; check dmesg, then run again")

    def _lose(self, code: str, text: str) -> None:
        self._lost = MeterLost(code, text)
        self._heard.append(trouble(time.monotonic(), code, text))

    def _kill(self) -> bool:
        """Kill if need be; False if it is still there afterwards (uninterruptible sleep)."""
        self._process.kill()
        self._await_end()
        return self._process.returncode is not None

    def _await_end(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_PATIENCE_S)

    def _death(self) -> str:
        self._await_end()
        return f"the power sampler died (status {self._process.returncode}): run again"


def _spawn(sensor: str, argument: str) -> tuple[subprocess.Popen[bytes], int, int]:
    """The sampler's process, the pipe it obeys and the pipe it reports on."""
    command_read, command_write = os.pipe()
    report_read, report_write = os.pipe()
    with contextlib.suppress(OSError):  # an unprivileged user may have used up his share
        fcntl.fcntl(report_write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(report_read, False)
    os.set_blocking(command_write, False)  # a sampler that hangs reads no orders
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench.meters.sampler",
         str(os.getpid()), str(command_read), str(report_write), sensor, argument],
        pass_fds=(command_read, report_write),
        process_group=0,  # a terminal's Ctrl-C is for the harness alone
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(command_read)
    os.close(report_write)
    return process, command_write, report_read


def belongs(facts: MeterFacts, device: DeviceFacts) -> bool:
    """Whether the instrument reads the device that does the work."""
    if facts.source == "rapl":
        return device.kind == "cpu"
    return facts.device_uuid is not None and facts.device_uuid == device.uuid


def _meter_facts(said: dict[str, Any]) -> MeterFacts:
    sensor = said.pop("sensor")
    said["capabilities"] = tuple(said["capabilities"])
    return MeterFacts(**said, sensor=None if sensor is None else SensorFacts(**sensor))
