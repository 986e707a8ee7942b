"""``--help`` in plain sections: quick to start, whole in a log and to a screen reader."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from typer.core import TyperCommand


class Sectioned(TyperCommand):
    """A command whose options stand under the ``rich_help_panel`` each was given."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section a panel, in the order of the options."""
        sections: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None)
                sections[panel or "Options"].append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)
