"""A simulated card under another power limit: an assumption about how cards slow down, no more.

A load that would draw more than the limit runs at the share f of the boost clock at which it draws
just the limit: ``P(f) = fixed + (P(1) − fixed)·f^EXPONENT``, where ``fixed`` is idle power and, for
a workload bound by memory, the memory's share of the rest. Hashing slows in proportion to f,
decoding less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.records.run import Truth
from bench.simulate.card import Card

EXPONENT = 2.5
"""Dynamic power over clock: between 1 (voltage fixed) and 3 (voltage in proportion). Assumed."""
LEAST_CLOCK = 0.2
"""Of the boost clock: below it a card goes no further, whatever its limit. Assumed."""
LEAST_LIMIT = 0.3
"""Of the rated power: the lowest limit that a simulated card takes. Assumed."""


@dataclass(frozen=True, slots=True)
class Slowing:
    """``memory`` is the share of the power above idle that no SM clock moves, ``rate`` the
    exponent of the rate over the clock."""

    memory: float
    rate: float


_DECODING, _PREFILLING = Slowing(0.25, 0.3), Slowing(0.1, 0.8)
BY_WORKLOAD = {
    "sha256d": Slowing(0.0, 1.0),
    "decode": _DECODING,
    "prefill": _PREFILLING,
    "serve": Slowing(0.2, 0.4),
    "serve.decode": _DECODING,
    "serve.prefill": _PREFILLING,
}
"""All of hashing is on the SMs; decoding waits for memory most of the time, prefill seldom; serving
is mostly decoding. Assumed."""


def limit_range_w(card: Card) -> tuple[float, float]:
    """The lowest and the highest power limit that the card takes, W."""
    rated_w = card.rated_w or card.limit_w
    return LEAST_LIMIT * rated_w, rated_w


def limited(card: Card, limit_w: float) -> Card:
    """An unlimited card under ``limit_w``: its known answers, clocks and limit are those there.

    ValueError when it takes no such limit.
    """
    least_w, most_w = limit_range_w(card)
    if not least_w <= limit_w <= most_w:
        raise ValueError(f"{card.name} takes a limit of {least_w:g} to {most_w:g} W")
    slowed = {
        name: share for name in card.truth if (share := clock_share(card, name, limit_w)) < 1.0
    }
    truth = {name: _slower(card, name, slowed.get(name, 1.0)) for name in card.truth}
    return replace(card, limit_w=limit_w, rated_w=most_w, slowed=slowed, truth=truth)


def clock_share(card: Card, workload: str, limit_w: float) -> float:
    """The share of the boost clock that the limit leaves the workload, ``LEAST_CLOCK`` to 1."""
    fixed_w, full_w = _fixed_w(card, workload), card.load_w(workload)
    if full_w <= max(limit_w, card.idle_w):
        return 1.0
    room = max(limit_w - fixed_w, 0.0) / (full_w - fixed_w)
    return float(max(room ** (1 / EXPONENT), LEAST_CLOCK))


def _slower(card: Card, workload: str, share: float) -> Truth:
    known = card.truth[workload]
    if share == 1.0:
        return known
    fixed_w = _fixed_w(card, workload)
    watts = fixed_w + (card.load_w(workload) - fixed_w) * share**EXPONENT
    units_per_s = known.units_per_s * share ** BY_WORKLOAD[workload].rate
    return Truth(watts / units_per_s, units_per_s)


def _fixed_w(card: Card, workload: str) -> float:
    """What the workload draws at any clock, W."""
    above_idle_w = card.load_w(workload) - card.idle_w
    return card.idle_w + BY_WORKLOAD[workload].memory * above_idle_w
