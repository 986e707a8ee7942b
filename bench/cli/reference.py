"""The command reference, read off the commands themselves: every argument, option and status.

``python -m bench.cli.reference > docs/commands.md`` makes the page anew.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import typer

from bench.cli import app
from bench.cli.refusal import MEANING
from bench.cli.signals import ENDING

HEAD = """\
<!-- Made by: python -m bench.cli.reference > docs/commands.md -->

# Every command

As `bench COMMAND --help` says it, on one page. `bench` and `joulemark` are the same program, and
every command takes `-h` and `--help`. An option whose value is “–” is a switch; of several values
with commas between them one is given.
"""
STATUSES = """\
## Exit status

`bench run` ends with the status of the command it ran, unless it could not run it.

| status | meaning |
|---|---|
"""
EXTRA = re.compile(r"\s*\[(?P<extra>[^\[\]]*)\]$")
DEFAULT = re.compile(r"default: (?P<value>[^;]+)(; )?")
NONE = "–"


def page() -> str:
    """The whole page as Markdown."""
    command = typer.main.get_command(app)
    sections = [HEAD, *_sections(command, typer.Context(command, info_name="bench"))]
    return "\n".join([*sections, STATUSES + "\n".join(_statuses())]) + "\n"


def _sections(command: Any, context: Any) -> Iterator[str]:
    """One section a command, those below it behind it; a group of commands is no section."""
    below = getattr(command, "commands", None)
    if below is None:
        yield _section(command, context)
        return
    for name, each in below.items():
        if not each.hidden:
            yield from _sections(each, typer.Context(each, info_name=name, parent=context))


def _section(command: Any, context: Any) -> str:
    """What it does, how it is called, its arguments and options by panel."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    tables: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is None:
            continue
        if parameter in arguments:
            tables["argument"].append((f"`{_metavar(parameter)}`", *_told(record[1])))
        else:
            panel = getattr(parameter, "rich_help_panel", None) or "option"
            tables[panel].append((*_named(parameter, record[0]), *_told(record[1])))
    call = " ".join([context.command_path, "[OPTIONS]", *map(_called, arguments)])
    lines = [f"## `{context.command_path}`", "", _sentences(command.help), "", f"`{call}`", ""]
    for panel, rows in tables.items():
        value = () if panel == "argument" else ("value",)
        lines += [*_table((panel, *value, "default", "meaning"), rows), ""]
    return "\n".join(lines)


def _sentences(help_text: str) -> str:
    """A docstring as Markdown: paragraphs kept, code in single backquotes."""
    return re.sub(r"``(.+?)``", r"`\1`", help_text.strip())


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _called(argument: Any) -> str:
    name = _metavar(argument)
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _named(option: Any, term: str) -> tuple[str, str]:
    """An option's names and the form of its value, of the term that ``--help`` shows."""
    names = [*option.opts, *option.secondary_opts]
    value = term.removeprefix(", ".join(option.opts)).strip()
    if option.metavar is None:
        value = value.strip("<>[]")
    forms = NONE if option.is_flag else _coded(value.split("|"))
    return _coded(names), forms


def _coded(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _told(text: str) -> tuple[str, str]:
    """(default, meaning) of a line of help, whose last bracket holds default and bounds."""
    extra = EXTRA.search(text)
    if extra is None:
        return NONE, text
    found = DEFAULT.search(extra["extra"])
    default = NONE if found is None else f"`{found['value']}`"
    bounds = DEFAULT.sub("", extra["extra"]).strip("; ")
    meaning = EXTRA.sub("", text)
    if bounds == "required":
        return "required", meaning
    return default, f"{meaning} `{bounds}`" if bounds else meaning


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    bars = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {bar} |" for bar in bars)]


def _statuses() -> Iterator[str]:
    for status, meaning in MEANING.items():
        yield f"| {status} | {meaning} |"
    for each in sorted(ENDING):
        yield f"| {128 + each} | {each.name}; what was measured is kept |"


if __name__ == "__main__":
    print(page(), end="")
