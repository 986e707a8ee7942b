"""``--help`` in plain sections: quick to start, whole in a log and to a screen reader."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from typer.core import TyperCommand, TyperGroup

MORE = "More commands"
PANELS = {
    "Commands": ("all", "run", "verdict", "compare", "skus", "report", "doctor", "gate"),
    "Measure one thing": ("calibrate", "sweep", "hash", "infer", "data-power", "audit"),
    "Stored runs": ("demo", "list", "show", "recover", "migrate", "card", "verify"),
    "Prices and sites": ("site", "market"),
}
"""The headings of ``bench --help`` and what stands under each, the first-class ones on top."""


def panel_of(command: str) -> str:
    """The heading that a command stands under."""
    return next((panel for panel, names in PANELS.items() if command in names), MORE)


def write_options(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any) -> None:
    """One section a panel, in the order of the options."""
    sections: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            panel = getattr(parameter, "rich_help_panel", None)
            sections[panel or "Options"].append(record)
    for name, records in sections.items():
        with formatter.section(name):
            formatter.write_dl(records)


class Panelled(TyperGroup):
    """Commands under headings, before the options: the ones to know are seen first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then what may stand before one of them."""
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as the parser has it
        """Write one section a heading, the names of all aligned."""
        sections: dict[str, list[tuple[str, str]]] = {panel: [] for panel in (*PANELS, MORE)}
        longest = max(map(len, self.commands))
        for name, command in self.commands.items():
            said = command.get_short_help_str(formatter.width - longest - 4)
            sections[panel_of(name)].append((f"{name:<{longest}}", said))
        for panel, rows in sections.items():
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows)


class Sectioned(TyperCommand):
    """A command whose options stand under the ``rich_help_panel`` each was given."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section a panel."""
        write_options(self, ctx, formatter)
