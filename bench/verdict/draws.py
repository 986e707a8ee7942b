"""The market and the meter as a Monte Carlo sees them. Pure, deterministic in its seed.

Arrays hold ``DRAWS`` + 1 elements: the first is the stated or measured middle, the others are
draws, so that one arithmetic gives both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.budget import GAIN, OFFSET
from bench.economics.card import wall_w
from bench.economics.units import Array
from bench.records.decision import Money
from bench.records.market import GpuProfile, MarketProfile, Value
from bench.records.run import Boundary, DeviceFacts, Estimate, Idle, Metrics, WorkloadRecord

DRAWS = 4000
Z95 = 1.96
LEAST_SHARE = 0.01
"""Of the middle, the least that a draw of the offset leaves of a power."""


@dataclass(frozen=True, slots=True)
class Node:
    """What stands between the measured boundary and the meter that is paid.

    ``factor`` (wall over board), where set, takes the place of host watts and supply.
    """

    host_w: Array
    psu_efficiency: Array
    factor: Array | None
    pue: Array
    source: str

    def wall_w(self, watts: Array, boundary: Boundary) -> Array:
        """Watts at the socket from watts at the boundary: (P + host)/η."""
        if boundary in ("wall", "facility"):
            return watts
        if boundary == "node":
            return watts / self.psu_efficiency
        if self.factor is not None:
            return watts * self.factor
        return wall_w(watts, self.host_w, self.psu_efficiency)

    def facility_w(self, watts: Array, boundary: Boundary) -> Array:
        """Watts paid from watts at the boundary: wall × PUE."""
        wall = self.wall_w(watts, boundary)
        return wall if boundary == "facility" else wall * self.pue


@dataclass(frozen=True, slots=True)
class World:
    """The market as drawn: shares and USD per SI unit.

    ``gain`` and ``offset`` are the meter's errors, common to all workloads and to idle, in
    standard deviations; the two ``_draw`` place a price within its range, 0 to 1, once for all
    token prices of a model.
    """

    usd_per_hash: Array
    pool_fee: Array
    usd_per_j: Array
    pue_asic: Array
    serve_utilisation: Array
    rent_utilisation: Array
    rent_cut: Array
    token_draw: Array
    rent_draw: Array
    node: Node
    gain: Array
    offset: Array
    random: np.random.Generator


@dataclass(frozen=True, slots=True)
class Load:
    """A measured workload: units/s, and watts at its boundary and at the facility."""

    record: WorkloadRecord
    units_per_s: Array
    watts: Array | None
    facility_w: Array | None


def draw_world(
    market: MarketProfile, device: DeviceFacts, gpu: GpuProfile | None, seed: int
) -> World:
    """Every uncertain input of the market, drawn within its range with its value as the median."""
    random = np.random.default_rng(seed)

    def drawn(value: Value) -> Array:
        return spread(value, random.random(DRAWS))

    btc, difficulty = drawn(market.btc_usd), drawn(market.difficulty)
    moved = (btc / market.btc_usd.value) / (difficulty / market.difficulty.value)
    return World(
        usd_per_hash=market.hashprice_usd_per_hash.value * moved,
        pool_fee=drawn(market.pool_fee),
        usd_per_j=drawn(market.power_usd_per_j),
        pue_asic=drawn(market.pue_asic),
        serve_utilisation=drawn(market.serve_utilisation),
        rent_utilisation=drawn(market.rent_utilisation),
        rent_cut=drawn(market.rent_cut),
        token_draw=random.random(DRAWS),
        rent_draw=random.random(DRAWS),
        node=_node(market, device, gpu, random),
        gain=random.standard_normal(DRAWS),
        offset=random.standard_normal(DRAWS),
        random=random,
    )


def draw_load(world: World, record: WorkloadRecord | None) -> Load | None:
    """A workload with the doubt of its estimates; null where no rate was measured."""
    if record is None or record.metrics.units_per_s is None:
        return None
    metrics, rate = record.metrics, record.metrics.units_per_s
    rates = _noisy(rate.mid, _sigma(rate) * world.random.standard_normal(DRAWS))
    own = metrics.joules_per_unit
    if own is None or own.mid <= 0:
        return Load(record, rates, None, None)
    doubt = _doubt(metrics)
    middle_w = (metrics.joules_per_unit_absolute or own).mid * rate.mid
    error = doubt.own_u * world.random.standard_normal(DRAWS)
    watts = _read_w(world, doubt, middle_w, error) * rates / rate.mid
    return Load(record, rates, watts, world.node.facility_w(watts, metrics.boundary))


def draw_idle_w(world: World, idle: Idle, load: Load) -> Array | None:
    """Facility watts while nothing runs; unmeasured, any share of the load's watts is possible."""
    if load.watts is None:
        return None
    metrics = load.record.metrics
    if idle.watts is None:
        watts = load.watts * np.concatenate(([0.5], world.random.random(DRAWS)))
    else:
        middle_w = (idle.watts_absolute or idle.watts).mid
        watts = _read_w(world, _doubt(metrics), middle_w, constant(0.0)[1:])
    return world.node.facility_w(watts, metrics.boundary)


