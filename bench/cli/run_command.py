"""``bench run -- CMD…``: any command under the meter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

WORK = "Work"
SETTINGS = {"allow_interspersed_args": False}
"""All from the command's name on is the command's, its options too, with or without ``--``."""

Command = Annotated[list[str], typer.Argument(metavar="CMD", help="What to run, after --.")]
Units = Annotated[
    float | None,
    typer.Option(metavar="N", help="Units of work one run does.", rich_help_panel=WORK),
]
UnitsRegex = Annotated[
    str | None,
    typer.Option(
        metavar="RE",
        help="Find the units in what the command prints: group 1 of the last match.",
        rich_help_panel=WORK,
    ),
]
Repeat = Annotated[
    int,
    typer.Option(metavar="N", help="Run it so often, for an interval.", rich_help_panel=WORK),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="cpu",
        help="The processor. Without --gpu and --device: the first visible NVIDIA GPU, else the"
        " processor.",
        rich_help_panel=options.DEVICE,
    ),
]
Idle = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Measure idle power for so long first; joules are then also given net of it.",
        rich_help_panel=options.MEASURE,
    ),
]
Keep = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Keep the record and its journal here. Default: keep nothing.",
        rich_help_panel=options.OUTPUT,
    ),
]
JsonOut = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Write the record here; - is stdout, the command's own then goes to stderr.",
        rich_help_panel=options.OUTPUT,
    ),
]


def run_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    command: Command,
    gpu: options.Gpu = None,
    device: Device = None,
    meter: options.Meter = "auto",
    assume_watts: options.AssumeWatts = None,
    wait: options.Wait = False,
    idle: Idle = None,
    require_energy: options.RequireEnergy = False,
    units: Units = None,
    units_regex: UnitsRegex = None,
    repeat: Repeat = 1,
    keep: Keep = None,
    json_out: JsonOut = None,
) -> int:
    """Run any command under the meter: joules with both intervals, on stderr.

    The exit status is the command's own.
    """
    from bench.cli.running import RunRequest, run_metered

    request = RunRequest(
        gpu=gpu,
        device=device,
        meter=meter,
        assume_watts=assume_watts,
        wait=wait,
        seed=0,
        out=keep or Path(),
        json_out=json_out,
        no_color=True,
        command=tuple(command),
        kept=keep is not None,
        idle_s=idle,
        require_energy=require_energy,
        units=units,
        units_regex=units_regex,
        repeat=repeat,
    )
    return run_metered(request)
