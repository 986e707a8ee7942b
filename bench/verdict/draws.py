"""The market and the meter as a Monte Carlo sees them. Pure, deterministic in its seed.

Arrays hold one element more than there are draws: the first is the stated or measured middle, the
others are draws, so that one arithmetic gives both. Without draws only the middle is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.budget import GAIN, OFFSET
from bench.economics.card import wall_w
from bench.economics.units import Array
from bench.records.decision import Money
from bench.records.market import GpuProfile, MarketProfile, Value
from bench.records.run import Boundary, DeviceFacts, Estimate, Idle, Metrics, WorkloadRecord
from bench.verdict.owning import Owning, draw_owning

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
    """The market as drawn: shares and USD per SI unit; ``usd_per_hash_per_btc`` is hashprice at
    one USD per BTC.

    ``gain`` and ``offset`` are the meter's errors, common to all workloads and to idle, in
    standard deviations; the two ``_draw`` place a price within its range, 0 to 1, once for all
    token prices of a model.
    """

    usd_per_hash: Array
    usd_per_hash_per_btc: Array
    pool_fee: Array
    usd_per_j: Array
    pue_asic: Array
    serve_utilisation: Array
    rent_utilisation: Array
    rent_cut: Array
    token_draw: Array
    rent_draw: Array
    node: Node
    owning: Owning
    gain: Array
    offset: Array
    random: np.random.Generator
    draws: int

    def constant(self, number: float) -> Array:
        """A number that no draw moves."""
        return np.full(self.draws + 1, number)

    def noise(self, sigma: float) -> Array:
        """A normal deviation of its own, nothing in the middle."""
        return np.concatenate(([0.0], sigma * self.random.standard_normal(self.draws)))


@dataclass(frozen=True, slots=True)
class Load:
    """A measured workload: units/s, and watts at its boundary and at the facility."""

    record: WorkloadRecord
    units_per_s: Array
    watts: Array | None
    facility_w: Array | None


def draw_world(
    market: MarketProfile,
    device: DeviceFacts,
    gpu: GpuProfile | None,
    seed: int,
    *,
    draws: int = DRAWS,
    gain_z: float = 0.0,
) -> World:
    """Every uncertain input of the market, drawn within its range with its value as the median.

    The same seed gives each input the same draws whatever the others' values and ranges are.
    ``gain_z`` is the meter's gain in the middle, in standard deviations.
    """
    random = np.random.default_rng(seed)

    def drawn(value: Value) -> Array:
        return spread(value, _strata(random, draws))

    btc, difficulty = drawn(market.btc_usd), drawn(market.difficulty)
    moved = (btc / market.btc_usd.value) / (difficulty / market.difficulty.value)
    return World(
        usd_per_hash=market.hashprice_usd_per_hash.value * moved,
        usd_per_hash_per_btc=market.hashprice_usd_per_hash.value
        / market.btc_usd.value
        / (difficulty / market.difficulty.value),
        pool_fee=drawn(market.pool_fee),
        usd_per_j=drawn(market.power_usd_per_j),
        pue_asic=drawn(market.pue_asic),
        serve_utilisation=drawn(market.serve_utilisation),
        rent_utilisation=drawn(market.rent_utilisation),
        rent_cut=drawn(market.rent_cut),
        token_draw=_strata(random, draws),
        rent_draw=_strata(random, draws),
        node=_node(market, device, gpu, drawn),
        owning=draw_owning(market.capital, gpu, drawn),
        gain=np.concatenate(([gain_z], random.standard_normal(draws))),
        offset=np.concatenate(([0.0], random.standard_normal(draws))),
        random=random,
        draws=draws,
    )


def draw_load(world: World, record: WorkloadRecord | None) -> Load | None:
    """A workload with the doubt of its estimates; null where no rate was measured."""
    if record is None or record.metrics.units_per_s is None:
        return None
    metrics, rate = record.metrics, record.metrics.units_per_s
    rates = rate.mid * np.exp(world.noise(_sigma(rate)))
    own = metrics.joules_per_unit
    if own is None or own.mid <= 0:
        return Load(record, rates, None, None)
    doubt = _doubt(metrics)
    middle_w = (metrics.joules_per_unit_absolute or own).mid * rate.mid
    watts = _read_w(world, doubt, middle_w, world.noise(doubt.own_u)) * rates / rate.mid
    return Load(record, rates, watts, world.node.facility_w(watts, metrics.boundary))


def draw_idle_w(world: World, idle: Idle, load: Load) -> Array | None:
    """Facility watts while nothing runs; unmeasured, any share of the load's watts is possible."""
    if load.watts is None:
        return None
    metrics = load.record.metrics
    if idle.watts is None:
        watts = load.watts * np.concatenate(([0.5], world.random.random(world.draws)))
    else:
        middle_w = (idle.watts_absolute or idle.watts).mid
        watts = _read_w(world, _doubt(metrics), middle_w, world.constant(0.0))
    return world.node.facility_w(watts, metrics.boundary)


def spread(value: Value, draw: Array) -> Array:
    """Half the draws below the value, half above, evenly out to the ends of its range."""
    if value.low is None or value.high is None:
        return np.full(draw.size + 1, value.value)
    ends = [value.low, value.value, value.high]
    return np.concatenate(([value.value], np.interp(draw, [0.0, 0.5, 1.0], ends)))


def _strata(random: np.random.Generator, draws: int) -> Array:
    """Numbers from 0 to 1, one in each of ``draws`` equal parts, shuffled (Latin hypercube)."""
    return (random.permutation(draws) + random.random(draws)) / max(draws, 1)


def money(values: Array, factor: float) -> Money:
    """The middle and the percentiles of the draws, each times ``factor``."""
    p10, p50, p90 = np.percentile(drawn_part(values) * factor, [10, 50, 90])
    return Money(float(values[0] * factor), float(p10), float(p50), float(p90))


def median(values: Array) -> float:
    """The median of the draws, by which uses are ranked."""
    return float(np.median(drawn_part(values)))


def drawn_part(values: Array) -> Array:
    """The draws, or the middle where there are none."""
    return values[1:] if values.size > 1 else values


def _node(
    market: MarketProfile,
    device: DeviceFacts,
    gpu: GpuProfile | None,
    drawn: Callable[[Value], Array],
) -> Node:
    factor: Value | None = None
    if gpu is not None:
        host, supply, whose = gpu.host_w, gpu.psu_efficiency, f"gpu {gpu.name}"
    else:
        host, supply, whose = market.cpu_host_w, market.cpu_psu_efficiency, f"market {market.name}"
        factor = None if device.kind == "cpu" else market.gpu_wall_factor
    used = [host, supply] if factor is None else [factor]
    source = f"{whose}: " + "; ".join(f"{value.source} ({value.flag})" for value in used)
    draws = [drawn(value) for value in (host, supply, market.pue_gpu)]
    return Node(
        host_w=draws[0],
        psu_efficiency=draws[1],
        factor=None if factor is None else drawn(factor),
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
    watts = middle_w * np.exp(error + doubt.gain_u * world.gain)
    return np.maximum(watts - doubt.offset_u_w * world.offset, LEAST_SHARE * middle_w)
