"""``bench site``: a site of many megawatts in facts, published figures beside them."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli import options

Facts = Annotated[
    bool,
    typer.Option(
        "--facts",
        help="Per-MW facts in closed form: machines, network, value of mining, leasing and"
        " serving, published figures beside ours.",
        rich_help_panel=options.MONEY,
    ),
]
Site = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE", help="Site profile: power, PUE, leases.", rich_help_panel=options.MONEY
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="btc= (USD) power= (USD/kWh); repeatable.",
        rich_help_panel=options.MONEY,
    ),
]


def site_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    context: typer.Context,
    facts: Facts = False,
    market: options.Market = "default",
    sets: Sets = None,
    site: Site = "default",
    json_out: options.JsonToo = None,
    csv: options.Csv = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    xlsx: options.Xlsx = None,
    no_color: options.NoColor = False,
) -> int:
    """Show what a MW of a site is worth: mined with, leased as a powered shell, or served from."""
    if not facts:
        from bench.cli.refusal import USAGE, Refusal

        typer.echo(context.get_help(), err=True)
        raise Refusal(USAGE, "bench site shows facts and decides nothing yet: add --facts")
    from bench.cli.exporting import Exports
    from bench.cli.siting import SiteRequest, run_site

    exports = Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx)
    return run_site(SiteRequest(market, tuple(sets or ()), site, exports, json_out, no_color))
