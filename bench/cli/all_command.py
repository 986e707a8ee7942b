"""``bench all``: both workloads on one device, record, verdict."""

from __future__ import annotations

from pathlib import Path

from bench.cli import options


def all_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    gpu: options.Gpu = None,
    device: options.Device = None,
    meter: options.Meter = "auto",
    assume_watts: options.AssumeWatts = None,
    sim_fault: options.SimFaults = None,
    wait: options.Wait = False,
    grade: options.Grade = options.GradeChoice.STANDARD,
    window: options.Window = None,
    model: options.Model = None,
    seed: options.Seed = None,
    require_energy: options.RequireEnergy = False,
    dry_run: options.DryRun = False,
    market: options.Market = "default",
    sets: options.Sets = None,
    asic: options.Asic = None,
    strict: options.Strict = False,
    out: options.Out = Path("results"),
    json_out: options.JsonOut = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    no_color: options.NoColor = False,
) -> int:
    """Run both workloads on one device, write the record, give the verdict."""
    import secrets

    from bench.cli.exporting import Exports
    from bench.cli.weighing import WholeRequest, run_all

    request = WholeRequest(
        gpu=gpu,
        device=device,
        meter=meter,
        assume_watts=assume_watts,
        sim_faults=tuple(sim_fault or ()),
        wait=wait,
        grade=grade.value,
        window_s=window,
        model=model,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        require_energy=require_energy,
        dry_run=dry_run,
        market=market,
        sets=tuple(sets or ()),
        asic=asic,
        strict=strict,
        out=out,
        json_out=json_out,
        no_color=no_color,
        exports=Exports(markdown=markdown, junit=junit),
    )
    return run_all(request)
