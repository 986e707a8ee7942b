"""The largest batch that serves a mix within its limit of time per output token, and fits.

How a batch is timed is the caller's; what its requests would see is predicted here, by following
the slots on paper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ..latency import percentiles
from .requests import Mix
from .slots import Refill, Slots, Watch

MOST = 4096  # rows: beyond it a step is bound by arithmetic on every card there is
BOUND_S = 60.0  # no batch is tried after this
FINENESS = 16  # refined until the best is within 1/16 of the next that fails
CYCLES = 2  # mean requests per slot that a prediction follows


@dataclass(frozen=True, slots=True)
class Point:
    """A batch as timed: a step at the mean context and a prefill of the mean prompt, medians, and
    the TPOT p99 predicted. ``stop`` says why it will not do: "slo", "memory", or None.

    ``filled`` says whether its cache had been prefilled, or only taken to be; the prediction is
    then made from the slowest step and prefill timed.
    """

    batch: int
    step_s: float | None
    prefill_s: float | None
    tpot_p99_s: float | None
    stop: str | None
    filled: bool = False


@dataclass(slots=True)
class Search:
    """Batches tried in turn; ``stopped_by`` says what ended the growth: "slo", "memory" (the
    device's, predicted or met), "limit" (MOST rows) or "time" (BOUND_S). ``route`` is that of
    points which were not filled.
    """

    slo_s: float
    route: str = "eager"
    points: list[Point] = field(default_factory=list)
    stopped_by: str = ""
    seconds: float = 0.0

    def find(self, fits: int, measure: Callable[[int], Point]) -> int:
        """The largest batch up to ``fits`` whose point has no stop: doubling, then halving.

        Takes the points to be monotone. Returns 1 when even that fails, and keeps why.
        """
        began_s = time.monotonic()
        good, bad, size = 0, fits + 1, 1
        self.stopped_by = "limit" if fits == MOST else "memory"
        while bad - good > max(1, good // FINENESS):
            if time.monotonic() - began_s > BOUND_S:
                self.stopped_by = "time"
                break
            point = measure(size)
            self.points.append(point)
            if point.stop is None:
                good = size
            else:
                bad, self.stopped_by = size, point.stop
            size = min(2 * good, fits) if bad > fits else (good + bad) // 2
        self.seconds = time.monotonic() - began_s
        return max(1, good)

    def facts(self) -> dict[str, Any]:
        """For the record."""
        return {
            "slo_tpot_s": self.slo_s,
            "route": self.route,
            "stopped_by": self.stopped_by,
            "bound_s": BOUND_S,
            "seconds": self.seconds,
            "points": [asdict(point) for point in self.points],
        }


def predict(mix: Mix, batch: int, step_s: float, prefill_s: float) -> float:
    """TPOT p99 of requests served with such steps, and prefills in proportion to the prompt."""
    watch, t_s = Watch(batch), 0.0
    for event in Slots(mix, batch).course(CYCLES * mix.longest[1]):
        if isinstance(event, Refill):
            t_s += prefill_s * event.request.prompt_tokens / mix.prompt
        else:
            t_s += step_s
        watch(t_s, event)
    return float(percentiles(watch.tpot_s)["p99_s"])
