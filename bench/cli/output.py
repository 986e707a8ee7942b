"""Where a command's words and its JSON go: --json - takes stdout, all else then goes to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from bench.machine import legible
from bench.report.foreign import clean
from bench.store import StoreError

if TYPE_CHECKING:
    from rich.console import Console

NARROWEST = 20


class Asked(Protocol):
    """What any command is asked about its output."""

    @property
    def json_out(self) -> str | None:
        """Where the JSON goes; "-" is stdout."""

    @property
    def no_color(self) -> bool:
        """Whether colours are unwelcome."""


def to_stdout(request: Asked) -> bool:
    """Whether the JSON alone may go to stdout."""
    return request.json_out == "-"


class Steady:
    """A stream that falls silent when nobody can hear it, so that a run outlives its reader."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:
        """The stream's own."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's own."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, or fall silent."""
        try:
            return self._stream.write(text)
        except OSError:
            self._fall_silent()
            return len(text)

    def flush(self) -> None:
        """Flush, or fall silent."""
        try:
            self._stream.flush()
        except OSError:
            self._fall_silent()

    def _fall_silent(self) -> None:
        """What is still to come, from the interpreter's own last flush too, goes nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def tell(texts: Iterable[str]) -> None:
    """Lines on stderr, or nowhere when nobody reads it: the command's status must not suffer."""
    stream = Steady(sys.stderr if sys.stderr is not None else io.StringIO())
    for text in texts:
        stream.write(clean(text) + "\n")
    stream.flush()


def open_console(request: Asked) -> Console:
    """The terminal or log that a person reads."""
    from rich.console import Console

    stream = sys.stderr if to_stdout(request) else sys.stdout
    console = Console(
        file=Steady(stream or io.StringIO()),  # type: ignore[arg-type]
        no_color=request.no_color or None,
        soft_wrap=True,
        highlight=False,
    )
    console.width = max(console.width, NARROWEST)
    return console


def silent_console() -> Console:
    """One that nobody reads."""
    from rich.console import Console

    return Console(file=io.StringIO(), quiet=True, force_terminal=False, force_jupyter=False)


def write_json(request: Asked, text: str) -> None:
    """Where --json wants it, if anywhere; StoreError when it cannot be written there."""
    if request.json_out is None:
        return
    if to_stdout(request) and sys.stdout is None:
        raise StoreError("cannot write stdout: it is closed; name a file with --json")
    try:
        if to_stdout(request):
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()
        else:
            write_whole(Path(request.json_out), text)
    except OSError as error:
        place = "stdout" if to_stdout(request) else legible(request.json_out)
        why = f"cannot write {place}: {error.strerror}; name another file with --json"
        raise StoreError(why) from error


def write_whole(path: Path, text: str | bytes) -> None:
    """All of it or nothing: what stood there before stays until the new text lies beside it.

    A device or a pipe, and a file in a folder that takes no other, is written where it is. OSError
    when that fails.
    """
    data = text.encode() if isinstance(text, str) else text
    path = Path(os.path.realpath(path))
    replaceable = not path.exists() or (path.is_file() and os.access(path, os.W_OK))
    if not (replaceable and os.access(path.parent, os.W_OK)):
        path.write_bytes(data)
        return
    temporary = path.with_name(f".bench-{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(OSError):
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
