"""The options that commands share: name, meaning and help of each, written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.completing import devices, markets, meters, models

DEVICE, MEASURE, MONEY, OUTPUT = "Device", "Measuring", "Money", "Output"
LIKE_BATCH = 16
"""Rows of every card in a like-for-like comparison."""


class GradeChoice(StrEnum):
    """The grades as the command line spells them."""

    QUICK = "quick"
    STANDARD = "standard"
    PUBLISH = "publish"


Gpu = Annotated[
    int | None, typer.Option(metavar="N", help="NVML index of the GPU.", rich_help_panel=DEVICE)
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="cpu|sim:NAME",
        autocompletion=devices,
        help="The CPU fallback, or a simulated card. Without --gpu and --device: the first"
        " visible NVIDIA GPU, else the CPU.",
        rich_help_panel=DEVICE,
    ),
]
Meter = Annotated[
    str,
    typer.Option(
        metavar="auto|nvml:N|rapl|assumed:W|none|sim:NAME|replay:FILE",
        autocompletion=meters,
        help="Which instrument reads the power.",
        rich_help_panel=DEVICE,
    ),
]
AssumeWatts = Annotated[
    float | None,
    typer.Option(
        metavar="W",
        help="Assume this power; the joules are labelled ASSUMED_WATTS.",
        rich_help_panel=DEVICE,
    ),
]
SimFaults = Annotated[
    list[str] | None,
    typer.Option(
        "--sim-fault",
        metavar="NAME[=VALUE][@SECONDS]",
        help="What goes wrong on a simulated card, such as throttle, reset or gain=1.1;"
        " repeatable, the documentation lists them.",
        rich_help_panel=DEVICE,
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for a busy device.", rich_help_panel=DEVICE)
]
Grade = Annotated[
    GradeChoice,
    typer.Option(help="How long and how strictly to measure.", rich_help_panel=MEASURE),
]
Window = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Measured seconds per workload instead of the grade's.",
        rich_help_panel=MEASURE,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=models,
        help="Model to serve. Default: micro on a CPU, the largest of 8b and 1b that fits on a"
        " GPU.",
        rich_help_panel=MEASURE,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Seed of all that is drawn.", rich_help_panel=MEASURE),
]
RequireEnergy = Annotated[
    bool,
    typer.Option(
        "--require-energy", help="Exit 4 when joules cannot be had.", rich_help_panel=MEASURE
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the plan and its minutes only.", rich_help_panel=MEASURE),
]
Market = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        autocompletion=markets,
        help="Market profile to judge by.",
        rich_help_panel=MONEY,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="btc= (USD) power= (USD/kWh) token= (USD/Mtok) rent= (USD/h), also difficulty="
        " served= rented= utilisation= pue=; repeatable.",
        rich_help_panel=MONEY,
    ),
]
Asic = Annotated[
    str | None,
    typer.Option(
        metavar="ths=…,watts=…", help="Your own ASIC as a reference.", rich_help_panel=MONEY
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 9 on stale prices.", rich_help_panel=MONEY)
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where records go.", rich_help_panel=OUTPUT)]
JsonOut = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Also write the record here; - is stdout, all else then goes to stderr.",
        rich_help_panel=OUTPUT,
    ),
]
JsonToo = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Also write it as JSON here; - is stdout, all else then goes to stderr.",
        rich_help_panel=OUTPUT,
    ),
]
Csv = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The tables as CSV.", rich_help_panel=OUTPUT)
]
Markdown = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The tables as Markdown.", rich_help_panel=OUTPUT),
]
Junit = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A test case a check or figure.", rich_help_panel=OUTPUT),
]
Html = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The tables as one HTML page.", rich_help_panel=OUTPUT),
]
Xlsx = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The tables as a workbook.", rich_help_panel=OUTPUT),
]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours.", rich_help_panel=OUTPUT)]
