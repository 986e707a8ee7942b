"""``bench market``: the markets that ship, whether one can be used, and a user's own at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options
from bench.cli.help import Sectioned

market_app = typer.Typer(
    help="Markets: list, check, or write your own.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME|FILE]…", help="Markets to judge; without any, those that ship."),
]
NewFile = Annotated[Path, typer.Argument(metavar="FILE.toml", help="Where it is written.")]
Base = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="NAME|FILE",
        help="The market it differs from.",
        rich_help_panel=options.MONEY,
    ),
]
NewSets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="btc= (USD) power= (USD/kWh) difficulty=; repeatable.",
        rich_help_panel=options.MONEY,
    ),
]
NewTokens = Annotated[
    list[str] | None,
    typer.Option(
        "--token",
        metavar="MODEL_ID=USD",
        help="What this model's tokens sell for, USD/Mtok in and out; repeatable.",
        rich_help_panel=options.MONEY,
    ),
]
NewRents = Annotated[
    list[str] | None,
    typer.Option(
        "--rent",
        metavar="CARD=USD",
        help="What this card rents for, USD/h; repeatable.",
        rich_help_panel=options.MONEY,
    ),
]
JsonOut = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Also write it here; - is stdout, all else then goes to stderr.",
        rich_help_panel=options.OUTPUT,
    ),
]


@market_app.command("list", cls=Sectioned, short_help="The markets that ship, side by side.")
def list_command(json_out: JsonOut = None, no_color: options.NoColor = False) -> int:
    """The markets that ship: prices, hashprice, the age of the oldest, flags."""
    from bench.cli.market_check import MarketRequest, run_list

    return run_list(MarketRequest(json_out=json_out, no_color=no_color))


@market_app.command("check", cls=Sectioned, short_help="Can it be used, what is stale?")
def check_command(
    names: Names = None,
    strict: options.Strict = False,
    json_out: JsonOut = None,
    no_color: options.NoColor = False,
) -> int:
    """Whether markets can be used, and which of their prices are stale."""
    from bench.cli.market_check import MarketRequest, run_check

    request = MarketRequest(tuple(names or ()), strict=strict, json_out=json_out, no_color=no_color)
    return run_check(request)


@market_app.command("new", cls=Sectioned, short_help="Write your own over another one.")
def new_command(
    file: NewFile,
    base: Base = "default",
    sets: NewSets = None,
    token: NewTokens = None,
    rent: NewRents = None,
) -> int:
    """Write a market of your own: your prices, dated today, over those of another."""
    from bench.cli.market_new import NewMarket, run_new

    given = (tuple(sets or ()), tuple(token or ()), tuple(rent or ()))
    return run_new(NewMarket(file, base, *given))
