"""Tokens against what the device can do: rates and joules that no device of its kind can have.

A rate above its limits, or joules below theirs, is work that was counted and not done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.records.run import Code, Estimate, WorkloadRecord
from bench.validity.evidence import Evidence, Rule, fatal, label

ROOF_RANGE = (0.5, 1.05)
"""A measured roof over the datasheet's: below, something disturbed it; above, one of them errs."""
ABOVE = 1.05
ABOVE_MEASURED = 1.5
"""A rate over a roof. Above a measured one it may stand further: the roof is a median of trials
beside whatever else the machine did, and a counting error is a factor of two and more."""
CACHES = 4
"""Bytes a step must move, in last-level caches, for the bandwidth of memory to bound it."""
MOST_JOULES = 100.0
UNUSUAL = 2.0
SHARES = {"mfu": "arithmetic", "mbu_useful": "bandwidth", "roofline_fraction": "roofline"}


def _tokens(e: Evidence) -> Iterator[tuple[WorkloadRecord, dict[str, Any]]]:
    for w in e.workloads:
        if w.unit == "token" and w.metrics.roofs is not None:
            yield w, w.metrics.roofs


def _peaks(e: Evidence) -> Iterator[Code]:
    """The roofs that were measured against the card's datasheet."""
    names = {"read_bytes_per_s": "read bandwidth", "flops": "arithmetic"}
    for w, roofs in _tokens(e):
        measured, sheet = roofs["measured"], roofs["datasheet"]
        if measured is None or sheet is None:
            continue
        for key, name in names.items():
            ratio = measured[key] / sheet[key]
            if not ROOF_RANGE[0] <= ratio <= ROOF_RANGE[1]:
                text = (
                    f"{w.name}: the {name} measured is {ratio:.2f} of {sheet['card']}'s datasheet"
                )
                advice = "correct the profile" if ratio > 1 else "free the card, or cool it"
                yield label("ROOF_DOUBTFUL", f"{text}: {advice}, and run again")


def _rates(e: Evidence) -> Iterator[Code]:
    """No more tokens than arithmetic and bandwidth allow."""
    for w, roofs in _tokens(e):
        if roofs["datasheet"] is not None:
            card = roofs["datasheet"]["card"]
            for name, share in _above(roofs["datasheet"], ABOVE, cached=False):
                yield _too_fast(w, share, f"{name} of {card}'s datasheet")
        if roofs["measured"] is None:
            continue
        cached = _in_cache(e, w, roofs["measured"])
        for name, share in _above(roofs["measured"], ABOVE, cached=cached):
            if share > ABOVE_MEASURED and e.device.kind == "gpu":
                yield _too_fast(w, share, f"{name} measured on the device")
            else:
                text = f"{w.name} ran at {share:.2f} of the {name} measured before it"
                yield label("ROOF_DOUBTFUL", f"{text}: free the machine and run again")


def _above(shares: dict[str, Any], most: float, *, cached: bool) -> Iterator[tuple[str, float]]:
    """What exceeds its roof; the bandwidth of memory is none to what stays in the cache."""
    for key, name in SHARES.items():
        if shares[key] > most and (key == "mfu" or not cached):
            yield name, shares[key]


def _too_fast(w: WorkloadRecord, share: float, what: str) -> Code:
    text = f"{w.name} ran at {share:.2f} of the {what}"
    return fatal("INFER_TOO_FAST", f"{text}: tokens were counted that were not made; report it")


def _in_cache(e: Evidence, w: WorkloadRecord, measured: dict[str, Any]) -> bool:
    """Whether a step's bytes may stay in the last-level cache, of a size not known too."""
    details = e.prepared(w.name).get("details") or {}
    cache = (details.get("roofs") or {}).get("cache_bytes")
    rate, batch = w.metrics.units_per_s, (details.get("work") or {}).get("batch") or 1
    if cache is None or rate is None:
        return True
    step = measured["mbu_useful"] * measured["read_bytes_per_s"] / rate.mid * batch
    return bool(step < CACHES * cache)


def _joules(e: Evidence) -> Iterator[Code]:
    """J/token within what physics and experience allow, where an instrument read them."""
    for w in e.workloads:
        found = w.metrics.joules_per_unit
        if w.unit != "token" or found is None or not e.own_meter or e.device.kind != "gpu":
            continue
        if found.mid > MOST_JOULES:
            text = f"{w.name}: {found.mid:.3g} J/token, more than {MOST_JOULES:.0f} on a GPU"
            yield fatal("INFER_JOULES", f"{text}: tokens or power are wrong; run bench doctor")
        sheet = (w.metrics.roofs or {}).get("datasheet")
        if sheet is not None:
            yield from _beside_datasheet(e, w, found, sheet)


def _beside_datasheet(
    e: Evidence, w: WorkloadRecord, found: Estimate, sheet: dict[str, Any]
) -> Iterator[Code]:
    """Idle power for the least time is a floor; the priors of the card are an expectation."""
    idle = e.idle.watts
    floor = None if idle is None else idle.lo * sheet["least_s"]
    expected = sheet["expected_joules_per_token"]
    if floor is not None and found.mid < floor:
        text = f"{w.name}: {found.mid:.3g} J/token, below {floor:.3g} at idle power and full speed"
        yield fatal("INFER_JOULES", f"{text}: tokens or power are wrong; run bench doctor")
    elif expected is not None and not 1 / UNUSUAL <= found.mid / expected <= UNUSUAL:
        ratio = found.mid / expected
        text = (
            f"{w.name}: {found.mid:.3g} J/token is {ratio:.2g} × what {sheet['card']} should take"
        )
        yield label("INFER_UNUSUAL", f"{text}: look at the roofline's share and at the power")


RULES: tuple[Rule, ...] = (_peaks, _rates, _joules)
