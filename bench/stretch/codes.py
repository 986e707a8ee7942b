"""May one trust a stretch: the run's own rules, where they can be said of any command. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.plan import GRADES
from bench.records.run import Code, Metrics, Verified, Window, WorkloadRecord
from bench.stretch.figures import both, comparable
from bench.stretch.nouns import Figures, Measured, Setting, Taken
from bench.validity import Evidence, judge

NAME = "command"
FEWEST_UPDATES = 2
AGREED = 0.01
CODES = frozenset({
    "SAMPLER_HUNG", "SAMPLING_GAPS", "GPU_LOST", "XID", "ECC", "PAUSED", "NO_ENERGY",
    "ASSUMED_WATTS", "SIMULATED", "METER_MISMATCH", "MODULE_SCOPE", "UNCALIBRATED",
    "FAKE_LIBRARY", "COUNTER_RESET", "COUNTER_WRAP", "ENERGY_DISAGREE", "POWER_OUT_OF_RANGE",
    "POWER_FROZEN", "NOT_LOADED", "THROTTLED", "POWER_CAPPED", "LIMIT_CHANGED",
    "LIMIT_NOT_DEFAULT", "MIG", "MPS", "VGPU", "DISPLAY",
})  # fmt: skip
"""Those of a run's codes that can be said of any command; the rest speak of blocks and ranks."""


def codes(
    setting: Setting, taken: Sequence[Taken], booked: Sequence[Measured], figures: Figures
) -> Iterator[Code]:
    """The run's own rules over the stretches as blocks, and whether they were long enough."""
    moot = _moot(taken)
    judged = judge(_evidence(setting, taken, booked, figures)).codes
    yield from (code for code in judged if code.name in CODES - moot)
    if setting.meter.source in ("none", "assumed"):
        return
    yield from _processes(setting)
    updates_s = [each.best.update_s for each in taken if each.best]
    shortest_s = min(each.seconds for each in booked)
    if updates_s and shortest_s < FEWEST_UPDATES * max(updates_s):
        text = f"{shortest_s:.3g} s is less than two updates of the meter: repeat it or lengthen it"
        yield Code("SHORT_WINDOW", text, fatal=False)


def _moot(taken: Sequence[Taken]) -> frozenset[str]:
    """What cannot be said of these stretches: instruments disagree only where their edges do not
    matter, and a reading that stands still is no fault where the counter bears it out."""
    counter_j, integral_j = both(taken)
    if counter_j <= 0:
        return frozenset({"ENERGY_DISAGREE"})
    return frozenset({"POWER_FROZEN"}) if abs(integral_j / counter_j - 1) < AGREED else frozenset()


def _evidence(
    setting: Setting, taken: Sequence[Taken], booked: Sequence[Measured], figures: Figures
) -> Evidence:
    windows = tuple(
        Window(
            m.start_s,
            m.end_s,
            m.units or 1.0,
            m.counter_j,
            m.integral_j if comparable(each) else None,
            m.throttled_s,
        )
        for m, each in zip(booked, taken, strict=True)
    )
    workload = WorkloadRecord(
        name=NAME,
        backend="",
        tier=None,
        unit="run",
        config={},
        data_profile=None,
        verified=Verified(True, ()),
        windows=windows,
        metrics=Metrics(
            units_per_s=None,
            watts=figures.watts,
            boundary=figures.boundary,
            joules_per_unit=None,
            joules_per_unit_absolute=None,
            joules_per_unit_net=None,
            joules_source=figures.joules_source,
            reason=figures.reason,
        ),
    )
    quick = GRADES["quick"]
    return Evidence(
        setting.device, setting.meter, quick, setting.book, setting.idle, (workload,), {}
    )


def _processes(setting: Setting) -> Iterator[Code]:
    """Who else was on the card. Whoever was there before a command that had not begun is a
    stranger; of the rest nothing can be said as long as no list shows a process of ours."""
    if setting.device.kind != "gpu" or setting.meter.mismatch:
        return
    events = setting.book.events
    said = [event.data for event in events if event.name == "processes"]
    lists = [set(data["pids"]) for data in said if not data.get("reason")]
    noted = [event.data for event in events if event.name == "own_processes"]
    if not lists or not noted:
        why = next((data["reason"] for data in said), "the driver gave no list of processes")
        yield Code("PROCESS_UNKNOWN", f"nobody knows who else used the card: {why}", fatal=False)
        return
    own, seen = set(noted[-1]["pids"]), set().union(*lists)
    strangers = lists[0] - own if noted[-1]["fresh"] else set()
    others = seen - own - strangers
    if seen & own:
        strangers |= others
    elif others:
        text = "the card's process list does not show the command's own (as in a container)"
        yield Code("PROCESS_UNKNOWN", f"{text}: make sure that nothing else runs", fatal=False)
    if strangers:
        pids = ", ".join(map(str, sorted(strangers)))
        text = f"another process used the card (pid {pids}): stop it and run again"
        yield Code("FOREIGN_PROCESS", text, fatal=True)
