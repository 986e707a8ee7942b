"""Counts what answers brought and when: tokens, latencies, failures. Knows no network.

A streamed piece need not be one token, so pieces are credited as they arrive at the tokens per
piece that whole answers have shown, and each answer is put right by the server's own count when
it ends: marks in between are fair, and sums are those of ``usage``.
"""

from __future__ import annotations

import math
import statistics
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..latency import percentiles
from .wire import Piece, Usage, WireError

LOOSE_PIECES = 2
LOOSE = 0.02
"""Pieces that an answer may hold beyond its tokens: a parser's last flush, a split character."""
HOPELESS = 10


@dataclass(slots=True)
class Answer:
    """One request under way: tokens asked for, arrivals so far; times in monotonic seconds."""

    output: int
    sent_s: float
    opening: bool = False
    first_s: float | None = None
    steady_s: float | None = None
    last_s: float = 0.0
    pieces: int = 0
    pieces_since: int = 0
    credited: float = 0.0
    text: str = ""
    finish: str | None = None
    usage: Usage | None = None
    fault: WireError | None = None


@dataclass(slots=True)
class Ratio:
    """Tokens per streamed piece, learnt from whole answers; one until there is any."""

    tokens: int = 0
    pieces: int = 0

    @property
    def value(self) -> float:
        """Tokens that a piece stands for."""
        return self.tokens / self.pieces if self.pieces and self.tokens else 1.0

    def learn(self, answer: Answer) -> None:
        """Take in a whole answer."""
        if answer.usage is not None and answer.pieces:
            self.tokens += answer.usage.completion
            self.pieces += answer.pieces


