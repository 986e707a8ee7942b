"""Tables and test cases as files, in the forms that were asked for."""

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

    from bench.report.junit import Suite
    from bench.report.sheet import Sheet

_FORMS = ("csv", "markdown", "html", "xlsx", "junit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """A file for each form that is wanted."""

    csv: Path | None = None
    markdown: Path | None = None
    html: Path | None = None
    xlsx: Path | None = None
    junit: Path | None = None

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


def write_exports(
    wanted: Exports, sheets: Sequence[Sheet], console: Console, suite: Suite | None = None
) -> None:
    """All tables into one file of each form, the cases into JUnit XML; Refusal when one cannot
    be written."""
    from bench.report import exports
    from bench.report.junit import to_junit

    make: dict[str, Callable[..., str | bytes]] = {
        "csv": exports.to_csv,
        "markdown": exports.to_markdown,
        "html": exports.to_html,
        "xlsx": exports.to_xlsx,
    }
    if suite is not None:
        make["junit"] = lambda *_: to_junit(suite)
    for form, path in wanted.wanted():
        try:
            put(path, make[form](*sheets), form)
        except exports.MissingWriter as error:
            raise Refusal(ENVIRONMENT, str(error)) from error
        say(console, f"Saved {legible(str(path))}")


def put(path: Path, text: str | bytes, form: str) -> None:
    """Write it whole, or a Refusal that names the option."""
    try:
        write_whole(path, text)
    except OSError as error:
        why = f"cannot write {legible(str(path))}: {error.strerror}; name another file"
        raise Refusal(STORAGE, f"{why} with --{form}") from error
