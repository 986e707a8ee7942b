"""A server at its operating point: as many slots as fit and keep the limit, or as many as asked.

Batches are timed with the very steps and refills that serve; real sessions and their memory are
here, the strategy is in search.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from . import capacity, timed
from .loops import Session
from .opened import Opened, Setup
from .requests import Mix, Prompts
from .search import MOST, Point, Search, predict
from .serving import Server
from .slots import Slots

PROBES = 3
FILLED_PROBES = 8
TRIES = 4  # sessions really filled before the limit is given up on
SPARE = 16  # positions behind the longest request: room for the gate's steps in the timed shape


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be served: a mix, with TPOT p99 within ``slo_s`` seconds, by a route."""

    setup: Setup
    mix: Mix
    slo_s: float
    route: str = "eager"

    @property
    def sketch_route(self) -> str:
        """By which batches are only tried: Inductor for each would take longer than all."""
        if self.route == "fused":
            return self.route
        return "graph" if "graph" in self.route else "eager"

    @property
    def positions(self) -> int:
        """Cached positions of a slot."""
        return min(self.setup.model.max_context, sum(self.mix.longest) + SPARE)

    def require_room(self, batch: int, device: torch.device) -> None:
        """Raise MemoryError unless ``batch`` slots fit beside weights not yet loaded."""
        prompt = self.mix.longest[0]
        capacity.require(
            self.setup.model,
            batch=batch,
            context=prompt,
            steps=self.positions - prompt,
            device=device,
            word=self.setup.word,
            weights=self.setup.weight_bytes,
        )

    def room(self, device: torch.device) -> int:
        """Slots, up to MOST, for which room is foreseen; MemoryError when not even one fits."""
        self.require_room(1, device)
        good, bad = 1, MOST + 1
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                self.require_room(middle, device)
            except MemoryError:
                bad = middle
            else:
                good = middle
        return good


@dataclass(frozen=True, slots=True)
class Trials:
    """Batches of a plan, each on a session of its own over one decoder."""

    plan: Plan
    opened: Opened
    prompts: Prompts

    def settle(self, batch: int, search: Search) -> tuple[Server, Point]:
        """Fill ``batch`` slots; where their real caches are too slow or too large, fewer.

        After TRIES the last one stands, whatever its TPOT; every one joins the search's points.
        """
        for left in reversed(range(TRIES)):
            server, point = self._try(batch)
            search.points.append(point)
            last = batch == 1 or left == 0
            if server is not None and (last or point.stop is None):
                return server, point
            if last:
                break
            server = None
            self.plan.setup.release()
            batch -= max(1, batch // 8)
        raise MemoryError(
            f"{self.plan.setup.model.name}: {batch} slots of {self.plan.positions} tokens do not "
            "fit beside the weights: lower prompt or output, or choose a smaller model"
        )

    def _try(self, batch: int) -> tuple[Server | None, Point]:
        try:
            return self.fill(batch)
        except (MemoryError, torch.OutOfMemoryError):
            return None, Point(batch, None, None, None, "memory", True)

    def fill(self, batch: int) -> tuple[Server, Point]:
        """A server whose every slot is prefilled to where it is in the steady state."""
        books = Slots(self.plan.mix, batch)
        server = Server(self._session(batch, self.plan.route), books, self.prompts)
        return server, self._probe(server.session, books, server.opening[0], filled=True)

    def sketch(self, batch: int) -> Point:
        """A batch timed over empty caches, which take no time to fill."""
        books = Slots(self.plan.mix, batch)
        first = self.prompts.prompt(books.request(0).number, books.cached(0))
        try:
            session = self._session(batch, self.plan.sketch_route)
            session.assume([books.cached(row) for row in range(batch)])
            point = self._probe(session, books, first, filled=False)
            del session
        except (MemoryError, torch.OutOfMemoryError):
            point = Point(batch, None, None, None, "memory")
        self.plan.setup.release()
        return point

    def _session(self, batch: int, route: str) -> Session:
        return Session(self.opened.decoder, batch, self.plan.positions, route=route)

    def _probe(self, session: Session, books: Slots, first: Sequence[int], filled: bool) -> Point:
        """Time steps and refills of row 0, whose prompt is ``first``; no row is moved by it.

        A request's TPOT is a mean over its steps, and the p99 that of requests in a slow moment:
        over filled slots it is predicted from the slowest of several probes. A sketch only says
        which batch to fill, from their medians.
        """

        def refill() -> None:
            session.refill(0, first)

        refill()
        probes = FILLED_PROBES if filled else PROBES
        share = self.plan.mix.prompt / len(first)
        refills = [share * timed.seconds_of(session, refill) for _ in range(probes)]
        steps = [timed.step_seconds(session) for _ in range(probes)]
        step_s, prefill_s = statistics.median(steps), statistics.median(refills)
        slow = (max(steps), max(refills)) if filled else (step_s, prefill_s)
        p99_s = predict(self.plan.mix, books.batch, *slow)
        stop = "slo" if p99_s > self.plan.slo_s else None
        return Point(books.batch, step_s, prefill_s, p99_s, stop, filled)