@dataclass(slots=True)
class Tally:
    """What one run of requests brought; ``opening`` answers are those it starts with.

    Latencies count from ``steady_s`` on: when every opening answer has begun or failed.
    """

    ratio: Ratio
    opening: int = 0
    keep_text: bool = False
    steady_s: float | None = None
    sent: int = 0
    completed: int = 0
    shed: int = 0
    disagreeing: int = 0
    requested: int = 0
    produced: int = 0
    prompts: int = 0
    cached: int | None = None
    pieces: int = 0
    gaps_s: array[float] = field(default_factory=lambda: array("d"))
    ttft_s: array[float] = field(default_factory=lambda: array("d"))
    tpot_s: array[float] = field(default_factory=lambda: array("d"))
    lag_s: array[float] = field(default_factory=lambda: array("d"))
    late_s: array[float] = field(default_factory=lambda: array("d"))
    faults: Counter[str] = field(default_factory=Counter)
    last_fault: WireError | None = None
    in_a_row: int = 0
    in_flight: dict[int, Answer] = field(default_factory=dict)
    _credited: float = 0.0
    _shown: int = 0

    def begin(self, output: int, now_s: float, *, opening: bool = False) -> Answer:
        """A request for ``output`` tokens is sent."""
        answer = Answer(output, now_s, opening)
        self.sent += 1
        self.in_flight[id(answer)] = answer
        return answer

    def heard(self, answer: Answer, now_s: float, pieces: Sequence[Piece]) -> None:
        """One arrival: the pieces that came with it."""
        for piece in pieces:
            answer.usage = piece.usage or answer.usage
            answer.finish = piece.finish or answer.finish
            if self.keep_text:
                answer.text += piece.text
        texts = sum(bool(piece.text) for piece in pieces)
        if texts:
            self._arrived(answer, now_s, texts)

    def end(self, answer: Answer) -> None:
        """The stream came to its end; without token counts that is a failure too."""
        usage = answer.usage
        if usage is None:
            self.fail(answer, WireError("usage", "the stream ends without usage"))
            return
        del self.in_flight[id(answer)]
        self._begun(answer, answer.last_s or answer.sent_s)
        self._credited += usage.completion - answer.credited
        self.completed += 1
        self.in_a_row = 0
        self.requested += answer.output
        self.produced += usage.completion
        self.prompts += usage.prompt
        if usage.cached is not None:
            self.cached = (self.cached or 0) + usage.cached
        self.pieces += answer.pieces
        self.disagreeing += disagrees(answer.pieces, usage)
        self._timed(answer, usage.completion / max(answer.pieces, 1))
        self.ratio.learn(answer)

    def fail(self, answer: Answer, fault: WireError) -> None:
        """The request gave no whole answer: none of its tokens count."""
        del self.in_flight[id(answer)]
        answer.fault = fault
        self._begun(answer, answer.sent_s)
        self._credited -= answer.credited
        self.faults[fault.kind] += 1
        self.last_fault = fault
        self.in_a_row += 1

    def hang_up(self) -> int:
        """The run is over: what was still under way keeps its tokens; how many those were."""
        for answer in self.in_flight.values():
            self._timed(answer, self.ratio.value)
        return len(self.in_flight)

    def counted(self) -> float:
        """Tokens by the server's count of whole answers and by pieces of those under way."""
        return self.produced + math.fsum(each.credited for each in self.in_flight.values())

    def units(self) -> int:
        """Tokens so far; never less than before, though a failure takes its own back."""
        self._shown = max(self._shown, math.floor(self._credited))
        return self._shown

    def hopeless(self, concurrency: int) -> bool:
        """Whether requests only fail, and have done so for a while."""
        return self.in_a_row >= max(HOPELESS, 2 * concurrency)

    def facts(self) -> dict[str, Any]:
        """All but the latencies, as one JSON object."""
        return {
            "sent": self.sent,
            "completed": self.completed,
            "failed": self.faults.total(),
            "faults": dict(self.faults),
            "last_fault": None if self.last_fault is None else self.last_fault.text,
            "shed": self.shed,
            "requested_tokens": self.requested,
            "produced_tokens": self.produced,
            "input_tokens": self.prompts,
            "cached_tokens": self.cached,
            "pieces": self.pieces,
            "disagreeing": self.disagreeing,
            "steady_s": self.steady_s,
            "lag_p99_s": percentiles(self.lag_s).get("p99_s"),
            "late_p99_s": percentiles(self.late_s).get("p99_s"),
        }

    def _arrived(self, answer: Answer, now_s: float, texts: int) -> None:
        value = texts * self.ratio.value
        answer.credited += value
        self._credited += value
        answer.pieces += texts
        if answer.first_s is None:
            answer.first_s = now_s
            if self.steady_s is not None and answer.sent_s >= self.steady_s:
                self.ttft_s.append(now_s - answer.sent_s)
            self._begun(answer, now_s)
        elif answer.steady_s is not None:
            self.gaps_s.append(now_s - answer.last_s)
            answer.pieces_since += texts
        answer.last_s = now_s
        if answer.steady_s is None and self.steady_s is not None:
            answer.steady_s = now_s

    def _begun(self, answer: Answer, now_s: float) -> None:
        """An opening answer has begun (or never will): once all have, the mixture is steady."""
        if not answer.opening:
            return
        answer.opening = False
        self.opening -= 1
        if self.opening == 0 and self.steady_s is None:
            self.steady_s = now_s

    def _timed(self, answer: Answer, per_piece: float) -> None:
        """Time per output token of an answer, over what came while the mixture was steady."""
        tokens = answer.pieces_since * per_piece
        if answer.steady_s is not None and tokens >= 1:
            self.tpot_s.append((answer.last_s - answer.steady_s) / tokens)


def disagrees(pieces: int, usage: Usage) -> bool:
    """Whether an answer streamed more pieces than its server counts tokens."""
    return pieces - usage.completion > max(LOOSE_PIECES, LOOSE * pieces)


def median(samples: Sequence[float]) -> float | None:
    """The middle one, None without any."""
    return statistics.median(samples) if samples else None
