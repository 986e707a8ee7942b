"""All uses of a kWh on one ladder, sorted by the power price at which each stops paying. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.economics.mining import asic_joules_per_hash, mining_usd_per_j
from bench.economics.units import J_PER_KWH, Array
from bench.records.decision import Money, Reference, ReferenceRole, Rung, RungKind, UseCode
from bench.records.market import AsicProfile
from bench.verdict.draws import World, money
from bench.verdict.options import Use


def reference(role: ReferenceRole, asic: AsicProfile, world: World) -> Reference:
    """The same paid kWh in a machine by its nameplate; full cost at the market's USD/TH."""
    joules = asic_joules_per_hash(asic)
    per_j = _earned(asic, world)
    net = per_j - world.usd_per_j
    capital = world.owning.asic_usd_per_hash / joules / world.pue_asic
    return Reference(
        role=role,
        name=asic.name,
        title=asic.title,
        joules_per_hash=joules,
        pue=float(world.pue_asic[0]),
        usd_per_kwh=money(per_j, J_PER_KWH),
        usd_per_kwh_net=money(net, J_PER_KWH),
        source=f"nameplate: {asic.watts.source} ({asic.watts.flag})",
        usd_per_kwh_full=money(net - capital, J_PER_KWH),
    )


def ladder(
    uses: Mapping[UseCode, Use], asics: Sequence[AsicProfile], world: World
) -> tuple[Rung, ...]:
    """What pays most per kWh first; a rung runs if it earns more than power costs now."""
    now = float(world.usd_per_j[0]) * J_PER_KWH
    rungs = [
        _rung(f"{code}: {use.what}", "option", money(use.usd_per_j, J_PER_KWH), now, _mark(use))
        for code, use in uses.items()
        if use.now is not None and use.usd_per_j is not None
    ]
    rungs += [
        _rung(asic.title, "asic", money(_earned(asic, world), J_PER_KWH), now, _nameplate(asic))
        for asic in asics
    ]
    return tuple(sorted(rungs, key=lambda rung: -rung.break_even_usd_per_kwh.p50))


def _earned(asic: AsicProfile, world: World) -> Array:
    joules = world.constant(asic_joules_per_hash(asic))
    return mining_usd_per_j(world.usd_per_hash, joules, world.pool_fee, world.pue_asic)


def _rung(name: str, kind: RungKind, worth: Money, now: float, mark: str) -> Rung:
    return Rung(name, kind, worth, worth.p50 > now, mark)


def _nameplate(asic: AsicProfile) -> str:
    return f"nameplate ({asic.watts.flag})"


def _mark(use: Use) -> str:
    """What the joules of a use rest on; those of a tenant are taken as the highest measured."""
    return "as the busiest load" if use.load is None else use.load.record.metrics.joules_source
