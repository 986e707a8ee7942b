"""Percentiles of latencies by nearest rank, as every workload reports them."""

from __future__ import annotations

from collections.abc import Iterable

Percentiles = dict[str, float | int]


def percentiles(latencies: Iterable[float]) -> Percentiles:
    """p50_s, p90_s, p99_s of seconds, and n; of nothing n alone."""
    return counted((latency, 1) for latency in latencies)


def counted(latencies: Iterable[tuple[float, int]]) -> Percentiles:
    """The same of (seconds, how often)."""
    ranked = sorted(latencies)
    total = sum(count for _, count in ranked)
    if not total:
        return {"n": 0}
    figures: Percentiles = {}
    for percent in (50, 90, 99):
        rank, passed = -(-percent * total // 100), 0
        for seconds, count in ranked:
            passed += count
            if passed >= rank:
                figures[f"p{percent}_s"] = seconds
                break
    return figures | {"n": total}
