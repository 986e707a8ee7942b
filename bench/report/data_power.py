"""What the values of the weights do to the power: kinds of data side by side on one device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.records.record import RunRecord
from bench.records.run import Boundary, Estimate, Metrics
from bench.report.sheet import Cell, Column, Sheet

YARDSTICK = "fan-in"
TRUSTED = ("valid", "labelled")
COLUMNS = (
    Column("data", "weights"),
    Column("joules_per_token", "energy/token", "J/token", 4),
    Column("joules_per_token_percent", "energy ±", "%", 2),
    Column("ratio", "of fan-in", None, 4),
    Column("ratio_half", "ratio ±", None, 2),
    Column("tokens_per_s", "rate", "tok/s", 4),
    Column("tokens_per_s_percent", "rate ±", "%", 2, optional=True),
    Column("watts", "power", "W", 4),
    Column("toggles", "toggles", "bit/word", 3),
    Column("logit_std", "logit std", None, 3),
    Column("distinct_tokens", "distinct"),
    Column("run", "runs"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of weights and the runs that decoded with it."""

    name: str
    records: tuple[RunRecord, ...]

    @property
    def metrics(self) -> tuple[Metrics, ...]:
        """Of the runs that may be trusted."""
        trusted = (r for r in self.records if r.validity.status in TRUSTED)
        return tuple(w.metrics for record in trusted for w in record.workloads)

    @property
    def joules_per_token(self) -> Estimate | None:
        """Over its runs."""
        return together(each.joules_per_unit for each in self.metrics)

    @property
    def tokens_per_s(self) -> Estimate | None:
        """Over its runs."""
        return together(each.units_per_s for each in self.metrics)

    @property
    def watts(self) -> Estimate | None:
        """Over its runs."""
        return together(each.watts for each in self.metrics)

    @property
    def profile(self) -> dict[str, Any]:
        """What the device computed on, as a run saw it."""
        profiles = (w.data_profile for record in self.records for w in record.workloads)
        return next((each for each in profiles if each), {})

    @property
    def status(self) -> str:
        """Of its runs, each said once."""
        return ", ".join(dict.fromkeys(record.validity.status for record in self.records))


def together(estimates: Iterable[Estimate | None]) -> Estimate | None:
    """The mean of several runs of the same, with an interval that holds those of all of them.

    Runs minutes apart differ by what a run's own blocks do not show (heat above all), so their
    intervals are not averaged down.
    """
    known = [each for each in estimates if each is not None]
    if not known:
        return None
    mid = math.fsum(each.mid for each in known) / len(known)
    lo, hi = min(each.lo for each in known), max(each.hi for each in known)
    return Estimate(mid, lo, hi, sum(each.n for each in known))


def ratio(one: Estimate | None, other: Estimate | None) -> Estimate | None:
    """one / other with an interval: relative half-widths add in quadrature (GUM 5.1.6)."""
    if one is None or other is None or one.mid == 0 or other.mid == 0:
        return None
    mid = one.mid / other.mid
    half = abs(mid) * math.hypot(_half(one) / one.mid, _half(other) / other.mid)
    return Estimate(mid, mid - half, mid + half, min(one.n, other.n))


def sheet(kinds: Sequence[Kind], point: str) -> Sheet:
    """A row a kind in the order asked; ``point`` says where decoding was measured."""
    yardstick = next((kind.joules_per_token for kind in kinds if kind.name == YARDSTICK), None)
    rows = tuple((kind.name, *_cells(kind, yardstick), kind.status) for kind in kinds)
    record = kinds[0].records[0]
    title = f"{point} on {record.device.name}, by its weights"
    return Sheet(title, _boundary(kinds), COLUMNS, rows, tuple(_notes(kinds, yardstick)))


def _cells(kind: Kind, yardstick: Estimate | None) -> tuple[Cell, ...]:
    joules, rate, watts = kind.joules_per_token, kind.tokens_per_s, kind.watts
    share = ratio(joules, yardstick)
    return (
        None if joules is None else joules.mid,
        _percent(joules),
        None if share is None else share.mid,
        None if share is None else _half(share),
        None if rate is None else rate.mid,
        _percent(rate),
        None if watts is None else watts.mid,
        *(kind.profile.get(key) for key in ("toggles", "logit_std", "distinct_tokens")),
    )


def _notes(kinds: Sequence[Kind], yardstick: Estimate | None) -> Iterator[str]:
    yield (
        "Each kind ran in an order and in its reverse, so that what drifts evenly cancels;"
        " ± spans the 95 % intervals of its runs."
    )
    if yardstick is None:
        yield "No ratio: no joules of fan-in weights are known."
    for reason in dict.fromkeys(m.reason for kind in kinds for m in kind.metrics if m.reason):
        yield f"Joules: {reason}."
    for kind in kinds:
        if reasons := kind.profile.get("degenerate"):
            yield f"{kind.name} is unlike real weights: {'; '.join(reasons)}."


def _boundary(kinds: Sequence[Kind]) -> Boundary:
    known = (metrics.boundary for kind in kinds for metrics in kind.metrics)
    cpu = kinds[0].records[0].device.kind == "cpu"
    return next(known, "package" if cpu else "board")


def _half(estimate: Estimate) -> float:
    return (estimate.hi - estimate.lo) / 2


def _percent(estimate: Estimate | None) -> float | None:
    """Half the interval, in percent of its middle."""
    if estimate is None or estimate.mid == 0:
        return None
    return 100 * _half(estimate) / abs(estimate.mid)
