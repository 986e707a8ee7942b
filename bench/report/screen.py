"""What a person sees while a run goes: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.records.run import Estimate
from bench.report.foreign import clean
from bench.report.text import duration, half_width, per_unit, rate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

CI = ("CI", "GITHUB_ACTIONS")
"""Set where a log is written, even where that is made to look like a terminal."""
SPINNER_WIDTH = 3
"""Columns of what turns before the live line, and one that stays free."""
WIDE = ("{:<8} block {:>2}/{}", "{:>12}", "{:6.1f} W  {:7.0f} J")
TIGHT = ("{:<7} {:>2}/{}", "{:>11}", "{:5.1f} W {:5.0f} J")
"""A block's workload and number, its rate, its power: every card's line whole on 80 columns."""


@dataclass(frozen=True, slots=True)
class BlockLine:
    """One finished block; ``joules_per_unit`` is over the workload's blocks so far."""

    workload: str
    unit: str
    index: int
    blocks: int
    units_per_s: float
    watts: float | None
    joules: float | None
    joules_per_unit: Estimate | None
    temperature_c: float | None
    clock_hz: float | None
    throttled: bool


class Screen(Protocol):
    """Where the lines of a run go."""

    def say(self, text: str) -> None:
        """One plain line."""

    def doing(self, what: str, left_s: float) -> None:
        """What is going on now and how long the run still takes."""

    def block(self, line: BlockLine) -> None:
        """A block has ended."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def say(console: Console, text: str, style: str | None = None) -> None:
    """Foreign text as text: wrapped at words on a terminal, one line for one thing elsewhere."""
    wrap = not console.is_terminal
    console.print(clean(text), style=style, markup=False, highlight=False, soft_wrap=wrap)


def open_screen(console: Console) -> Screen:
    """Live on a terminal, plain lines elsewhere."""
    return LiveScreen(console) if is_watched(console) else PlainScreen(console)


def is_watched(console: Console) -> bool:
    """Whether a person looks at a terminal whose last line can be rewritten: nobody does in CI."""
    built = any(os.environ.get(name, "").lower() not in {"", "0", "false"} for name in CI)
    return console.file.isatty() and not console.is_dumb_terminal and not built


@contextlib.contextmanager
def counting(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    """What is called once for each of ``total`` things that are done: on a watched terminal a line
    shows how many are and how long the rest will take, and is gone afterwards; elsewhere nothing.
    """
    if not is_watched(console):
        yield _nothing
        return
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), "{task.description}", MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _nothing() -> None:
    """Nobody looks."""


class PlainScreen:
    """A line when something begins and a line a block; nothing is ever rewritten."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._doing = ""

    def say(self, text: str) -> None:
        """Print it."""
        say(self._console, text)

    def doing(self, what: str, left_s: float) -> None:
        """Print it when it changes; blocks speak for themselves when they end."""
        if what != self._doing and " block " not in what:
            self.say(f"{what} ({duration(left_s)} left)")
        self._doing = what

    def block(self, line: BlockLine) -> None:
        """Print it."""
        self.say(block_text(line))

    def close(self) -> None:
        """Nothing to undo."""


class LiveScreen:
    """Block lines scroll up; the last line shows what goes on and the time left."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._live: Live = Live(console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def say(self, text: str) -> None:
        """Print above the live line."""
        say(self._console, text)

    def doing(self, what: str, left_s: float) -> None:
        """Rewrite the live line; where it is too long the time left is what stays."""
        from rich.spinner import Spinner
        from rich.text import Text

        text = Text(f"{duration(left_s)} left  {clean(what)}")
        text.truncate(self._console.width - SPINNER_WIDTH, overflow="ellipsis")
        self._live.update(Spinner("dots", text))

    def block(self, line: BlockLine) -> None:
        """Print above the live line."""
        self.say(block_text(line, self._console.width))

    def close(self) -> None:
        """Remove the live line."""
        self._live.stop()


def block_text(line: BlockLine, width: int | None = None) -> str:
    """One block on one line; what no instrument gave is left out.

    Wider than the terminal, it is set tighter, and if need be says less of how the card was.
    """
    card = _card(line)
    text = "  ".join((*_figures(line, WIDE), *card))
    if width is None or len(text) <= width:
        return text
    figures = _figures(line, TIGHT)
    while card and len(" ".join((*figures, *card))) > width:
        card.pop()
    return " ".join((*figures, *card))


def _figures(line: BlockLine, forms: tuple[str, str, str]) -> list[str]:
    """What was done and what it took."""
    count, speed, power = forms
    parts = [
        count.format(line.workload, line.index, line.blocks),
        speed.format(rate(line.units_per_s, line.unit)),
    ]
    if line.watts is not None and line.joules is not None:
        parts.append(power.format(line.watts, line.joules))
    if line.joules_per_unit is not None:
        spread = half_width(line.joules_per_unit)
        parts.append(f"{per_unit(line.joules_per_unit.mid, line.unit)} {spread}")
    return parts


def _card(line: BlockLine) -> list[str]:
    """How the card was meanwhile, the most telling first."""
    parts = ["THROTTLED"] if line.throttled else []
    if line.temperature_c is not None:
        parts.append(f"{line.temperature_c:.0f} °C")
    if line.clock_hz is not None:
        parts.append(f"{line.clock_hz / 1e6:.0f} MHz")
    return parts
