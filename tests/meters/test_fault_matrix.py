"""Every NVML call × return code × moment, through sensor, sampling, measuring and judging.

All of it in this process on virtual time: the bindings, the work and the clock are made up, and
the card's energy is known in closed form. No fault may end in a traceback, or in joules that are
wrong without a word.
"""

import dataclasses
import itertools
import math
import random
from collections import Counter
from types import SimpleNamespace

import pytest

from bench.derive import derive
from bench.ledger import joules_of
from bench.machine import VirtualClock
from bench.measure import Bench, measure
from bench.meters.nvml_library import Nvml
from bench.meters.nvml_sensor import NvmlSensor
from bench.meters.sampler import period_s
from bench.meters.sampling import MeterLost, Sampling, trouble
from bench.plan import GRADES, OBSERVED_POLLS_S
from bench.ports import MeterError
from bench.protocol import FixedCourse
from bench.records.journal import ClockPair, Event, Progress
from bench.records.record import Plan, Step
from bench.records.run import Calibration, Check, DeviceFacts, SensorFacts, WorkloadFacts
from bench.validity.evidence import LIMITS

CALLS = (
    "nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetName",
    "nvmlDeviceGetUUID", "nvmlDeviceGetCudaComputeCapability", "nvmlDeviceGetFieldValues",
    "field185", "field186", "field191", "field270", "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage", "nvmlDeviceGetClockInfo", "nvmlDeviceGetTemperature",
    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetTotalEccErrors", "nvmlDeviceRegisterEvents",
    "nvmlEventSetWait_v2", "nvmlDeviceGetComputeRunningProcesses_v3",
)  # fmt: skip
CODES = (1, 2, 3, 4, 6, 9, 10, 13, 15, 16, 18, 23, 27, 999)
UUID = "GPU-1"
LOW_W, HIGH_W, PERIOD_S = 198.0, 202.0, 0.34
UPDATE_S, SLOWEST_S = 0.02, 0.08
UNITS_PER_S = 1000.0
MOST_OFF = 0.01
WARMUP_S, BLOCK_S, BLOCKS = 0.4, 0.6, 8


def energy_j(t_s):
    periods, rest_s = divmod(t_s, PERIOD_S)
    high_s = periods * PERIOD_S / 2 + min(rest_s, PERIOD_S / 2)
    return HIGH_W * high_s + LOW_W * (t_s - high_s)


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(value)
        self.value = value


class Bindings:
    """Stands in for nvidia-ml-py: a card that draws a square wave, and a call that fails."""

    NVMLError = NVMLError
    NVMLLibraryMismatchError = type("NVMLLibraryMismatchError", (Exception,), {})
    nvmlLib = None  # noqa: N815 - its name there

    def __init__(self, call=None, code=0, since_s=-math.inf, noise=None):
        self.now_s = -1.0  # the opening comes before everything
        self._fault = (call, code, since_s)
        self._noise = noise

    def __getattr__(self, name):
        """Every function there is; what is not in the table is one that this driver lacks."""
        answer = ANSWERS.get(name)
        if answer is None:
            raise AttributeError(name)

        def function(*arguments):
            if self._failing(name):
                raise NVMLError(self._fault[1])
            return answer(self, *arguments)

        return function

    def _failing(self, name):
        call, _, since_s = self._fault
        return name == call and self.now_s >= since_s

    def updated_s(self):
        return math.floor(self.now_s / UPDATE_S + 1e-6) * UPDATE_S

    def power_mw(self):
        t_s = self.updated_s()
        watts = (energy_j(t_s) - energy_j(t_s - UPDATE_S)) / UPDATE_S
        return round(1000 * watts * (1 + (self._noise.gauss(0, 0.003) if self._noise else 0)))

    def counter_mj(self):
        return int(1000 * energy_j(self.updated_s()))

    def field(self, number):
        failing = self._failing(f"field{number}")
        raw = {185: self.power_mw, 186: self.power_mw, 191: self.counter_mj}.get(number)
        value = raw() if raw else 0
        return SimpleNamespace(
            nvmlReturn=self._fault[1] if failing else 0,
            valueType=3,
            timestamp=round(1e6 * self.now_s) + 1,
            value=SimpleNamespace(ullVal=value),
        )

    def no_event(self):
        raise NVMLError(10)


