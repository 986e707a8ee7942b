"""The decision drawn from a run and a market. SI and USD inside.

All types here survive ``dataclasses.asdict`` followed by JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.records.run import Boundary, Estimate

VerdictCode = Literal["SERVE", "MINE", "RENT", "OFF", "TOO CLOSE", "NO MARKET", "UNDECIDED"]
UseCode = Literal["OFF", "MINE", "SERVE", "RENT"]
Label = Literal["robust", "leaning"]
ReferenceRole = Literal["best", "median", "user"]
RungKind = Literal["asic", "option"]
Basis = Literal["kwh", "device-hour"]
FlipWhat = Literal[
    "token price", "rent price", "BTC price", "power price", "hours served", "hours rented"
]


@dataclass(frozen=True, slots=True)
class Money:
    """An amount at the stated inputs (``mid``) and the percentiles of the Monte Carlo."""

    mid: float
    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Option:
    """One use of the card. kWh are those paid at the facility, idle share included.

    ``joules_per_unit`` and ``joules_per_unit_net`` stand at ``boundary``; ``wall_factor`` is
    wall over boundary under this load, ``utilisation`` the share of hours that earn. ``_net``
    money is net of electricity (the card is owned: marginal), ``_full`` of capital and colocation
    too. Null money has its ``reason``, null full money its ``full_reason``.
    """

    code: UseCode
    what: str
    unit: str | None = None
    units_per_s: Estimate | None = None
    joules_per_unit: Estimate | None = None
    joules_per_unit_net: Estimate | None = None
    boundary: Boundary | None = None
    wall_factor: float | None = None
    wall_factor_source: str | None = None
    pue: float | None = None
    utilisation: float | None = None
    usd_per_kwh: Money | None = None
    usd_per_kwh_net: Money | None = None
    usd_per_device_h: Money | None = None
    usd_per_device_h_net: Money | None = None
    reason: str | None = None
    usd_per_kwh_full: Money | None = None
    usd_per_device_h_full: Money | None = None
    full_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """The same paid kWh in a machine that is not this card: nameplate, never an option."""

    role: ReferenceRole
    name: str
    title: str
    joules_per_hash: float
    pue: float
    usd_per_kwh: Money
    usd_per_kwh_net: Money
    source: str
    usd_per_kwh_full: Money | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """Where the answer changes: ``winner`` beats ``loser`` once ``what`` is beyond ``at``.

    ``at`` and ``now`` are in ``unit``; ``ratio`` is at over now; ``at_btc`` is the same threshold
    in bitcoin instead of dollars. Null ``at`` has its ``reason``.
    """

    what: FlipWhat
    winner: str
    loser: str
    direction: Literal["above", "below"]
    unit: str
    now: float | None
    at: float | None
    ratio: float | None
    at_btc: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the strike-price ladder: it pays below ``break_even_usd_per_kwh`` of power.

    kWh are paid at the facility. ``runs`` says whether it pays at the market's power price,
    ``mark`` what the figure rests on ("measured", "nameplate", or the flags of its sources).
    """

    name: str
    kind: RungKind
    break_even_usd_per_kwh: Money
    runs: bool
    mark: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """The token price at which a facility joule earns the same in ``asic``."""

    joules_per_token: float
    asic: str
    usd_per_token: float


@dataclass(frozen=True, slots=True)
class Swing:
    """What one input does to the best use's money within its own range, all else in the middle.

    ``low`` and ``high`` are its 10th and 90th percentile in ``unit``; ``at_low`` and ``at_high``
    the USD per device-hour of the best use there, of full cost where ``full``, else net of
    electricity; ``best_at_low`` and ``best_at_high`` lead there.
    """

    what: str
    unit: str
    low: float
    high: float
    at_low: float
    at_high: float
    full: bool
    best_at_low: UseCode
    best_at_high: UseCode


@dataclass(frozen=True, slots=True)
class FlipGrid:
    """Which use leads where two inputs stand: ``leaders[y][x]`` at ``ys[y]`` and ``xs[x]``."""

    across: str
    across_unit: str
    xs: tuple[float, ...]
    down: str
    down_unit: str
    ys: tuple[float, ...]
    leaders: tuple[tuple[UseCode | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Aged:
    """A dated price that the decision used, and how old it may be before it is stale."""

    what: str
    as_of: str
    age_days: int
    limit_days: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: a code word for machines, a sentence for people, and what it rests on.

    ``options`` stand best first by the median of net money per paid kWh (per device-hour where
    joules are unknown), those without a figure last. ``flips`` swap the first of them, exactly
    there; ``break_evens`` are thresholds against what is no option: an ASIC, or tokens unsold.
    All money stands at ``boundary``, the meter that is paid. ``assumptions`` say in words what was
    taken for granted because nobody measured it.

    ``probability`` is that of the best option beating ``runner_up`` by more than 2 % of its
    worth on ``basis``. ``oldest`` is the oldest price used; ``stale`` is true if any is.
    """

    code: VerdictCode
    label: Label | None
    sentence: str
    options: tuple[Option, ...]
    references: tuple[Reference, ...]
    flips: tuple[Flip, ...]
    probability: float | None
    best: UseCode | None
    runner_up: UseCode | None
    basis: Basis | None
    oldest: Aged | None
    stale: bool
    seed: int
    boundary: Boundary = "facility"
    break_evens: tuple[Flip, ...] = ()
    ladder: tuple[Rung, ...] = ()
    exchange: Exchange | None = None
    swings: tuple[Swing, ...] = ()
    ages: tuple[Aged, ...] = ()
    assumptions: tuple[str, ...] = ()
