"""The record of one run, whole: what ``<run_id>.json`` holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.records.decision import Decision
from bench.records.journal import JsonObject
from bench.records.market import AsicProfile, GpuProfile, MarketProfile, ModelConfig
from bench.records.run import (
    DeviceFacts,
    GradeName,
    Idle,
    MeterFacts,
    Validity,
    WorkloadRecord,
)

SCHEMA: Literal["joulemark/run/1"] = "joulemark/run/1"


@dataclass(frozen=True, slots=True)
class Software:
    """The code that ran, and the version that derived the figures from the journal."""

    version: str
    git: str | None
    python: str
    packages: dict[str, str]
    kernel_sha256: dict[str, str]
    derived_by: str


StepName = Literal[
    "prepare", "verify", "calibrate", "idle", "warmup", "steady", "observer", "phase", "block"
]


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a run; ``settle_s`` pass before its ``seconds`` count.

    ``poll_s`` is how often the meter is to look (s; 0: not at all; None: at its own pace),
    ``group_s`` the launch-group length that a workload is prepared with; for ``run_out_s`` its
    load goes on after the window, since the last readings look beyond it. A "phase" step runs one
    ``part`` of its workload alone.
    """

    name: StepName
    workload: str | None
    seconds: float
    settle_s: float = 0.0
    poll_s: float | None = None
    group_s: float | None = None
    run_out_s: float = 0.0
    part: str | None = None

    @property
    def total_s(self) -> float:
        """Seconds from the step's start to its end."""
        return self.settle_s + self.seconds + self.run_out_s


@dataclass(frozen=True, slots=True)
class Plan:
    """What the run set out to do, step by step; ``model`` is null where nothing is decoded."""

    grade: GradeName
    seed: int
    blocks: int
    block_s: float
    settle_s: float
    model: str | None
    market: str
    sets: tuple[str, ...]
    meter: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Profiles:
    """The dated facts beside the market that the verdict used, so that it can be drawn again."""

    model: ModelConfig | None
    gpu: GpuProfile | None
    asics: tuple[AsicProfile, ...]
    own_asic: AsicProfile | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, whole. ``metrics``, ``validity`` and ``verdict`` are derived from its journal.

    Format history: ``joulemark/run/1`` 2026-11, the first.
    """

    schema: Literal["joulemark/run/1"]
    run_id: str
    started_at: str
    finished_at: str
    software: Software
    host: JsonObject
    device: DeviceFacts
    meter: MeterFacts
    plan: Plan
    idle: Idle
    workloads: tuple[WorkloadRecord, ...]
    validity: Validity
    market: MarketProfile
    profiles: Profiles
    verdict: Decision
    journal_sha256: str | None = None
