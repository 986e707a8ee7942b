"""One run as the judge sees it, to be valued in any market. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.decision import UseCode
from bench.records.market import GpuProfile, MarketProfile, ModelConfig
from bench.records.run import DeviceFacts, Idle, WorkloadRecord
from bench.verdict.draws import DRAWS, World, draw_world
from bench.verdict.options import Use, price_uses
from bench.verdict.standing import Standing, standing


@dataclass(frozen=True, slots=True)
class Case:
    """What was measured, and on what; ``seed`` fixes the draws."""

    device: DeviceFacts
    workloads: Sequence[WorkloadRecord]
    idle: Idle
    model: ModelConfig | None
    gpu: GpuProfile | None
    seed: int

    def valued(self, market: MarketProfile, *, draws: int = DRAWS, gain_z: float = 0.0) -> Valued:
        """The uses at the prices of ``market``; without draws only at its middles."""
        world = draw_world(market, self.device, self.gpu, self.seed, draws=draws, gain_z=gain_z)
        uses = price_uses(
            world,
            market,
            workloads=self.workloads,
            idle=self.idle,
            model=self.model,
            gpu=self.gpu,
        )
        return Valued(world, uses, standing(uses, world))


@dataclass(frozen=True, slots=True)
class Valued:
    """A case in one market; ``standing`` is null where there is nothing to compare."""

    world: World
    uses: dict[UseCode, Use]
    standing: Standing | None
