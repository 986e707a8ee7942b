"""What pytest-benchmark wrote, as the gate sees it: batches of rounds, and joules if any."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.gate.side import KIND, Gauge, Side
from bench.records.journal import JsonObject
from bench.records.run import Boundary, DeviceKind, Estimate, JoulesSource

MOST_BLOCKS = 10
PROCESSOR = ("brand_raw", "arch", "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundJoules:
    """What the fixture ``joule_benchmark`` leaves in ``extra_info``.

    Joules of one round, over its iterations as pytest-benchmark's times are; ``blocks_j`` the same
    of each metered stretch, in time order. Null and empty with a ``reason``.
    """

    schema: Literal["joulemark/pytest/1"] = "joulemark/pytest/1"
    joules_per_round: Estimate | None = None
    watts: Estimate | None = None
    reason: str | None = None
    blocks_j: tuple[float, ...] = ()
    rounds: int = 0
    device: str | None = None
    device_kind: DeviceKind | None = None
    power_limit_w: float | None = None
    boundary: Boundary | None = None
    joules_source: JoulesSource = "unavailable"
    meter: str | None = None
    codes: tuple[str, ...] = ()
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Rounds:
    """Seconds of each round, over its iterations; absent from a file saved without its data."""

    iterations: int
    data: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExtraInfo:
    """Of all that a test may note, what is ours."""

    joulemark: RoundJoules | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One test."""

    fullname: str
    stats: Rounds
    extra_info: ExtraInfo = field(default_factory=ExtraInfo)


@dataclass(frozen=True, slots=True)
class BenchmarkFile:
    """The part of pytest-benchmark's JSON that the gate reads."""

    machine_info: dict[str, Any]
    benchmarks: tuple[Benchmark, ...]


def side_of_rounds(file: BenchmarkFile) -> Side:
    """A benchmark session as the gate sees it."""
    gauges = tuple(gauge for each in file.benchmarks for gauge in _gauges(each))
    known = [each.extra_info.joulemark for each in file.benchmarks]
    on_card = bool(known) and all(each and each.device_kind == "gpu" for each in known)
    boundaries = [each.boundary for each in known if each and each.boundary]
    boundary = boundaries[0] if boundaries else "package"
    return Side(_machine(file.machine_info), gauges, on_card, boundary)


def batches(rounds: Sequence[float]) -> tuple[float, ...]:
    """Medians of at most ten batches of rounds that follow each other, in time order."""
    count = min(MOST_BLOCKS, len(rounds))
    edges = [len(rounds) * k // count for k in range(count + 1)] if count else []
    return tuple(statistics.median(rounds[a:b]) for a, b in itertools.pairwise(edges))


def _machine(info: dict[str, Any]) -> JsonObject:
    cpu = info.get("cpu")
    processor = cpu if isinstance(cpu, dict) else {}
    return {
        KIND: "host",
        "processor": ", ".join(str(processor[key]) for key in PROCESSOR if key in processor),
        "system": f"{info.get('system')} {info.get('machine')}",
        "python": f"{info.get('python_implementation')} {info.get('python_version')}",
    }


def _gauges(test: Benchmark) -> Iterator[Gauge]:
    seconds = test.stats.data
    timed = bool(seconds) and all(each > 0 for each in seconds or ())
    lacking = "a round took no time" if seconds else "saved without its rounds: --benchmark-json"
    rates = tuple(1 / each for each in batches(seconds or ())) if timed else ()
    yield Gauge(test.fullname, "units_per_s", "round", rates, {}, None if timed else lacking)
    known = test.extra_info.joulemark
    if known is None:
        return
    believed = not known.invalid and all(each > 0 for each in known.blocks_j)
    values = known.blocks_j if believed else ()
    asked: JsonObject = {
        "device": known.device,
        "power limit": known.power_limit_w,
        "boundary": known.boundary,
        "source of the joules": known.joules_source,
    }
    reason = known.reason or (f"invalid: {', '.join(known.codes)}" if known.invalid else None)
    yield Gauge(
        test.fullname, "joules_per_unit", "round", values, asked,
        None if values else reason or "no joules",
    )  # fmt: skip
