"""Tables as files, in the forms that were asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.output import write_whole
from bench.cli.refusal import ENVIRONMENT, STORAGE, USAGE, Refusal
from bench.cli.request import check_writable
from bench.machine import legible
from bench.report.screen import say

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report.sheet import Sheet

_FORMS = ("csv", "markdown", "html", "xlsx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """A file for each form that is wanted."""

    csv: Path | None = None
    markdown: Path | None = None
    html: Path | None = None
    xlsx: Path | None = None

    def wanted(self) -> Iterator[tuple[str, Path]]:
        """Form and file."""
        for form in _FORMS:
            path: Path | None = getattr(self, form)
            if path is not None:
                yield form, path


def check_outputs(wanted: Exports, json_out: str | None, inputs: Iterable[Path | str]) -> None:
    """Refuse before the work what could not be written after it, or would overwrite an input."""
    outputs = [(f"--{form}", path) for form, path in wanted.wanted()]
    for option, path in outputs:
        if str(path) == "-":
            raise Refusal(USAGE, f"{option} -: only --json writes to stdout; name a file")
    if json_out not in (None, "-"):
        outputs.append(("--json", Path(json_out)))
    taken = {os.path.realpath(path): "an input" for path in inputs}
    for option, path in outputs:
        place = os.path.realpath(path)
        if place in taken and not path.is_char_device():
            text = f"{option} {legible(str(path))}: is {taken[place]} too; name another file"
            raise Refusal(USAGE, text)
        check_writable(option, path)
        taken[place] = f"the file of {option}"


def write_exports(wanted: Exports, sheets: Sequence[Sheet], console: Console) -> None:
    """All tables into one file of each form; Refusal when one cannot be written."""
    from bench.report import exports

    make: dict[str, Callable[..., str | bytes]] = {
        "csv": exports.to_csv,
        "markdown": exports.to_markdown,
        "html": exports.to_html,
        "xlsx": exports.to_xlsx,
    }
    for form, path in wanted.wanted():
        try:
            write_whole(path, make[form](*sheets))
        except exports.MissingWriter as error:
            raise Refusal(ENVIRONMENT, str(error)) from error
        except OSError as error:
            why = f"cannot write {legible(str(path))}: {error.strerror}; name another file"
            raise Refusal(STORAGE, f"{why} with --{form}") from error
        say(console, f"Saved {legible(str(path))}")
