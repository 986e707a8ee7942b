"""One ``bench gate --against REF``: base and head measured in turn on this machine, then judged."""

from __future__ import annotations

import random
import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.benches import Bench, Lost
from bench.cli.checkouts import Checkout, beside, checkout_here, commit_of, fingerprint
from bench.cli.gated import GateRequest
from bench.cli.gating_runs import conclude
from bench.cli.output import open_console
from bench.cli.refusal import BUG, NOT_COMPARABLE, USAGE, Refusal
from bench.cli.signals import interruptible
from bench.gate.compare import compare, default_regress
from bench.gate.pairs import Name, Pair, laid_out, orders, pair_of, run_value
from bench.gate.side import Side
from bench.machine import legible
from bench.measure import Interrupted
from bench.report.screen import Screen, open_screen, say
from bench.report.text import duration

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT = ("all", "--grade", "quick")
"""What is measured of both where nothing is named."""
MEASURING = ("all", "hash", "infer")
BY_THE_CODE = (BUG, USAGE)
"""What a base may exit with because its code lacks something, not because of the machine."""
OURS = ("--json", "--out", "--dry-run", "--csv", "--markdown", "--html", "--xlsx", "--junit")
"""Options of those commands that would keep a run from leaving its record here, or beside it."""


@dataclass(slots=True)
class Trial:
    """What was measured so far."""

    base: Checkout
    head: Checkout
    arguments: tuple[str, ...]
    pairs: list[Pair] = field(default_factory=list)
    seeds: list[int | None] = field(default_factory=list)
    firsts: list[Name] = field(default_factory=list)


def run_gate(request: GateRequest) -> int:
    """Everything ``bench gate --against REF`` does; raises Refusal with the status that fits."""
    assert request.against is not None, "checked"
    arguments = _arguments(request.command)
    console = open_console(request)
    head = checkout_here()
    commit = commit_of(request.against, head)
    trial = Trial(Checkout(Path(), commit), head, arguments)
    try:
        with interruptible():
            _measure(request, trial, console)
    except Interrupted as interrupt:
        text = f"interrupted after {len(trial.pairs)} of {request.turns} pairs: nothing is judged"
        raise Refusal(128 + interrupt.number, text) from interrupt
    return _judge(request, trial, console)


def _arguments(command: Sequence[str]) -> tuple[str, ...]:
    """The command that both sides run."""
    arguments = tuple(command) or DEFAULT
    if arguments[0] not in MEASURING:
        text = f"use {', '.join(MEASURING[:-1])} or {MEASURING[-1]} with its options"
        raise Refusal(USAGE, f"--against measures no {legible(arguments[0])!r}: {text}")
    taken = next((each for each in arguments if each.partition("=")[0] in OURS), None)
    if taken is not None:
        text = "the gate takes each run's record itself; leave it out after --"
        raise Refusal(USAGE, f"{legible(taken)} of bench {arguments[0]}: {text}")
    return arguments


def _measure(request: GateRequest, trial: Trial, console: Console) -> None:
    """Both warmed, then the pairs; the worktree is gone when it ends, however it does."""
    assert request.against is not None, "checked"
    with beside(trial.head, trial.base.commit, request.against) as (base, folder):
        benches: dict[Name, Bench] = {
            "base": Bench(f"{legible(request.against)}", base, folder / "of-base"),
            "head": Bench("the checkout", trial.head, folder / "of-head"),
        }
        for each in benches.values():
            each.prove()
        before = fingerprint(trial.head)
        _tell(request, trial, console)
        run_s = benches["head"].planned_s(trial.arguments)
        screen = open_screen(console)
        try:
            _Turns(benches, trial, screen, run_s, request.turns).take()
        finally:
            screen.close()
        if fingerprint(trial.head) != before:
            text = "the checkout was changed while it was measured; leave it alone until the end"
            raise Refusal(NOT_COMPARABLE, text)


def _tell(request: GateRequest, trial: Trial, console: Console) -> None:
    base, head = trial.base, trial.head
    say(console, f"base: {legible(str(request.against))}, {base.said}; head: here, {head.said}")
    if base.commit == head.commit and not head.changed:
        say(console, "Both sides are the same code: what differs is noise.")


