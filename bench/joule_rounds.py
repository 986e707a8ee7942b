"""A function that pytest-benchmark has timed, run as many rounds again under the power meter."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from bench.gate.rounds import MOST_BLOCKS, RoundJoules
from bench.metered import Meter, Metered, find_device
from bench.ports import MeterError
from bench.report.foreign import clean
from bench.report.text import half_width, per_unit
from bench.stats import series_interval

Found = TypeVar("Found")
KEY = "joulemark"
LEAST_S = 2.0
"""The rounds are repeated until they took so long: instruments update some ten times a second."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the plugin."""

    gpu: int | None
    cpu: bool
    meter: str


class JouleBenchmark:
    """The fixture: called, or ``pedantic``, as pytest-benchmark's ``benchmark`` is.

    The timing is pytest-benchmark's own and undisturbed. Afterwards the same number of rounds of
    the same iterations runs again under the meter, repeated until two seconds have passed, cut
    into at most ten blocks. ``extra_info["joulemark"]`` holds what was found.
    """

    def __init__(self, benchmark: Any, asked: Asked, tell: Callable[[RoundJoules], None]) -> None:
        """``benchmark`` is pytest-benchmark's fixture; ``tell`` is told what was found."""
        self.benchmark = benchmark
        self._asked = asked
        self._tell = tell

    @property
    def extra_info(self) -> dict[str, Any]:
        """Pytest-benchmark's, for notes of the test's own."""
        noted: dict[str, Any] = self.benchmark.extra_info
        return noted

    @property
    def stats(self) -> Any:
        """Pytest-benchmark's times; None where benchmarks are disabled."""
        return self.benchmark.stats

    def __call__(self, function: Callable[..., Found], *args: Any, **kwargs: Any) -> Found:
        """Time it, then measure its joules; what it returned."""
        result: Found = self.benchmark(function, *args, **kwargs)
        self._note(function, args, kwargs)
        return result

    def pedantic(
        self,
        target: Callable[..., Found],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        setup: Callable[[], Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Found:
        """As pytest-benchmark's. With ``setup`` or ``teardown`` the joules are null: what runs
        between the rounds cannot be told from them by a meter."""
        named = dict(kwargs or {})
        result: Found = self.benchmark.pedantic(
            target, args=args, kwargs=named, setup=setup, teardown=teardown, rounds=rounds,
            warmup_rounds=warmup_rounds, iterations=iterations,
        )  # fmt: skip
        if setup or teardown:
            why = "setup or teardown runs between the rounds, and no meter tells them apart"
            self._keep(RoundJoules(reason=why))
        else:
            self._note(target, args, named)
        return result

    def _note(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        if self.stats is None:
            return

        def once() -> None:
            for _ in range(self.stats.iterations):
                function(*args, **kwargs)

        rounds = len(self.stats.stats.data)
        self._keep(measured(self._asked, once, rounds, self.stats.iterations))

    def _keep(self, found: RoundJoules) -> None:
        self.extra_info[KEY] = asdict(found)
        self._tell(found)


def line(name: str, found: RoundJoules) -> str:
    """A test's joules in words."""
    joules = found.joules_per_round
    if joules is None:
        return f"{clean(name)}: unknown: {clean(found.reason or 'no joules')}"
    text = f"{clean(name)}: {per_unit(joules.mid, 'round')} {half_width(joules)}"
    return f"{text} ({', '.join(found.codes)})" if found.codes else text


def measured(asked: Asked, once: Callable[[], None], rounds: int, iterations: int) -> RoundJoules:
    """Joules of ``rounds`` calls of ``once``, and as many again, each over its ``iterations``."""
    if asked.meter == "none":
        return RoundJoules(reason="no meter was asked for")
    try:
        with _meter(asked) as meter:
            blocks = _run(meter, once, rounds)
    except MeterError as error:
        return RoundJoules(reason=str(error))
    return _read(meter, blocks, iterations)


def _meter(asked: Asked) -> Meter:
    """The device's own, where none is named; MeterError when there is none."""
    if asked.gpu is not None:
        return Meter(asked.gpu, meter=asked.meter)
    if not asked.cpu:
        try:
            find_device(None, None)
        except MeterError:
            return Meter(device="cpu", meter=asked.meter)
        return Meter(meter=asked.meter)
    return Meter(device="cpu", meter=asked.meter)


def _run(meter: Meter, once: Callable[[], None], rounds: int) -> list[tuple[int, Metered]]:
    """Blocks of whole rounds: how many each holds, and its window."""
    least_s = LEAST_S / min(MOST_BLOCKS, rounds)
    sizes = [len(range(k, rounds, MOST_BLOCKS)) for k in range(min(MOST_BLOCKS, rounds))]
    blocks = []
    for number, size in enumerate(sizes):
        began_s, done = time.monotonic(), 0
        with meter.window(f"rounds {number}") as window:
            while done < size or time.monotonic() - began_s < least_s:
                once()
                done += 1
        blocks.append((done, window))
    return blocks


def _read(meter: Meter, blocks: Sequence[tuple[int, Metered]], iterations: int) -> RoundJoules:
    device, facts, whole = meter.device, meter.instrument, meter.figures
    known = [(window.joules, rounds * iterations) for rounds, window in blocks]
    each = tuple(joules.mid / count for joules, count in known if joules is not None)
    whole_blocks = each if len(each) == len(blocks) else ()
    done = sum(rounds for rounds, _ in blocks)
    # blocks too short for the instrument leave all of them together
    interval = series_interval(whole_blocks) or meter.per_unit(done * iterations)
    return RoundJoules(
        joules_per_round=interval,
        watts=whole.watts,
        reason=whole.reason if interval is None else None,
        blocks_j=whole_blocks,
        rounds=done,
        device=device.name,
        device_kind=device.kind,
        power_limit_w=device.power_limit_w,
        boundary=whole.boundary,
        joules_source=whole.joules_source,
        meter=facts.name,
        codes=tuple(code.name for code in meter.codes),
        invalid=any(code.fatal for code in meter.codes),
    )
