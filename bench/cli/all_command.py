"""``bench all``: both workloads on one device, record, verdict."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class GradeChoice(StrEnum):
    """The grades as the command line spells them."""

    QUICK = "quick"
    STANDARD = "standard"
    PUBLISH = "publish"


DEVICE, MEASURE, MONEY, OUTPUT = "Device", "Measuring", "Money", "Output"


def all_command(  # noqa: PLR0917 - one parameter an option, called by Typer with keywords
    gpu: Annotated[
        int | None,
        typer.Option(metavar="N", help="NVML index of the GPU.", rich_help_panel=DEVICE),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|sim:NAME",
            help="The CPU fallback, or a simulated card. Without --gpu and --device: the first"
            " visible NVIDIA GPU, else the CPU.",
            rich_help_panel=DEVICE,
        ),
    ] = None,
    meter: Annotated[
        str,
        typer.Option(
            metavar="auto|nvml:N|rapl|assumed:W|none|sim:NAME",
            help="Which instrument reads the power.",
            rich_help_panel=DEVICE,
        ),
    ] = "auto",
    assume_watts: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            help="Assume this power; the joules are labelled ASSUMED_WATTS.",
            rich_help_panel=DEVICE,
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a busy device.", rich_help_panel=DEVICE)
    ] = False,
    grade: Annotated[
        GradeChoice,
        typer.Option(help="How long and how strictly to measure.", rich_help_panel=MEASURE),
    ] = GradeChoice.STANDARD,
    window: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Measured seconds per workload instead of the grade's.",
            rich_help_panel=MEASURE,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Model to serve. Default: micro on a CPU, the largest of 8b and 1b that fits"
            " on a GPU.",
            rich_help_panel=MEASURE,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Seed of all that is drawn.", rich_help_panel=MEASURE),
    ] = None,
    require_energy: Annotated[
        bool,
        typer.Option(
            "--require-energy", help="Exit 4 when joules cannot be had.", rich_help_panel=MEASURE
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the plan and its minutes only.",
            rich_help_panel=MEASURE,
        ),
    ] = False,
    market: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE", help="Market profile to judge by.", rich_help_panel=MONEY
        ),
    ] = "default",
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="btc= (USD) power= (USD/kWh) token= (USD/Mtok) rent= (USD/h); repeatable.",
            rich_help_panel=MONEY,
        ),
    ] = None,
    asic: Annotated[
        str | None,
        typer.Option(
            metavar="ths=…,watts=…", help="Your own ASIC as a reference.", rich_help_panel=MONEY
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 9 on stale prices.", rich_help_panel=MONEY)
    ] = False,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where records go.", rich_help_panel=OUTPUT)
    ] = Path("results"),
    json_out: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE|-",
            help="Also write the record here; - is stdout, all else then goes to stderr.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colours.", rich_help_panel=OUTPUT)
    ] = False,
) -> int:
    """Run both workloads on one device, write the record, give the verdict."""
    import secrets

    from bench.cli.request import Request
    from bench.cli.session import run_all

    return run_all(
        Request(
            gpu=gpu,
            device=device,
            meter=meter,
            assume_watts=assume_watts,
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
        )
    )
