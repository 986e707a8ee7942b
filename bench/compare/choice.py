"""Which run stands for a card: its best point under a bound, or the baseline's own point. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.compare.entry import Entry


@dataclass(frozen=True, slots=True)
class Asked:
    """How cards are held against each other: at the baseline's precision and batch where
    ``like_for_like``, else each at its fastest point whose TPOT p99 is within ``tpot_s``."""

    like_for_like: bool
    tpot_s: float

    @property
    def text(self) -> str:
        """In words, for a title."""
        if self.like_for_like:
            return "like for like"
        return f"each at its best under TPOT p99 = {self.tpot_s * 1e3:g} ms"


def missed(entry: Entry, base: Entry, asked: Asked) -> str | None:
    """Why the point of ``entry`` is not the one that is asked; null where it is."""
    if entry.workload.unit != "token":
        return None
    if entry.lengths != base.lengths:
        return "its requests are of other lengths"
    if asked.like_for_like:
        return None if entry.point == base.point else "its precision or batch is another"
    if entry.tpot_s is not None and entry.tpot_s > asked.tpot_s:
        bound = f"{asked.tpot_s * 1e3:g} ms"
        return f"TPOT p99 {entry.tpot_s * 1e3:.3g} ms is above {bound}"
    return None


def baseline(entries: Sequence[Entry], asked: Asked) -> Entry:
    """The best run of the first card that may stand as one; without any, the first run."""
    fit = [each for each in entries if _fit(each, asked)]
    if not fit:
        return entries[0]
    own = [each for each in fit if each.card == fit[0].card]
    return fit[0] if asked.like_for_like else best(own, fit[0], asked)


def best(entries: Sequence[Entry], base: Entry, asked: Asked) -> Entry:
    """The run of one card that says most: comparable with ``base``, then trusted, then best.

    Tokens by rate, hashes by joules, else by rate.
    """
    return max(entries, key=lambda each: _merit(each, base, asked))


def _fit(entry: Entry, asked: Asked) -> bool:
    return entry.trusted and entry.off_default is None and missed(entry, entry, asked) is None


def _merit(entry: Entry, base: Entry, asked: Asked) -> tuple[bool, bool, bool, bool, float, float]:
    joules = entry.workload.metrics.joules_per_unit
    thrift = -joules.mid if joules is not None and entry.workload.unit == "hash" else -math.inf
    return (
        entry.model == base.model,
        entry.trusted,
        missed(entry, base, asked) is None,
        entry.ranked,
        thrift,
        entry.rate,
    )
