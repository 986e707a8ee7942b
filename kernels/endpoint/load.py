"""Keeps a server under load: so many requests in flight, or arrivals at random moments.

The tokens of a run are stationary from its first seconds: the opening requests of a closed loop
stand for answers that are evenly far along, their prompts longer and their answers shorter.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from .client import Client, nap
from .dialect import Dialect
from .prompts import Prompts, Scale
from .tally import Answer, Tally
from .wire import WireError

TICK_S = 0.01
MARK_S = 0.05  # a mark at most 20 times a second
PAUSE_S = 0.1  # after a failure, so that a dead server is not stormed
MOST_IN_FLIGHT = 4096
ANSWER_BYTES = 1 << 16
TOKEN_BYTES = 1 << 13


@dataclass(frozen=True, slots=True)
class Mix:
    """A request's tokens, and how requests come: ``rate_hz`` a second, else always so many."""

    prompt: int
    output: int
    concurrency: int
    rate_hz: float | None = None


@dataclass(frozen=True, slots=True)
class Asker:
    """Sends requests of one dialect and has them counted."""

    client: Client
    dialect: Dialect
    prompts: Prompts
    scale: Scale

    async def ask(
        self, tally: Tally, tokens: float, output: int, *, opening: bool = False
    ) -> Answer:
        """A new prompt of so many tokens, answered by ``output``."""
        prompt = self.prompts.of_words(self.scale.words(tokens))
        return await self.send(tally, prompt, output, opening=opening)

    async def send(
        self, tally: Tally, prompt: str, output: int, *, opening: bool = False
    ) -> Answer:
        """This prompt; a request that fails is counted as such and raises nothing."""
        dialect = self.dialect
        answer = tally.begin(output, time.monotonic(), opening=opening)
        limit = ANSWER_BYTES + TOKEN_BYTES * output
        try:
            arrivals = self.client.stream(dialect.path, dialect.body(prompt, output), limit)
            async for now_s, pieces in arrivals:
                tally.heard(answer, now_s, pieces)
        except WireError as fault:
            tally.fail(answer, fault)
        else:
            tally.end(answer)
        return answer


async def drive(
    asker: Asker,
    mix: Mix,
    tally: Tally,
    draw: random.Random,
    *,
    mark: Callable[[float, int], None],
    stop: Callable[[], bool],
) -> None:
    """Load the server until stop(), marking the tokens that have arrived; then hang up.

    ConnectionError once requests do nothing but fail.
    """
    marked_s = time.monotonic()
    mark(marked_s, 0)
    coming = _closed(asker, mix, tally) if mix.rate_hz is None else _open(asker, mix, tally, draw)
    work = asyncio.create_task(coming)
    try:
        while not stop() and not work.done():
            tally.lag_s.append(await nap(TICK_S))
            if tally.hopeless(mix.concurrency):
                raise ConnectionError(f"every request fails: {tally.last_fault}")
            now_s = time.monotonic()
            if now_s - marked_s >= MARK_S:
                mark(now_s, tally.units())
                marked_s = now_s
    finally:
        work.cancel()
        ended = await asyncio.gather(work, return_exceptions=True)
    if isinstance(ended[0], Exception):
        raise ended[0]
    mark(time.monotonic(), tally.units())


async def _closed(asker: Asker, mix: Mix, tally: Tally) -> None:
    """As many requests in flight as asked for, at any time."""
    tally.opening = mix.concurrency
    async with asyncio.TaskGroup() as slots:
        for index in range(mix.concurrency):
            slots.create_task(_slot(asker, mix, tally, (index + 1) / mix.concurrency))


async def _slot(asker: Asker, mix: Mix, tally: Tally, left: float) -> None:
    """One request after another; of the first answer only the share ``left`` is to come."""
    output = max(1, round(mix.output * left))
    answer = await asker.ask(tally, mix.prompt + mix.output - output, output, opening=True)
    while True:
        if answer.fault is not None:
            await asyncio.sleep(PAUSE_S)
        answer = await asker.ask(tally, mix.prompt, mix.output)


async def _open(asker: Asker, mix: Mix, tally: Tally, draw: random.Random) -> None:
    """Poisson arrivals: each at its own moment, whether or not earlier ones have been answered."""
    assert mix.rate_hz is not None
    async with asyncio.TaskGroup() as requests:
        due_s = time.monotonic()
        while True:
            due_s += draw.expovariate(mix.rate_hz)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            tally.late_s.append(max(0.0, time.monotonic() - due_s))
            if len(tally.in_flight) >= MOST_IN_FLIGHT:
                tally.shed += 1
                continue
            requests.create_task(_arrival(asker, mix, tally))


async def _arrival(asker: Asker, mix: Mix, tally: Tally) -> None:
    """One request; arrivals and departures may balance once the first has been answered."""
    await asker.ask(tally, mix.prompt, mix.output)
    if tally.steady_s is None:
        tally.steady_s = time.monotonic()
