"""One card at one point as drawn: rates, and watts from board to the meter that is paid. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bench.economics.card import wall_w
from bench.economics.units import Array
from bench.predict.calibrate import Factor
from bench.predict.draws import Stage
from bench.predict.limits import Pace, hash_limit, most_rows, pace
from bench.predict.point import Asked
from bench.predict.priors import (
    IDLE_SHARE,
    PREFILL_OVER_DECODE_POWER,
    PRIORS,
    TPOT_MARGIN,
    Kind,
    decode_share,
)
from bench.records.market import GpuProfile
from bench.records.run import Estimate
from bench.roofline import ALU_LANES

Factors = Mapping[Kind, Factor]
NOMINAL_LANES_HALF = 0.30
"""Relative half-width of a hash rate on a card whose datasheet names more than 64 integer lanes:
published rates and the datasheet disagree."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A card as it is priced: ``name`` tells its row from others of the same model."""

    name: str
    gpu: GpuProfile
    factors: Factors
    idle_w: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Sides:
    """Board watts, and the same power at the wall and at the facility."""

    board_w: Array
    wall_w: Array
    facility_w: Array


@dataclass(frozen=True, slots=True)
class Serving:
    """Tokens at a point: generated tokens a second, p99 of TPOT at the middle (s), power."""

    batch: int
    tokens_per_s: Array
    tpot_s: float
    power: Sides


@dataclass(frozen=True, slots=True)
class Hashing:
    """Hashes a second and the power that takes."""

    hashes_per_s: Array
    power: Sides


@dataclass(frozen=True, slots=True)
class Card:
    """A card at work at a point; ``hashing`` is null where no audit speaks of it."""

    subject: Subject
    asked: Asked
    serving: Serving
    hashing: Hashing | None
    idle: Sides

    @property
    def busiest(self) -> Sides:
        """The power of the heavier workload: what a tenant is taken to use."""
        both = [self.serving.power] + ([self.hashing.power] if self.hashing else [])
        return max(both, key=lambda power: power.board_w[0])


def at_work(subject: Subject, asked: Asked, stage: Stage, hashed: Hashing | None) -> Card | None:
    """The card at the point, ``hashed`` beside; null where no batch keeps the bound on TPOT."""
    batch = choose_batch(subject, asked)
    if batch is None:
        return None
    return Card(
        subject=subject,
        asked=asked,
        serving=_serving(subject, asked, batch, stage),
        hashing=hashed,
        idle=_idling(subject, stage),
    )


def choose_batch(subject: Subject, asked: Asked) -> int | None:
    """The batch that was asked for, or the largest that fits and keeps TPOT; null if none does."""
    if asked.tpot_s is None:
        return asked.batch
    most = most_rows(subject.gpu, asked)
    met = bisect.bisect_right(
        range(1, most + 1), asked.tpot_s, key=lambda rows: tpot_p99_s(subject, asked, rows)
    )
    return met or None


def tpot_p99_s(subject: Subject, asked: Asked, batch: int) -> float:
    """The predicted p99 of the time per output token at a batch, by the middles, s."""
    roof, factors = pace(subject.gpu, asked, batch), subject.factors
    decode = factors["decode rate"].mid * decode_share(batch, asked.precision)
    prefill = factors["prefill rate"].mid * PRIORS["prefill rate"].mid
    reached = Pace(batch, roof.decode_s / decode, roof.prefill_s / prefill)
    return TPOT_MARGIN * reached.tpot_s(asked.output)


def hashing(subject: Subject, stage: Stage) -> Hashing | None:
    """A card hashing with the plain kernel; null where no audit speaks of it."""
    gpu, factor = subject.gpu, subject.factors["hash rate"]
    limit = hash_limit(gpu)
    if limit is None:
        return None
    if doubtful_lanes(gpu) and not factor.own:
        factor = replace(factor, half=max(factor.half, NOMINAL_LANES_HALF))
    drawn = stage.dice.factor(factor, subject.name, gpu.architecture, "hash rate")
    rate = limit * PRIORS["hash rate"].mid * drawn
    return Hashing(rate, _sides(gpu, _power(subject, "hash power", stage), stage))


def doubtful_lanes(gpu: GpuProfile) -> bool:
    """Whether the datasheet names more integer lanes than published hash rates show."""
    return gpu.int32_lanes.value > ALU_LANES


def _serving(subject: Subject, asked: Asked, batch: int, stage: Stage) -> Serving:
    """Prefill and decode in steady state: a row that ends makes room for a prefill."""
    gpu = subject.gpu
    roof = pace(gpu, asked, batch)
    decode = _rate(subject, "decode rate", stage) * decode_share(batch, asked.precision)
    prefill = _rate(subject, "prefill rate", stage) * PRIORS["prefill rate"].mid
    decode_s, prefill_s = roof.decode_s / decode / batch, roof.prefill_s / prefill / asked.output
    decode_w = _power(subject, "decode power", stage)
    limit = max(gpu.tdp_w.value, float(decode_w[0]))
    prefill_w = np.minimum(decode_w * PREFILL_OVER_DECODE_POWER, np.maximum(limit, decode_w))
    token_s = decode_s + prefill_s
    board_w = (decode_w * decode_s + prefill_w * prefill_s) / token_s
    return Serving(
        batch=batch,
        tokens_per_s=1 / token_s,
        tpot_s=tpot_p99_s(subject, asked, batch),
        power=_sides(gpu, board_w, stage),
    )


def _idling(subject: Subject, stage: Stage) -> Sides:
    """A card with its model loaded and nothing to do; by the prior where none was measured."""
    gpu, idle = subject.gpu, subject.idle_w
    mid = IDLE_SHARE.mid * gpu.tdp_w.value if idle is None else idle.mid
    factor = Factor(1.0, IDLE_SHARE.half if idle is None else 0.0, own=True)
    drawn = stage.dice.factor(factor, subject.name, gpu.architecture, "idle")
    return _sides(gpu, mid * drawn, stage)


def _sides(gpu: GpuProfile, board_w: Array, stage: Stage) -> Sides:
    """From the board to the meter that is paid: (P + host)/η, times PUE."""
    host = stage.dice.value(gpu.host_w, "host")
    supply = stage.dice.value(gpu.psu_efficiency, "supply")
    wall = wall_w(board_w, host, supply)
    return Sides(board_w, wall, wall * stage.pue)


def _rate(subject: Subject, kind: Kind, stage: Stage) -> Array:
    """Share of the prior's rate; decode and prefill are one software, and err alike."""
    return stage.dice.factor(subject.factors[kind], subject.name, subject.gpu.architecture, "rate")


def _power(subject: Subject, kind: Kind, stage: Stage) -> Array:
    """Board watts; one sensor's gain errs alike on both workloads, and TDP bounds a prediction."""
    factor, tdp_w = subject.factors[kind], subject.gpu.tdp_w.value
    drawn = stage.dice.factor(factor, subject.name, subject.gpu.architecture, "power")
    watts = PRIORS[kind].mid * tdp_w * drawn
    return watts if factor.own else np.minimum(watts, max(tdp_w, float(watts[0])))
