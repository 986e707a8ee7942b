"""Every fault of a simulated card through the whole run gives its code, and never a false valid."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.catalogue import load_gpu, names
from bench.cli import run
from bench.derive import derive
from bench.machine import VirtualClock
from bench.measure import Bench, measure
from bench.meters.sim import SimulatedMeter
from bench.plan import GRADES
from bench.protocol import Protocol
from bench.records.journal import Event
from bench.records.record import Plan
from bench.records.run import DeviceFacts, Truth, WorkloadFacts
from bench.simulate import (
    KINDS,
    Launch,
    PowerSensor,
    SimulatedDevice,
    card_of,
    parse_fault,
)
from bench.workers import SimulatedWorker

UNITS = {"sha256d": "hash", "decode": "token"}
STARTED = "2026-11-22T12:00:00Z"
STRIKE_S = 20.0
RANKED_ONLY = {"drift", "unsteady"}
"""Faults that the quick grade does not promise to see."""
DOCS = Path(__file__).parents[2] / "docs" / "simulation.md"


class Quiet:
    """Looks on and says nothing."""

    def step(self, step, left_s):
        pass

    def tick(self, left_s):
        pass

    def block(self, span):
        pass

    def failed(self, workload, error):
        pass


@pytest.fixture
def simulate():
    """Runs a simulated card through the real course; returns what is derived, and the truth."""

    def simulate(card, grade="quick", faults=(), window_s=None, changed=lambda card: card):
        profile = load_gpu(card)
        clock, simulated = VirtualClock(), changed(card_of(profile))
        parsed = [parse_fault(text) for text in faults]
        device = SimulatedDevice(simulated, 1, faults=parsed, strike_s=STRIKE_S)
        meter = SimulatedMeter(device, clock, mismatch=False)
        limit_w = profile.tdp_w.value
        facts = DeviceFacts("sim", f"sim:{card}", uuid=f"SIM-{card}", power_limit_max_w=limit_w)
        workers = {
            name: SimulatedWorker(
                WorkloadFacts(name, "sim", unit, None, profile.simulation.loads[name].config),
                device,
                clock,
            )
            for name, unit in UNITS.items()
        }
        journal = []
        course = Protocol(
            GRADES[grade],
            tuple(UNITS),
            device=facts,
            meter=meter.facts(),
            window_s=window_s,
            setup_s={},
            facts=journal,
            made_at=STARTED,
        )
        sizes = (1, GRADES[grade].blocks, course.block_s, GRADES[grade].settle_s)
        plan = Plan(grade, *sizes, "8b", "default", (), "auto", course.steps)
        opened = {"device": asdict(facts), "meter": asdict(meter.facts()), "plan": asdict(plan)}
        journal.append(Event(0.0, "opened", {**opened, "started_at": STARTED}))
        measure(Bench(facts, workers, meter, clock, journal.append, Quiet(), 1), course)
        return derive(journal), simulated.truth

    return simulate


def joules(derived):
    """Every figure of energy there is."""
    for workload in derived.workloads:
        for window in workload.windows:
            yield from (window.counter_j, window.integral_j)
        metrics = workload.metrics
        yield from (metrics.joules_per_unit and metrics.joules_per_unit.mid,)


def codes(derived):
    return {code.name: code.fatal for code in derived.validity.codes}


@pytest.mark.parametrize("fault", KINDS)
def test_a_fault_gives_its_code(simulate, fault):
    grade, window_s = ("standard", 25.0) if fault in RANKED_ONLY else ("quick", None)
    derived, _ = simulate("h100-pcie", grade, [fault], window_s)
    found = codes(derived)
    assert KINDS[fault].code in found
    assert "SIMULATED" in found
    assert derived.validity.status == ("invalid" if any(found.values()) else "labelled")
    known = [each for each in joules(derived) if each is not None]
    assert all(each >= 0 for each in known)
    assert known or found[KINDS[fault].code]


def test_a_counter_that_fell_loses_no_joule(simulate):
    clean, truth = simulate("rtx4090")
    for fault in ("reset", "wrap"):
        derived, _ = simulate("rtx4090", faults=[fault])
        for fell, stood in zip(derived.workloads, clean.workloads, strict=True):
            assert fell.metrics.joules_per_unit.mid == pytest.approx(
                stood.metrics.joules_per_unit.mid, rel=0.02
            )
            assert fell.metrics.joules_per_unit.mid == pytest.approx(
                truth[fell.name].joules_per_unit, rel=0.05
            )


SIMULATED = [name for name in names("gpus") if load_gpu(name).simulation is not None]


@pytest.mark.parametrize("card", SIMULATED)
def test_every_simulated_card_runs_and_is_only_labelled(simulate, card):
    derived, truth = simulate(card, "quick")
    assert derived.validity.status == "labelled"
    assert set(codes(derived)) <= {"SIMULATED", "UNRANKED", "UNCALIBRATED"}
    for workload in derived.workloads:
        known = truth[workload.name].joules_per_unit
        absolute = workload.metrics.joules_per_unit_absolute
        assert absolute.lo <= known <= absolute.hi
        assert workload.metrics.joules_source == "simulated"


@pytest.mark.parametrize(
    ("card", "field", "window_s", "kind"),
    [
        ("v100", "power_w", 0.0105, "part-time"),
        ("h100-pcie", "power_instant_w", 0.025, "part-time"),
        ("a10", "power_average_w", 1.0, "averaged"),
        ("rtx4090", "power_instant_w", 0.11, "full-duty"),
    ],
)
def test_the_run_finds_out_how_its_sensor_sees(simulate, card, field, window_s, kind):
    derived, _ = simulate(card, "standard", window_s=25.0)
    calibration = derived.meter.calibration
    sensor = card_of(load_gpu(card)).sensors[0]
    assert (calibration.field, derived.meter.sensor.kind) == (field, kind)
    assert derived.meter.sensor.update_s == pytest.approx(sensor.update_s, rel=0.03)
    assert derived.meter.sensor.window_s == pytest.approx(window_s, rel=0.1)
    assert derived.meter.sensor.lag_s == pytest.approx(sensor.lag_s, abs=0.01)


def test_a_load_locked_to_a_part_time_sensor_is_named_and_then_grouped(simulate):
    """600 and 200 W in turn, as often as a sensor looks that sees a quarter of the time."""

    def locked(card):
        return replace(
            card,
            idle_w=60.0,
            truth={name: Truth(400 / known.units_per_s, known.units_per_s)
                   for name, known in card.truth.items()},
            sensors=(PowerSensor(0.1, 0.025),),
            counter=None,
            launches=dict.fromkeys(card.truth, Launch(0.1, 400.0)),
        )  # fmt: skip

    for grade, named in (("quick", True), ("standard", False)):
        derived, truth = simulate("h100", grade, window_s=40.0, changed=locked)
        errors = [
            workload.metrics.joules_per_unit.mid / truth[workload.name].joules_per_unit - 1
            for workload in derived.workloads
        ]
        assert ("ALIASED" in codes(derived)) == named
        assert (max(map(abs, errors)) > 0.1) == named
        assert named or max(map(abs, errors)) < 0.01


@pytest.mark.parametrize("window_s", [0.017, 0.04, 0.06, 0.09, 0.1, 0.11, 0.15, 1.0])
def test_whatever_its_window_a_polled_sensor_is_not_fooled_by_a_locked_load(simulate, window_s):
    """440 and 150 W on average, each swinging by 300 W in step with the updates, no counter."""

    def locked(card):
        watts = {"sha256d": 440.0, "decode": 150.0, "prefill": 440.0}
        return replace(
            card,
            idle_w=22.0,
            truth={name: Truth(watts[name] / known.units_per_s, known.units_per_s)
                   for name, known in card.truth.items()},
            sensors=(PowerSensor(0.1, window_s),),
            counter=None,
            launches=dict.fromkeys(card.truth, Launch(0.1, 200.0)),
        )  # fmt: skip

    derived, truth = simulate("h100", "standard", changed=locked)
    assert derived.validity.status == "labelled"
    for workload in derived.workloads:
        known, metrics = truth[workload.name].joules_per_unit, workload.metrics
        error = 0.01 if window_s < 0.08 else 0.005
        assert metrics.joules_per_unit.mid == pytest.approx(known, rel=error)
        assert metrics.joules_per_unit_absolute.lo < known < metrics.joules_per_unit_absolute.hi
    assert derived.idle.watts.mid == pytest.approx(22.0, rel=0.01)


def test_a_decoder_has_its_latency(simulate):
    derived, truth = simulate("h100")
    decode = next(workload for workload in derived.workloads if workload.name == "decode")
    assert decode.metrics.tpot_s["p50"] == pytest.approx(64 / truth["decode"].units_per_s, rel=0.01)


# The option


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def command(*arguments):
        status = run(["all", "--grade", "quick", "--seed", "1", *arguments])
        return status, capsys.readouterr()

    return command


def test_faults_strike_amid_the_blocks_and_stand_in_the_record(command):
    faults = ["--sim-fault", "limit=0.5", "--sim-fault", "power-cap"]
    status, said = command("--device", "sim:rtx3090", *faults, "--json", "-")
    assert status == 9
    for expected in ("LIMIT_CHANGED", "POWER_CAPPED", "SIMULATED", "sim-fault limit=0.5"):
        assert expected in said.out
    assert re.search(r'"truth": ?null', said.out)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--sim-fault", "throttle"], "only a simulated card has faults at will"),
        (["--device", "cpu", "--sim-fault", "throttle"], "only a simulated card"),
        (["--device", "sim:h100", "--sim-fault", "trottle"], "no such fault; known: throttle,"),
        (["--device", "sim:h100", "--sim-fault", "gain=x"], "VALUE must be a number"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused(command, arguments, why):
    status, said = command(*arguments)
    assert status == 2
    lines = said.err.strip().splitlines()
    assert len(lines) == 1
    assert why in lines[0]


def test_the_documentation_has_every_fault_with_its_code():
    rows = re.findall(r"^\| `([a-z-]+)`.*`([A-Z_]+)` \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == {name: kind.code for name, kind in KINDS.items()}


def test_the_documentation_has_every_simulated_card():
    text = DOCS.read_text("utf-8")
    assert all(f"`sim:{name}`" in text for name in SIMULATED)
