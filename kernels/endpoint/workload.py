"""An engine of somebody else's behind HTTP, driven as a workload: its unit is one generated token.

Needs aiohttp and psutil only once prepared. The API key comes from OPENAI_API_KEY and stays there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..latency import percentiles
from .address import parse, server_pids
from .dialect import Api
from .prompts import SPACE, Prompts, Scale
from .tally import Ratio, Tally, disagrees
from .wire import plain

if TYPE_CHECKING:
    from .client import Client
    from .dialect import Dialect
    from .load import Mix
    from .probes import Listing
    from .tally import Answer

KEY = "OPENAI_API_KEY"
TIERS = ("T0", "T1", "T2", "T3")
DEGENERATE = 0.5
LOOSE_COUNT = 0.01

Check = tuple[str, bool, str]


@dataclass(frozen=True, slots=True)
class Known:
    """What prepare() found out about the server."""

    listing: Listing
    dialect: Dialect
    scale: Scale
    answers: list[Answer]
    prefix_cache: Mapping[str, Any]
    hang_up: Mapping[str, Any]
    server: str | None


class EndpointWorkload:
    """Distinct prompts of ``prompt`` tokens, each answered by ``output``, from the server at
    ``url``, which must be on this host.

    ``load`` "closed" keeps ``concurrency`` requests in flight, "poisson" sends ``rate_hz`` a
    second at random moments. ``timeout_s`` bounds every silence of the server. ValueError for
    arguments that no server could serve.
    """

    name = "endpoint"
    unit = "token"

    def __init__(
        self,
        url: str,
        *,
        model_id: str | None = None,
        load: Literal["closed", "poisson"] = "closed",
        concurrency: int = 8,
        rate_hz: float | None = None,
        prompt: int = 1024,
        output: int = 1024,
        seed: int = 0,
        timeout_s: float = 120.0,
        api: Api = "completions",
        tier: Literal["T0", "T1", "T2", "T3"] = "T2",
    ) -> None:
        self.model_id, self.load, self.concurrency, self.rate_hz = (
            model_id, load, concurrency, rate_hz,
        )  # fmt: skip
        self.prompt, self.output, self.seed = prompt, output, seed
        self.timeout_s, self.api, self.tier = timeout_s, api, tier
        self._check_plan()
        self.address = parse(url)
        self._nonce = secrets.randbelow(SPACE)
        self._prompts = Prompts(seed, self._nonce)
        self._draw = random.Random(seed)
        self._ratio = Ratio()
        self._known: Known | None = None
        self._facts: list[Mapping[str, Any]] = []
        self._last: tuple[int, Tally] | None = None
        self._disagreeing = 0

    def prepare(self, *, group_s: float | None = None) -> None:
        """Find the server, its model and its manners. A server's launches are its own: ``group_s``
        changes nothing.

        ImportError without aiohttp, ConnectionError when nobody answers, ValueError when the
        server does not serve such requests.
        """
        del group_s
        if self._known is None:
            self._known = asyncio.run(self._explore())

    async def _explore(self) -> Known:
        async with self._client() as client:
            from . import probes
            from .load import Asker

            listing = await probes.find_model(client, self.model_id)
            dialect = await probes.find_dialect(client, self.api, listing.model, self._prompts)
            asker = Asker(client, dialect, self._prompts, Scale())
            asker = await probes.find_scale(asker, self.prompt)
            answers = await probes.some_answers(asker)
            for answer in answers:
                self._ratio.learn(answer)
            return Known(
                listing,
                dialect,
                asker.scale,
                answers,
                await probes.prefix_cache(asker, self.prompt),
                await probes.hang_up(asker, self._mix(), server_pids(self.address)[0]),
                client.server,
            )

    def describe(self) -> Mapping[str, Any]:
        """What is asked of whom; after ``prepare``.

        ``server_pids`` are the processes behind the port, so that a harness can look for them on
        its device; without any, ``server_pids_reason`` says why.
        """
        known = self._prepared()
        pids, reason = server_pids(self.address)
        return {
            "name": self.name,
            "backend": "endpoint",
            "tier": self.tier,
            "unit": self.unit,
            "config": self._config(known),
            "data_profile": self._data_profile(known),
            "sources": _own_sources(),
            "server_pids": list(pids),
            "server_pids_reason": reason,
            "prefix_cache": known.prefix_cache,
            "hang_up": known.hang_up,
        }

    def verify(self) -> list[Check]:
        """That a model of this name answers, counts its tokens, and streams what it counts."""
        known = self._prepared()
        listing, answers = known.listing, known.answers
        wrong = [a for a in answers if a.usage is not None and disagrees(a.pieces, a.usage)]
        tokens = sum(a.usage.completion for a in answers if a.usage is not None)
        pieces = sum(a.pieces for a in answers)
        same = answers[-1].text == answers[-2].text
        listed = "listed" if listing.listed else f"not listed ({listing.reason or 'empty list'})"
        return [
            ("the model answers", True, f"{plain(listing.model)}, {listed}"),
            ("usage counts tokens", tokens > 0, f"{tokens} tokens in {len(answers)} answers"),
            ("usage agrees with the stream", not wrong, f"{tokens} tokens, {pieces} pieces"),
            (
                "a greedy answer repeats (reported)",
                True,
                "the same text twice" if same else "another text the second time",
            ),
        ]

    def run(self, mark: Callable[[float, int], None], stop: Callable[[], bool]) -> None:
        """Load the server until stop(); latencies and counts of requests become facts.

        ConnectionError once the server answers nothing any more.
        """
        known = self._prepared()
        tally = Tally(self._ratio)
        reported = 0

        def note(t_s: float, units: int) -> None:
            nonlocal reported
            reported = units
            mark(t_s, units)

        began_s, used_s = time.monotonic(), time.process_time()
        asyncio.run(self._drive(known, tally, note, stop))
        share = (time.process_time() - used_s) / (time.monotonic() - began_s)
        counted = tally.counted()
        hung_up = tally.hang_up()
        self._last = (reported, tally)
        self._disagreeing += tally.disagreeing
        self._note("requests", {**tally.facts(), "hung_up": hung_up, "counted": counted,
                                "client_cpus": share})  # fmt: skip
        if tally.gaps_s:
            self._note("step_latency", percentiles(tally.gaps_s))
        parts = {"ttft": tally.ttft_s, "tpot": tally.tpot_s}
        self._note(
            "request_latency",
            {name: percentiles(part) for name, part in parts.items()},
        )

    async def _drive(
        self,
        known: Known,
        tally: Tally,
        mark: Callable[[float, int], None],
        stop: Callable[[], bool],
    ) -> None:
        from .load import Asker, drive

        async with self._client() as client:
            asker = Asker(client, known.dialect, self._prompts, known.scale)
            await drive(asker, self._mix(), tally, self._draw, mark=mark, stop=stop)

    def facts(self) -> list[Mapping[str, Any]]:
        """Facts since the last call."""
        facts, self._facts = self._facts, []
        return facts

    def check(self) -> list[Check]:
        """Of the last run: that tokens came, as many as were reported and as streamed."""
        if self._last is None:
            return []
        reported, tally = self._last
        counted = tally.counted()
        return [
            (
                "answers came",
                counted > 0 or (self.load == "poisson" and not tally.faults),
                f"{tally.completed} whole ones, {counted:.0f} tokens",
            ),
            (
                "tokens reported = produced",
                abs(reported - counted) <= max(1.0, LOOSE_COUNT * counted),
                f"{reported} reported, {counted:.0f} by the server's count",
            ),
            (
                "usage agrees with the stream",
                self._disagreeing == 0,
                f"{self._disagreeing} answers of all runs stream more pieces than tokens",
            ),
        ]

    def close(self) -> None:
        """Forget the server; it goes on by itself."""
        self._known = None

    def _client(self) -> Client:
        try:
            from .client import Client
        except ModuleNotFoundError as error:
            text = f"{error.name} is missing: pip install 'joulemark[endpoint]'"
            raise ImportError(text) from error
        key = os.environ.get(KEY) or None
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ValueError(f"{KEY} is no key: it holds other than printable ASCII")
        return Client(self.address, key, self.timeout_s)

    def _mix(self) -> Mix:
        from .load import Mix

        return Mix(self.prompt, self.output, self.concurrency, self.rate_hz)

    def _note(self, name: str, data: Mapping[str, Any]) -> None:
        self._facts.append({"kind": "event", "t_s": time.monotonic(), "name": name, "data": data})

    def _config(self, known: Known) -> dict[str, Any]:
        extensions = known.dialect.known
        return {
            "model": plain(known.listing.model),
            "url": self.address.base,
            "server": known.server,
            "engine": known.listing.owner,
            "api": self.api,
            "load": self.load,
            "concurrency": self.concurrency if self.load == "closed" else None,
            "rate_hz": self.rate_hz,
            "prompt": self.prompt,
            "output": self.output,
            "mix": {"in_tokens": self.prompt, "out_tokens": self.output},
            "exact_output": "ignore_eos" in extensions,
            "extensions": list(extensions),
            "seed": self.seed,
            "nonce": self._nonce,
            "timeout_s": self.timeout_s,
            "weights": None,
        }

    def _data_profile(self, known: Known) -> dict[str, Any]:
        texts = [answer.text for answer in known.answers[:-1]]
        share = len(set(texts)) / len(texts)
        degenerate = [f"only {share:.0%} of the answers differ"] if share < DEGENERATE else []
        return {
            "prompts": "random words",
            "seed": self.seed,
            "distinct_answers": share,
            "degenerate": degenerate,
        }

    def _check_plan(self) -> None:
        for key in ("concurrency", "prompt", "output"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{key} must be a whole number above 0, not {value!r}")
        choices = {"load": ("closed", "poisson"), "api": ("completions", "chat"), "tier": TIERS}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise ValueError(f"{key} must be {' or '.join(known)}, not {getattr(self, key)!r}")
        if (self.load == "poisson") != (self.rate_hz is not None):
            raise ValueError("a rate goes with poisson load, and poisson load with a rate")
        for key in ("rate_hz", "timeout_s"):
            value = getattr(self, key)
            if value is not None and not 0 < value < 1e6:
                raise ValueError(f"{key} must be above 0 and below a million, not {value!r}")

    def _prepared(self) -> Known:
        if self._known is None:
            raise RuntimeError("prepare() has not been called")
        return self._known


def _own_sources() -> dict[str, str]:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return {f"endpoint/{f.name}": hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