def spread(value: Value, draw: Array) -> Array:
    """Half the draws below the value, half above, evenly out to the ends of its range."""
    if value.low is None or value.high is None:
        return constant(value.value)
    ends = [value.low, value.value, value.high]
    return np.concatenate(([value.value], np.interp(draw, [0.0, 0.5, 1.0], ends)))


def constant(number: float) -> Array:
    """A number that no draw moves."""
    return np.full(DRAWS + 1, number)


def money(values: Array, factor: float) -> Money:
    """The middle and the percentiles of the draws, each times ``factor``."""
    p10, p50, p90 = np.percentile(values[1:] * factor, [10, 50, 90])
    return Money(float(values[0] * factor), float(p10), float(p50), float(p90))


def _node(
    market: MarketProfile, device: DeviceFacts, gpu: GpuProfile | None, random: np.random.Generator
) -> Node:
    factor: Value | None = None
    if gpu is not None:
        host, supply, whose = gpu.host_w, gpu.psu_efficiency, f"gpu {gpu.name}"
    else:
        host, supply, whose = market.cpu_host_w, market.cpu_psu_efficiency, f"market {market.name}"
        factor = None if device.kind == "cpu" else market.gpu_wall_factor
    used = [host, supply] if factor is None else [factor]
    source = f"{whose}: " + "; ".join(f"{value.source} ({value.flag})" for value in used)
    draws = [spread(v, random.random(DRAWS)) for v in (host, supply, market.pue_gpu)]
    return Node(
        host_w=draws[0],
        psu_efficiency=draws[1],
        factor=None if factor is None else spread(factor, random.random(DRAWS)),
        pue=draws[2],
        source=source,
    )


def _sigma(estimate: Estimate) -> float:
    """Relative standard deviation of a 95 % interval."""
    return (estimate.hi - estimate.lo) / (2 * Z95 * abs(estimate.mid)) if estimate.mid else 0.0


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What may be wrong with a workload's joules: gain and offset (W) are the meter's, whatever
    it reads; ``own_u`` (relative) is this workload's alone."""

    gain_u: float
    offset_u_w: float
    own_u: float


def _doubt(metrics: Metrics) -> _Doubt:
    """Taken apart along the budget; without one, all beyond repeatability is gain."""
    own, absolute = metrics.joules_per_unit, metrics.joules_per_unit_absolute
    rate = metrics.units_per_s
    if own is None or rate is None:
        return _Doubt(0.0, 0.0, 0.0)
    if absolute is None or not metrics.budget:
        beyond = 0.0 if absolute is None else _sigma(absolute) ** 2 - _sigma(own) ** 2
        return _Doubt(math.sqrt(max(beyond, 0.0)), 0.0, _sigma(own))
    parts = {GAIN: 0.0, OFFSET: 0.0, "own": 0.0}
    for line in metrics.budget:
        name = line.name if line.name in parts else "own"
        parts[name] = math.hypot(parts[name], line.relative_u)
    return _Doubt(parts[GAIN], parts[OFFSET] * absolute.mid * rate.mid, parts["own"])


def _read_w(world: World, doubt: _Doubt, middle_w: float, error: Array) -> Array:
    """Power as it may be behind a reading: gain scales it, offset shifts it."""
    watts = _noisy(middle_w, error + doubt.gain_u * world.gain)
    watts[1:] -= doubt.offset_u_w * world.offset
    return np.maximum(watts, LEAST_SHARE * middle_w)


def _noisy(middle: float, exponent: Array) -> Array:
    return np.concatenate(([middle], middle * np.exp(exponent)))
