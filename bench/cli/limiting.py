"""How a card gets the limits of a sweep: by the operator's hand, through NVML, or by being made up.

Whoever sets it, the card is read anew before anything is measured under it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from bench.cli.intents import forget, held, intent_of_this_process
from bench.cli.leftover import operators_command
from bench.cli.refusal import ENVIRONMENT, Refusal
from bench.cli.rig import Target, find_target
from bench.meters.power_limit import SAME_W, LimitRange, NotPermittedError, PowerLimit
from bench.ports import MeterError
from bench.report.screen import open_screen
from bench.simulate import limit_range_w, limited

if TYPE_CHECKING:
    from rich.console import Console

    from bench.cli.request import Request

POLL_S = 1.0
"""How often the limit is read while the operator is awaited."""


def range_of(target: Target, limit: PowerLimit | None) -> LimitRange:
    """What the card takes, simulated without ``limit``; MeterError when it has no limit."""
    if limit is not None:
        return limit.range()
    assert target.card is not None, "a card without NVML is a simulated one"
    least_w, most_w = limit_range_w(target.card)
    return LimitRange(least_w, most_w, most_w)


class Limiter(Protocol):
    """Brings one card to the limits of a sweep."""

    def held(self) -> contextlib.AbstractContextManager[None]:
        """The time in which limits are brought; what was changed here is undone at its end."""

    def bring(self, watts: float, interrupted: Callable[[], bool]) -> Target | None:
        """The card, read anew, under this limit; None when an interrupt came first.

        Refusal when it does not get there.
        """

    def ending(self) -> tuple[str | None, bool]:
        """A line on the limit that the sweep leaves, and whether that is as it was promised."""


class SimulatedLimiter:
    """A simulated card obeys."""

    def __init__(self, target: Target) -> None:
        assert target.card is not None, "only a simulated card is made up under a limit"
        self._target, self._card = target, target.card

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing to undo."""
        yield

    def bring(self, watts: float, interrupted: Callable[[], bool]) -> Target | None:
        """The card as it is under this limit, its known answers included."""
        if interrupted():
            return None
        card, facts = limited(self._card, watts), self._target.facts
        names = facts.truth
        truth = None if names is None else {name: card.truth[name] for name in names}
        return replace(
            self._target, card=card, facts=replace(facts, power_limit_w=watts, truth=truth)
        )

    def ending(self) -> tuple[str | None, bool]:
        """Nothing was changed."""
        return None, True


class _CardLimiter:
    """What the two ways to limit a real card have in common."""

    def __init__(self, request: Request, target: Target, limit: PowerLimit) -> None:
        """MeterError when the limit cannot be read."""
        self._limit = limit
        self._before = target.facts
        self._inference = target.inference
        self._request = replace(request, gpu=target.facts.index)
        self._original_w = limit.asked_w()

    def _read(self, watts: float) -> Target:
        """The card under this limit, and that it is the card, under the limit."""
        target = find_target(self._request)
        found_w = target.facts.power_limit_w
        if target.facts.uuid != self._before.uuid:
            text = f"GPU {self._before.index} is another card now: {target.facts.uuid}"
            raise Refusal(ENVIRONMENT, f"{text}; start the sweep again")
        if found_w is None or abs(found_w - watts) > SAME_W:
            text = f"the limit left {watts:g} W before anything was measured"
            raise Refusal(ENVIRONMENT, f"{text}: see that nothing else sets it")
        return replace(target, inference=self._inference)


class OperatedLimiter(_CardLimiter):
    """Says what the operator has to type and waits until the limit reads so."""

    def __init__(
        self,
        request: Request,
        target: Target,
        limit: PowerLimit,
        *,
        console: Console,
        wait_s: float,
    ) -> None:
        super().__init__(request, target, limit)
        self._console = console
        self._wait_s = wait_s

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing of ours to undo."""
        yield

    def bring(self, watts: float, interrupted: Callable[[], bool]) -> Target | None:
        """Await it, no longer than was asked for."""
        command = operators_command(self._before, watts)
        screen = open_screen(self._console)
        until_s = time.monotonic() + self._wait_s
        try:
            while abs(self._enforced_w() - watts) > SAME_W:
                if interrupted():
                    return None
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    text = f"the limit did not become {watts:g} W within {self._wait_s:g} s"
                    raise Refusal(ENVIRONMENT, f"{text}: run {command}, or wait longer with"
                                  " --wait-limit SECONDS")  # fmt: skip
                screen.doing(f"waiting for {watts:g} W; run: {command}", left_s)
                time.sleep(min(POLL_S, left_s))
        finally:
            screen.close()
        return None if interrupted() else self._read(watts)

    def ending(self) -> tuple[str | None, bool]:
        """The way back is the operator's, too."""
        command = operators_command(self._before, self._original_w)
        try:
            now_w = self._limit.asked_w()
        except MeterError as error:
            return f"The power limit cannot be read ({error}); restore it with: {command}", True
        if abs(now_w - self._original_w) <= SAME_W:
            return f"The power limit is {now_w:g} W, as before.", True
        return (
            f"The power limit is still {now_w:g} W, before it was {self._original_w:g} W;"
            f" restore it with: {command}"
        ), True

    def _enforced_w(self) -> float:
        try:
            return self._limit.enforced_w()
        except MeterError as error:
            raise Refusal(ENVIRONMENT, str(error)) from error


class AppliedLimiter(_CardLimiter):
    """Sets it through NVML and always puts back what was there."""

    def __init__(
        self, request: Request, target: Target, limit: PowerLimit, limits_w: tuple[float, ...]
    ) -> None:
        super().__init__(request, target, limit)
        self._limits_w = limits_w
        self._touched = False
        self._left: str | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The intent is on disk before the card is touched, and goes once it is as before."""
        uuid = self._before.uuid
        if uuid is None:
            text = f"{self._before.name} has no UUID by which its limit could be put back"
            raise Refusal(ENVIRONMENT, f"{text}: leave --apply out")
        with held(intent_of_this_process(uuid, self._original_w, self._limits_w)):
            try:
                self._set(self._limit.restore, self._original_w)  # as it is: may it be set at all?
                self._touched = True
                yield
            finally:
                self._put_back()
                if self._left is None:
                    forget(uuid)

    def bring(self, watts: float, interrupted: Callable[[], bool]) -> Target | None:
        """Set it and see it hold."""
        if interrupted():
            return None
        self._set(self._limit.enforce, watts)
        return self._read(watts)

    def ending(self) -> tuple[str | None, bool]:
        """That it is restored; where it could not be, what to type."""
        if self._left is not None:
            command = operators_command(self._before, self._original_w)
            return f"The power limit is NOT restored: {self._left}; run: {command}", False
        text = f"The power limit is {self._original_w:g} W again."
        return (text if self._touched else None), True

    def _set(self, how: Callable[[float], None], watts: float) -> None:
        try:
            how(watts)
        except NotPermittedError as error:
            text = f"{error}: run it as root, or leave --apply out and set the limit as it says"
            raise Refusal(ENVIRONMENT, text) from error
        except MeterError as error:
            text = f"{error}: leave --apply out and set the limit by hand, or choose another"
            raise Refusal(ENVIRONMENT, text) from error

    def _put_back(self) -> None:
        try:
            if abs(self._limit.asked_w() - self._original_w) > SAME_W:
                self._limit.restore(self._original_w)
        except MeterError as error:
            self._left = str(error)
