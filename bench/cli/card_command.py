"""``bench card``: a stored run and the terms of an offer as one compute card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options
from bench.cli.show_command import Folder, Run

TERMS = "Terms"
Price = Annotated[
    float | None,
    typer.Option(metavar="USD", help="Price of a device-hour.", rich_help_panel=TERMS),
]
LeaseTerm = Annotated[
    str | None,
    typer.Option(metavar="N[h|d|w|mo|y]", help="Such as 90d or 12mo.", rich_help_panel=TERMS),
]
Utilisation = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Of the leased hours in which it works: 0.8 or 80%.",
        rich_help_panel=TERMS,
    ),
]
JsonOut = Annotated[
    str,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Write the card here; - is stdout, all else then goes to stderr.",
        rich_help_panel=options.OUTPUT,
    ),
]


def card_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    run: Run,
    price: Price = None,
    lease_term: LeaseTerm = None,
    utilisation: Utilisation = None,
    folder: Folder = Path("results"),
    json_out: JsonOut = "-",
    no_color: options.NoColor = False,
) -> int:
    """Make a compute card of a stored run: the terms of an offer beside what was measured."""
    from bench.cli.carding import CardRequest, run_card

    return run_card(
        CardRequest(
            run=run,
            folder=folder,
            price_usd_per_h=price,
            lease_term=lease_term,
            utilisation=utilisation,
            json_out=json_out,
            no_color=no_color,
        )
    )
