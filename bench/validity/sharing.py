"""Whether the device worked for this run alone, and as a whole device."""

from __future__ import annotations

from collections.abc import Iterator

from bench.records.journal import JsonObject
from bench.records.run import Code
from bench.validity.evidence import Evidence, Rule, fatal, label, published


def _partitioned(e: Evidence) -> Iterator[Code]:
    """A part of a card, or a card behind a broker, has no power of its own."""
    if e.device.mig:
        text = "MIG splits this card and its power is the whole card's: switch MIG off"
        yield published(e, "MIG", text)
    if e.device.mps or any(data.get("mps") for data in e.events("processes")):
        yield published(
            e, "MPS", "an MPS server shares this card: stop it (nvidia-cuda-mps-control)"
        )
    if e.device.vgpu:
        text = "a virtual GPU shares its card with other guests: measure on the bare card"
        yield published(e, "VGPU", text)


def _display(e: Evidence) -> Iterator[Code]:
    drawing = any(data.get("graphics") for data in e.events("processes"))
    if e.publish and (e.device.display or drawing):
        yield fatal("DISPLAY", "a display draws on this card: use a card without one")


def _processes(e: Evidence) -> Iterator[Code]:
    """Against the list taken once all workloads held their contexts.

    Where none of the run's own processes is in that list (a container shows other numbers, or
    none) it cannot tell friend from stranger; whoever comes later is a stranger all the same.
    """
    if e.device.kind == "cpu" or not e.own_meter:
        return
    own, lists, reason = surveys(e)
    if not lists:
        if e.whole and e.workloads:
            yield label("PROCESS_UNKNOWN", f"nobody knows who else used the card: {reason}")
        return
    baseline = lists[0]
    matched = not own or bool(baseline & own)
    if not matched:
        text = "the card's process list does not show this run's own (as in a container)"
        yield label("PROCESS_UNKNOWN", f"{text}: make sure that nothing else runs on it")
    strangers = (baseline - own) if matched else set()
    for listed in lists[1:]:
        strangers |= listed - baseline - own
    if strangers:
        text = f"another process used the card (pid {', '.join(map(str, sorted(strangers)))})"
        yield fatal("FOREIGN_PROCESS", f"{text}: stop it and run again")


def surveys(e: Evidence) -> tuple[set[int], list[set[int]], str]:
    """The run's own processes, every list of compute processes since, and why there is none."""
    taken = [event for event in e.book.events if event.name == "own_processes"]
    if not taken:
        return set(), [], "the run's own processes were not noted"
    since_s = taken[-1].t_s
    said = [x.data for x in e.book.events if x.name == "processes" and x.t_s >= since_s]
    reasons = [str(data["reason"]) for data in said if data.get("reason")]
    reason = reasons[-1] if reasons else "the driver gave no list of processes"
    own = {int(pid) for pid in taken[-1].data.get("pids") or ()}
    return own, [_pids(data) for data in said if not data.get("reason")], reason


def _pids(data: JsonObject) -> set[int]:
    return {int(pid) for pid in data.get("pids") or ()}


RULES: tuple[Rule, ...] = (_partitioned, _display, _processes)
