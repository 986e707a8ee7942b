"""Every fault of the table in docs/nvml.md, all at once in real time through the real path.

One sampler per row of the table looks at a fake card of its own while the same blocks pass for
all; each journal is then judged by itself. The work is made up, the instruments are not.
"""

import contextlib
import dataclasses
import re
import select
import time
from pathlib import Path

import pytest

from bench.derive import derive
from bench.meters.process import ProcessMeter
from bench.meters.sampling import MeterLost
from bench.records.journal import ClockPair, Event, Progress, Span
from bench.records.record import Plan
from bench.records.run import Check, DeviceFacts, WorkloadFacts

LOW_W, HIGH_W, PERIOD_S = 170.0, 230.0, 0.25
WAVE = f"{LOW_W}:{HIGH_W}:{PERIOD_S}"
OPENING_S = (0.4, 1.2)  # per sampler; the second where the first was too short
POLL_S = 0.025
BLOCK_S, ORDER = 0.8, "abbaabba"
UNITS_PER_S = 1000
UUID = "GPU-fa4e0000-0000-4000-8000-000000000000"
DOCS = Path(__file__).parents[2] / "docs" / "nvml.md"
ROW = re.compile(
    r"^\| (?P<name>[^|]+) \| `(?P<settings>[^`]+)` \| (?P<code>[A-Z_]+) \| (?P<fatal>yes|no) \|$"
)
ROWS = {row["name"]: row for line in DOCS.read_text().splitlines() if (row := ROW.match(line))}


def energy_j(t_s):
    periods, rest_s = divmod(t_s, PERIOD_S)
    high_s = periods * PERIOD_S / 2 + min(rest_s, PERIOD_S / 2)
    return HIGH_W * high_s + LOW_W * (t_s - high_s)


def settings_of(row, later_s):
    """The row's settings; a sampler that starts early waits so much longer for its fault."""

    def later(found):
        return f"{found[1]}{float(found[2]) + later_s:.3f}"

    pairs = (each.split("=", 1) for each in row["settings"].split(" "))
    timed = {"FREEZE_S", "RESET_S", "FAULTS_AFTER_S"}
    return {
        name: f"{float(value) + later_s:.3f}"
        if name in timed
        else re.sub(r"(@)(\d+)", later, value)
        for name, value in pairs
    }


def beginning(device, meter):
    """What a journal begins with."""
    plan = Plan("quick", 1, 4, BLOCK_S, 0.0, "", "", (), "nvml:0", ())
    asdict = dataclasses.asdict
    yield Event(
        0.0,
        "opened",
        {"device": asdict(device), "meter": asdict(meter.facts()), "plan": asdict(plan),
         "started_at": "2026-01-01T00:00:00Z"},
    )  # fmt: skip
    for name in "ab":
        facts = WorkloadFacts(name, "made-up", "unit", None, {})
        yield Event(0.0, "prepared", asdict(facts))
        checks = [asdict(Check("made up", True, ""))]
        yield Event(0.0, "checks", {"workload": name, "checks": checks})
    yield Event(time.monotonic(), "own_processes", {"pids": [meter.pid]})


def work(begun_s):
    """Blocks without a gap between them, marks 20 times a second, and the clocks read last."""
    facts = []
    for k, name in enumerate(ORDER):
        start_s, end_s = begun_s + k * BLOCK_S, begun_s + (k + 1) * BLOCK_S
        marks = [start_s + n * BLOCK_S / 16 for n in range(17)]
        facts += [Progress(t_s, round(UNITS_PER_S * (t_s - begun_s)), name) for t_s in marks]
        facts.append(Span("block", name, start_s, end_s))
    return [*facts, ClockPair(end_s, end_s, end_s)]


def watch(meters, journals, until_s):
    while time.monotonic() < until_s:
        select.select([], [], [], 0.05)
        for name, meter in meters.items():
            with contextlib.suppress(MeterLost):
                journals[name] += meter.poll()


def open_all(begun_s):
    """A sampler for each row, its faults counted from ``begun_s``; None when it took too long."""
    meters, devices = {}, {}
    for name, row in ROWS.items():
        settings = settings_of(row, begun_s - time.monotonic() - 0.1)
        devices[name] = DeviceFacts(
            kind="gpu", name="Fake GPU", uuid=UUID, power_limit_max_w=500.0,
            mig="MIG" in settings, vgpu="VGPU" in settings, mps="MPS" in settings,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            for key, value in settings.items():
                patch.setenv(f"FAKENVML_{key}", value)
            meters[name] = ProcessMeter("nvml", "0", devices[name])
    if time.monotonic() < begun_s:
        return meters, devices
    close_all(meters)
    return None


def close_all(meters):
    for meter in meters.values():
        meter.stop()


def journals_of(meters, devices, begun_s):
    journals = {}
    for name, meter in meters.items():
        journals[name] = list(beginning(devices[name], meter))
        meter.start()
        meter.pace(POLL_S)
        meter.survey()
    watch(meters, journals, begun_s + 5 * BLOCK_S)
    for meter in meters.values():
        meter.survey()
    watch(meters, journals, begun_s + len(ORDER) * BLOCK_S + 0.1)
    close_all(meters)
    for name, meter in meters.items():
        journals[name] += [*meter.poll(), *work(begun_s)]
    return journals


@pytest.fixture(scope="module")
def told(fakenvml):
    """What is derived of each row's run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(fakenvml("new")))
        patch.setenv("FAKENVML_WATTS", WAVE)
        patch.setenv("FAKENVML_WINDOW_S", "0.02")
        patch.setenv("FAKENVML_UPDATE_S", "0")
        for opening_s in OPENING_S:
            begun_s = time.monotonic() + opening_s * len(ROWS)
            if (opened := open_all(begun_s)) is not None:
                break
    assert opened is not None, "this machine is too busy to open the samplers"
    try:
        journals = journals_of(*opened, begun_s)
    finally:
        close_all(opened[0])
    return {name: derive(journal) for name, journal in journals.items()}


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_gives_the_code_of_the_table(told, name):
    row, validity = ROWS[name], told[name].validity
    codes = {code.name: code for code in validity.codes}
    assert row["code"] in codes, validity
    fatal = {code.name for code in validity.codes if code.fatal}
    if row["fatal"] == "yes":
        assert row["code"] in fatal
        assert validity.status == "invalid"
    else:
        assert fatal == set()
        assert validity.status == "labelled"


@pytest.mark.parametrize("name", ROWS)
def test_joules_that_are_not_invalid_are_those_of_the_waveform(told, name):
    if told[name].validity.status == "invalid":
        return
    extra_w = 50.0 if "module" in name else 0.0
    for workload in told[name].workloads:
        assert workload.windows
        late = sum(x.relative_u for x in workload.metrics.budget if x.name == "edges")
        for window in workload.windows:
            true_j = energy_j(window.end_s) - energy_j(window.start_s)
            true_j += extra_w * (window.end_s - window.start_s)
            booked_j = window.integral_j if window.counter_j is None else window.counter_j
            assert booked_j == pytest.approx(true_j, rel=0.02 + 2 * late)


def test_no_fault_makes_joules_negative(told):
    for derived in told.values():
        for workload in derived.workloads:
            for window in workload.windows:
                assert (window.counter_j or 0.0) >= 0.0
                assert (window.integral_j or 0.0) >= 0.0


def test_the_table_names_every_code_that_a_meter_can_give():
    assert len(ROWS) == 22
