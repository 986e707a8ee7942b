"""What a person sees while a run goes: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.records.run import Estimate
from bench.report.foreign import clean
from bench.report.text import duration, half_width, per_unit, rate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live


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
    return LiveScreen(console) if console.is_terminal else PlainScreen(console)


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
        """Rewrite the live line."""
        from rich.spinner import Spinner
        from rich.text import Text

        self._live.update(Spinner("dots", Text(f"{clean(what)}  {duration(left_s)} left")))

    def block(self, line: BlockLine) -> None:
        """Print above the live line."""
        self.say(block_text(line))

    def close(self) -> None:
        """Remove the live line."""
        self._live.stop()


def block_text(line: BlockLine) -> str:
    """One block on one line; what no instrument gave is left out."""
    parts = [
        f"{line.workload:<8} block {line.index:>2}/{line.blocks}",
        f"{rate(line.units_per_s, line.unit):>12}",
    ]
    if line.watts is not None and line.joules is not None:
        parts.append(f"{line.watts:6.1f} W  {line.joules:7.0f} J")
    if line.joules_per_unit is not None:
        spread = half_width(line.joules_per_unit)
        parts.append(f"{per_unit(line.joules_per_unit.mid, line.unit)} {spread}")
    if line.temperature_c is not None:
        parts.append(f"{line.temperature_c:.0f} °C")
    if line.clock_hz is not None:
        parts.append(f"{line.clock_hz / 1e6:.0f} MHz")
    if line.throttled:
        parts.append("THROTTLED")
    return "  ".join(parts)