class _Turns:
    """The runs in their order, with the time that is left."""

    def __init__(
        self,
        benches: dict[Name, Bench],
        trial: Trial,
        screen: Screen,
        run_s: float,
        pairs: int,
    ) -> None:
        self._benches = benches
        self._trial = trial
        self._screen = screen
        self._planned_s = run_s
        self._took_s: list[float] = []
        self._pairs = pairs
        self._left = 2 * pairs + 2
        self._own_seed = any(each.partition("=")[0] == "--seed" for each in trial.arguments)

    def take(self) -> None:
        """Warm both, then measure the pairs into the trial."""
        asked, runs = " ".join(map(legible, self._trial.arguments)), self._left
        self._screen.say(
            f"bench {asked}: {self._pairs} pairs of runs and one of each to warm up, {runs} runs"
            f" of about {duration(self._planned_s)}: {duration(runs * self._planned_s)} in all"
        )
        for name in self._benches:
            self._warm(name)
        draw = random.Random(secrets.randbits(64))
        for number, order in enumerate(orders(self._pairs, draw), 1):
            seed = None if self._own_seed else draw.randrange(2**31)
            sides = {name: self._run(name, f"pair {number} of {self._pairs}", seed)
                     for name in order}  # fmt: skip
            pair = pair_of(_side(sides["base"]), _side(sides["head"]))
            self._trial.pairs.append(pair)
            self._trial.seeds.append(seed)
            self._trial.firsts.append(order[0])
            self._screen.say(f"pair {number:>2}/{self._pairs}, {order[0]} first: {_said(pair)}")

    def _warm(self, name: Name) -> None:
        """Compiled and cached afterwards; Refusal where a side cannot run at all.

        A run that is not to be believed may have been the machine's fault, two of them hardly.
        """
        found = self._run(name, "warm up", None)
        if isinstance(found, Side) and found.spoilt:
            self._left += 1
            found = self._run(name, "warm up again", None)
        self._took_s.clear()
        if isinstance(found, Side) and found.spoilt:
            text = f"{self._benches[name].name}: warming up twice, {found.spoilt}"
            raise Refusal(NOT_COMPARABLE, text)
        if isinstance(found, Lost):
            status = found.status or USAGE
            theirs = name == "base" and status in BY_THE_CODE
            who = self._benches[name].name
            text = f"{who}: bench {self._trial.arguments[0]} left no record: {found.said}"
            raise Refusal(NOT_COMPARABLE if theirs else status, text)

    def _run(self, name: Name, what: str, seed: int | None) -> Side | Lost:
        run_s = statistics.median(self._took_s) if self._took_s else self._planned_s
        self._screen.doing(f"{what}: {name}", self._left * run_s)
        began_s = time.monotonic()
        found = self._benches[name].measure(self._trial.arguments, seed)
        self._took_s.append(time.monotonic() - began_s)
        self._left -= 1
        return found


def _side(found: Side | Lost) -> Side | str:
    return f"exit {found.status}, {found.said}" if isinstance(found, Lost) else found


def _said(pair: Pair) -> str:
    """A pair's figures on a line, or why it is lost."""
    if pair.lost is not None:
        name, why = pair.lost
        return f"lost, {name}: {why}"
    ratios = (
        f"{name} {100 * (ratio - 1):+.2f} %" for name, ratio in _ratios(pair) if ratio is not None
    )
    return ", ".join(ratios) or "no figure in both"


def _ratios(pair: Pair) -> Iterator[tuple[str, float | None]]:
    """Head over base of each figure of the base; None where a run lacks it."""
    assert pair.base is not None, "not lost"
    assert pair.head is not None, "not lost"
    later = {each.name: each for each in pair.head.gauges}
    for each in pair.base.gauges:
        now = later.get(each.name)
        known = each.values and now and now.values
        yield each.name, run_value(now) / run_value(each) if known and now else None


def _judge(request: GateRequest, trial: Trial, console: Console) -> int:
    base, head = laid_out(trial.pairs)
    given = request.regress
    found = compare(
        base,
        head,
        max_regress=default_regress(base, head) if given is None else given,
        confidence=request.sure,
        paired=True,
    )
    if head.spoilt:
        say(console, f"not comparable: {head.spoilt}")
    ref = legible(str(request.against))
    more = {"against": {"ref": ref, **_written(trial)}}
    return conclude(request, found, head.boundary, console, against=ref, more=more)


def _written(trial: Trial) -> dict[str, Any]:
    """How it was measured, each pair with its ratios: enough to judge it again."""
    pairs = [
        {
            "first": first,
            "seed": seed,
            "lost": None if pair.lost is None else f"{pair.lost[0]}: {pair.lost[1]}",
            "ratios": {} if pair.lost else dict(_ratios(pair)),
        }
        for pair, seed, first in zip(trial.pairs, trial.seeds, trial.firsts, strict=True)
    ]
    return {
        "base": trial.base.commit,
        "head": trial.head.commit,
        "head_changed": trial.head.changed,
        "command": [legible(each) for each in trial.arguments],
        "pairs": pairs,
    }