ANSWERS = {
    "nvmlInit": lambda _: None,
    "nvmlShutdown": lambda _: None,
    "nvmlDeviceGetCount": lambda _: 1,
    "nvmlDeviceGetHandleByIndex": lambda _, index: index,
    "nvmlDeviceGetName": lambda *_: "a card",
    "nvmlDeviceGetUUID": lambda *_: UUID,
    "nvmlSystemGetNVMLVersion": lambda _: "13.1",
    "nvmlDeviceGetCudaComputeCapability": lambda *_: (9, 0),
    "nvmlDeviceGetFieldValues": lambda self, _, ids: [self.field(number) for number in ids],
    "nvmlDeviceGetTotalEnergyConsumption": lambda self, _: self.counter_mj(),
    "nvmlDeviceGetPowerUsage": lambda self, _: self.power_mw(),
    "nvmlDeviceGetClockInfo": lambda *_: 1755,
    "nvmlDeviceGetTemperature": lambda *_: 55,
    "nvmlDeviceGetEnforcedPowerLimit": lambda *_: 400_000,
    "nvmlDeviceGetPerformanceState": lambda *_: 0,
    "nvmlDeviceGetTotalEccErrors": lambda *_: 0,
    "nvmlEventSetCreate": lambda _: object(),
    "nvmlDeviceRegisterEvents": lambda *_: None,
    "nvmlEventSetWait_v2": lambda self, *_: self.no_event(),
    "nvmlDeviceGetComputeRunningProcesses_v3": lambda *_: [SimpleNamespace(pid=41)],
    "nvmlDeviceGetGraphicsRunningProcesses_v3": lambda *_: [],
    "nvmlDeviceGetMPSComputeRunningProcesses_v3": lambda *_: [],
}


class Meter:
    """The sensor and its sampling as the sampler's process runs them, but on virtual time.

    It never looks more often than every ``SLOWEST_S``, as if the driver were slow.
    """

    pid = None

    def __init__(self, bindings, clock):
        self._bindings, self._clock = bindings, clock
        self._sensor = NvmlSensor("0", Nvml(bindings))
        self._sampling = Sampling(self._sensor, self._clocks, lambda: bindings.now_s)
        self._period_s, self._due_s = self._sensor.period_s, math.inf
        self._heard, self._lost = [], None

    def _clocks(self):
        now_s = self._bindings.now_s
        return ClockPair(now_s, now_s, now_s)

    def facts(self):
        """As of a real library on a calibrated sensor: neither is what is tried here."""
        return dataclasses.replace(
            self._sensor.facts(), library=LIBRARY, sensor=SENSOR, calibration=CALIBRATION
        )

    def start(self):
        self._due_s = self._clock.now()

    def pace(self, asked_s):
        self._period_s = max(period_s(asked_s, self._sensor.period_s), SLOWEST_S)

    def survey(self):
        self._guarded(self._sampling.survey, self._clock.now())

    def poll(self):
        while self._due_s <= self._clock.now() and self._lost is None:
            self._guarded(self._sampling.step, self._due_s)
            self._due_s += self._period_s
        if self._lost is not None and not self._heard:
            raise self._lost
        heard, self._heard = self._heard, []
        return heard

    def stop(self):
        if self._due_s < math.inf:
            self._heard += self._sampling.end(self._clock.now())
        self._due_s, self._lost = math.inf, None

    def _guarded(self, ask, at_s):
        if self._lost is not None:
            return
        self._bindings.now_s = at_s
        try:
            self._heard += ask()
        except MeterLost as lost:
            self._lost = lost
            self._heard.append(trouble(at_s, lost.code, lost.text))


class Worker:
    """Work at a steady rate."""

    name, pid = "hash", 41

    def __init__(self, clock, rate=UNITS_PER_S):
        self._clock, self._rate = clock, rate
        self._begun_s, self._units = 0.0, 0.0

    def prepare(self, group_s):  # noqa: ARG002 - the port's
        return WorkloadFacts(self.name, "made-up", "unit", None, {}, sources={"a": "b"})

    def verify(self):
        return [Check("known answer", True, "")]

    def start(self, _phase=None):
        self._begun_s = self._clock.now()

    def poll(self):
        now_s = self._clock.now()
        self._units += self._rate * (now_s - self._begun_s)
        self._begun_s = now_s
        return [Progress(now_s, round(self._units), self.name)]

    def stop(self):
        return []

    def check(self):
        return []

    def close(self):
        pass


class Watch:
    def step(self, step, left_s):
        pass

    def tick(self, left_s):
        pass

    def block(self, span):
        pass

    def failed(self, workload, error):
        pass


