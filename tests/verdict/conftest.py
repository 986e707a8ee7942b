"""A card that was measured, a market that is known, and the judge over both."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any, Protocol

import pytest

from bench.catalogue import apply_sets, load_asics, load_gpu, load_market
from bench.records.decision import Decision
from bench.records.market import MarketProfile, ModelConfig
from bench.records.run import (
    DeviceFacts,
    Estimate,
    Idle,
    Metrics,
    Validity,
    Verified,
    WorkloadRecord,
)
from bench.verdict import judge
from bench.verdict.case import Case

TODAY = date(2026, 11, 22)


def estimate(mid: float, spread: float = 0.005) -> Estimate:
    return Estimate(mid, mid * (1 - spread), mid * (1 + spread), 10)


def workload(
    name: str,
    units_per_s: float | None,
    watts: float | None,
    boundary: Any = "board",
    **config: Any,
) -> WorkloadRecord:
    """One measured workload; without watts it has no joules, without a rate no figures."""
    joules = None if watts is None or units_per_s is None else watts / units_per_s
    known = joules is not None
    metrics = Metrics(
        units_per_s=None if units_per_s is None else estimate(units_per_s),
        watts=None if watts is None else estimate(watts),
        boundary=boundary,
        joules_per_unit=estimate(joules) if joules is not None else None,
        joules_per_unit_absolute=estimate(joules, 0.13) if joules is not None else None,
        joules_per_unit_net=None,
        joules_source="measured-counter" if known else "unavailable",
        reason=None if known else "no meter",
    )
    hashing = name == "sha256d"
    return WorkloadRecord(
        name=name,
        backend="numba-cpu" if hashing else "torch",
        tier=None if hashing else "T1",
        unit="hash" if hashing else "token",
        config=config,
        data_profile=None,
        verified=Verified(True, ()),
        windows=(),
        metrics=metrics,
    )


class Judge(Protocol):
    def __call__(self, *sets: str, **changes: Any) -> Decision: ...


@pytest.fixture(scope="session")
def today() -> date:
    return TODAY


@pytest.fixture(scope="session")
def market() -> MarketProfile:
    return load_market("default")


@pytest.fixture(scope="session")
def measured() -> Callable[..., WorkloadRecord]:
    return workload


@pytest.fixture(scope="session")
def micro() -> ModelConfig:
    return ModelConfig("micro", None, None, {}, "2026-11", "test")


@pytest.fixture(scope="session")
def decide(market: MarketProfile) -> Judge:
    """Judge an H100 that hashes and decodes 8b; ``sets`` as on the command line."""
    given: dict[str, Any] = {
        "device": DeviceFacts("gpu", "NVIDIA H100 80GB HBM3"),
        "workloads": [
            workload("sha256d", 7.1e9, 480.0),
            workload("decode", 5893.0, 560.0, precision="bf16", batch=64, context=1024),
        ],
        "validity": Validity("valid", ()),
        "idle": Idle(estimate(70.0)),
        "market": market,
        "model": ModelConfig("8b", "Llama-3.1-8B", None, {}, "2026-11", "test"),
        "gpu": load_gpu("h100"),
        "asics": load_asics(market),
        "today": TODAY,
        "seed": 7,
    }

    def call(*sets: str, **changes: Any) -> Decision:
        inputs = given | changes
        market = apply_sets(inputs.pop("market"), sets, today=TODAY)
        fields = ("device", "workloads", "idle", "model", "gpu", "seed")
        return judge(Case(*(inputs.pop(name) for name in fields)), market, **inputs)

    return call


@pytest.fixture
def bare(decide: Judge, micro: ModelConfig) -> Judge:
    """Judge a CPU that no market knows: no rent, no token price; ``watts`` null is no meter."""

    def call(*sets: str, watts: float | None = 40.0, **changes: Any) -> Decision:
        given: dict[str, Any] = {
            "device": DeviceFacts("cpu", "a CPU"),
            "gpu": None,
            "model": micro,
            "idle": Idle(None if watts is None else estimate(10.0)),
            "workloads": [
                workload("sha256d", 20e6, watts, "package"),
                workload("decode", 5000.0, watts, "package", precision="fp32", batch=8),
            ],
        }
        return decide(*sets, **(given | changes))

    return call


@pytest.fixture(scope="session")
def scaled() -> Callable[[MarketProfile, float], MarketProfile]:
    """The same market with every price times a factor."""

    def price(value: Any, factor: float) -> Any:
        ends = {
            k: None if (v := getattr(value, k)) is None else v * factor for k in ("low", "high")
        }
        return replace(value, value=value.value * factor, **ends)

    def scale(market: MarketProfile, factor: float) -> MarketProfile:
        return replace(
            market,
            btc_usd=price(market.btc_usd, factor),
            hashprice_usd_per_hash=price(market.hashprice_usd_per_hash, factor),
            power_usd_per_j=price(market.power_usd_per_j, factor),
            tokens=tuple(
                replace(
                    t,
                    in_usd_per_token=price(t.in_usd_per_token, factor),
                    out_usd_per_token=price(t.out_usd_per_token, factor),
                )
                for t in market.tokens
            ),
            rents=tuple(replace(r, usd_per_s=price(r.usd_per_s, factor)) for r in market.rents),
        )

    return scale
