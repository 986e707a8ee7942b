"""Where a command's words and its JSON go: --json - takes stdout, all else then goes to stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.request import Request
from bench.store import StoreError

if TYPE_CHECKING:
    from rich.console import Console


def open_console(request: Request) -> Console:
    """The terminal or log that a person reads."""
    from rich.console import Console

    return Console(
        stderr=request.to_stdout, no_color=request.no_color or None, soft_wrap=True, highlight=False
    )


def write_json(request: Request, text: str) -> None:
    """Where --json wants it, if anywhere; StoreError when it cannot be written there."""
    if request.json_out is None:
        return
    if request.to_stdout:
        sys.stdout.write(text)
        return
    try:
        Path(request.json_out).write_text(text, encoding="utf-8")
    except OSError as error:
        cure = f"cannot write {request.json_out}: {error.strerror}; name another file"
        raise StoreError(cure) from error