STEPS = (
    Step("prepare", "hash", 0.0),
    Step("verify", "hash", 0.0),
    Step("warmup", "hash", WARMUP_S),
    Step("steady", "hash", WARMUP_S),
    *[Step("observer", "hash", WARMUP_S, poll_s=poll_s) for poll_s in OBSERVED_POLLS_S],
    *[Step("block", "hash", BLOCK_S)] * BLOCKS,
)
LIBRARY = {"path": "/usr/lib/libnvidia-ml.so.1", "sha256": "0" * 64, "standard_path": True}
SENSOR = SensorFacts(UPDATE_S, UPDATE_S, 0.0, 1.0, "gpu", UPDATE_S, "full-duty")
CALIBRATION = Calibration(SENSOR, "power_instant_w", "", 0.01, 100.0, 1.0, UUID)
MOMENTS = {
    "the opening": -math.inf,
    "the first tick": 0.0,
    "warm-up": 0.2,
    "the middle of a block": 3.6,
    "the last block": 6.5,
}
FITTING = {"SAMPLING_GAPS", "GPU_LOST", "NO_ENERGY"}
DEVICE = DeviceFacts(kind="gpu", name="a card", uuid=UUID, power_limit_max_w=500.0)
PLAN = Plan("standard", 1, BLOCKS, BLOCK_S, 0.0, "", "", (), "auto", ())


def run(bindings, rate=UNITS_PER_S, begun_s=0.0):
    """What is derived of a whole run on these bindings; MeterError where it is refused."""
    clock = VirtualClock()
    clock.sleep(begun_s)
    meter = Meter(bindings, clock)
    opened = {
        "device": dataclasses.asdict(DEVICE),
        "meter": dataclasses.asdict(meter.facts()),
        "plan": dataclasses.asdict(PLAN),
        "started_at": "2026-01-01T00:00:00Z",
    }
    journal = [Event(0.0, "opened", opened)]
    workers = {"hash": Worker(clock, rate)}
    bench = Bench(DEVICE, workers, meter, clock, journal.append, Watch())
    measure(bench, FixedCourse(STEPS))
    return derive(journal)


@pytest.fixture(autouse=True)
def short_grade(monkeypatch):
    """The standard grade, but over within seconds."""
    grade = dataclasses.replace(GRADES["standard"], blocks=BLOCKS, block_s=BLOCK_S)
    limits = dataclasses.replace(LIMITS["standard"], window_s=BLOCKS * BLOCK_S, updates=20)
    monkeypatch.setitem(GRADES, "standard", grade)
    monkeypatch.setitem(LIMITS, "standard", limits)


def wrong(derived):
    """Why the joules of a run are not those that the card drew; None where they are."""
    (workload,) = derived.workloads
    if len(workload.windows) < BLOCKS:
        return f"{len(workload.windows)} of {BLOCKS} blocks"
    booked = [joules_of(window, derived.meter) for window in workload.windows]
    if None in booked or workload.metrics.joules_per_unit is None:
        return "joules are missing"
    true_j = sum(energy_j(each.end_s) - energy_j(each.start_s) for each in workload.windows)
    off = sum(booked) / true_j - 1
    return f"joules are off by {off:+.1%}" if abs(off) > MOST_OFF else None


def test_a_clean_run_is_valid():
    derived = run(Bindings())
    assert derived.validity.codes == ()
    assert derived.validity.status == "valid"
    assert wrong(derived) is None


def judged(call, code, since_s):
    """What is derived of a run with this fault, or the sentence by which it was refused."""
    try:
        return run(Bindings(call, code, since_s)), None
    except MeterError as error:
        return None, str(error)


@pytest.mark.parametrize("call", CALLS)
def test_no_fault_makes_wrong_joules_valid(call):
    for code, (moment, since_s) in itertools.product(CODES, MOMENTS.items()):
        case = f"{call} gives {code} from {moment} on"
        derived, refusal = judged(call, code, since_s)
        if derived is None:
            assert moment == "the opening", case
            assert "\n" not in refusal, case
            assert f"NVML error {code}" in refusal, case
        elif (why := wrong(derived)) is not None:
            assert derived.validity.status == "invalid", f"{case}: {why}"
            fatal = {each.name for each in derived.validity.codes if each.fatal}
            assert fatal & FITTING, f"{case}: {why}, and the codes are {fatal}"


def test_of_a_thousand_clean_runs_hardly_one_is_invalid():
    statuses = Counter()
    for seed in range(1000):
        draw = random.Random(seed)
        rate = UNITS_PER_S * (1 + draw.gauss(0, 0.002))
        begun_s = draw.uniform(0, 10)
        statuses[run(Bindings(noise=draw), rate, begun_s).validity.status] += 1
    assert statuses["invalid"] <= 10, statuses
