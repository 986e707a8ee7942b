"""Which request is in which slot, and how long each one waited: a server's books on the host.

Lengths are known beforehand, so neither the run nor its prediction reads anything back from the
device. Nothing here needs torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from .requests import Mix, Request

SETTLING = 3  # mean requests per slot that ragged books run through before they start
REQUESTS_SEEN = 64  # over which ragged lengths come to their means within a few percent


@dataclass(frozen=True, slots=True)
class Refill:
    """A request was given to a slot, prefilled, and its first token exists."""

    row: int
    request: Request


@dataclass(frozen=True, slots=True)
class Step:
    """Every slot has one more token; it was the last one of the rows in ``ended``."""

    ended: tuple[int, ...]


class Slots:
    """``batch`` requests in flight in the steady state: at any step as many end as at any other.

    Fixed requests are staggered evenly. Ragged ones start so as well and are followed, on paper,
    for SETTLING requests per slot, until long ones hold slots as often as they do in the long run.
    """

    def __init__(self, mix: Mix, batch: int) -> None:
        self.mix, self.batch = mix, batch
        self.now = 0
        self._next = 0
        self._due: defaultdict[int, list[int]] = defaultdict(list)
        self._requests: list[Request] = []
        self._began: list[int] = []
        for row in range(batch):
            request = self.take()
            self._requests.append(request)
            self._began.append(0)
            self._admit(row, request, -(row * (request.output_tokens - 1) // batch))
        if mix.kind == "ragged":
            for _ in range(SETTLING * mix.output):
                self._refill()
                self.step()
            self._refill()

    def _refill(self) -> None:
        for row in self.finished():
            self.admit(row, self.take())

    def take(self) -> Request:
        """The next request, which nobody has had."""
        request = self.mix.request(self._next)
        self._next += 1
        return request

    def admit(self, row: int, request: Request) -> Refill:
        """Give a free slot a request, whose first token exists at once."""
        return self._admit(row, request, self.now)

    def _admit(self, row: int, request: Request, began: int) -> Refill:
        self._requests[row], self._began[row] = request, began
        self._due[self._ends(row)].append(row)
        return Refill(row, request)

    def step(self) -> Step:
        """One more token in every slot; the rows that end must be refilled before the next."""
        self.now += 1
        return Step(tuple(self._due.get(self.now, ())))

    def finished(self) -> list[int]:
        """The rows whose last token exists, to be refilled now; asked once."""
        return self._due.pop(self.now, [])

    def next_to_end(self) -> int:
        """The row of the request that ends first, or has ended."""
        return min(range(self.batch), key=self._ends)

    def replace(self, row: int, request: Request) -> None:
        """Give up the request in a slot for a new one."""
        self._due[self._ends(row)].remove(row)
        self.admit(row, request)

    def request(self, row: int) -> Request:
        """The request in a slot."""
        return self._requests[row]

    def cached(self, row: int) -> int:
        """Tokens of a slot that are cached: its prompt, and all produced ones but the last."""
        return self._requests[row].prompt_tokens + self.now - self._began[row]

    def end(self, row: int) -> int:
        """``cached`` of a slot when its request's last token exists."""
        request = self._requests[row]
        return request.prompt_tokens + request.output_tokens - 1

    def _ends(self, row: int) -> int:
        return self._began[row] + self._requests[row].output_tokens - 1

    def course(self, steps: int) -> Iterator[Refill | Step]:
        """What happens over so many steps, in order."""
        for _ in range(steps):
            for row in self.finished():
                yield self.admit(row, self.take())
            yield self.step()


def mean_span(mix: Mix, batch: int, bucket: int, capacity: int) -> float:
    """Slots of a cache that a step reads of each row: as many as the longest row's, rounded up to
    multiples of ``bucket`` within the ``capacity``. Mean over the steps of a request, or of
    REQUESTS_SEEN where lengths differ.
    """
    books, spans = Slots(mix, batch), []
    rounds = 1 if mix.kind == "fixed" else -(-REQUESTS_SEEN // batch)
    for event in books.course(rounds * (mix.output - 1)):
        if isinstance(event, Step):
            span = max(map(books.cached, range(batch)))
            spans.append(min(capacity, -(-span // bucket) * bucket))
    return sum(spans) / len(spans)


class Watch:
    """Latencies of a course whose every event has a time, seconds since its start.

    ``ttft_s`` runs from the step that freed the slot to the first token, so a request also waits
    for those refilled before it; ``tpot_s`` is (last − first) / (n − 1) of each request whose
    every token was seen; ``gaps`` are inter-token latencies and how many tokens had each, the
    pauses for other rows' prefills included.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.ttft_s: list[float] = []
        self.gaps: list[tuple[float, int]] = []
        self.prefill_s = self.decode_s = 0.0
        self.prefill_tokens = self.steps = 0
        self._tpot_s: list[float] = []
        self._first: dict[int, tuple[float, int]] = {}  # row -> time, steps before it
        self._fresh: dict[int, float] = {}  # rows without a token since their first
        self._stepped_s = self._last_s = 0.0

    def __call__(self, t_s: float, event: Refill | Step) -> None:
        """See one event, later than all before."""
        if isinstance(event, Refill):
            self._refilled(t_s, event)
        else:
            self._stepped(t_s, event)
        self._last_s = t_s

    def _refilled(self, t_s: float, event: Refill) -> None:
        self.prefill_s += t_s - self._last_s
        self.prefill_tokens += event.request.prompt_tokens
        self.ttft_s.append(t_s - self._stepped_s)
        self._first[event.row] = (t_s, self.steps)
        self._fresh[event.row] = t_s

    def _stepped(self, t_s: float, event: Step) -> None:
        self.decode_s += t_s - self._last_s
        self.steps += 1
        if old := self.batch - len(self._fresh):
            self.gaps.append((t_s - self._stepped_s, old))
        self.gaps.extend((t_s - first_s, 1) for first_s in self._fresh.values())
        self._fresh.clear()
        self._stepped_s = t_s
        for row in event.ended:
            if row in self._first:
                first_s, before = self._first.pop(row)
                self._tpot_s.append((t_s - first_s) / (self.steps - before))

    @property
    def whole_requests(self) -> int:
        """Requests of which every token was seen."""
        return len(self._tpot_s)

    @property
    def tpot_s(self) -> list[float]:
        """Of each whole request; of a course too short for one, of its longest part of one."""
        if self._tpot_s or not self.steps:
            return self._tpot_s
        return [self._stepped_s / self.steps]

    def phases(self) -> dict[str, float | int]:
        """Seconds and tokens of prefills (prompt tokens) and of steps (generated tokens)."""
        return {
            "prefill_s": self.prefill_s,
            "decode_s": self.decode_s,
            "prefill_tokens": self.prefill_tokens,
            "decode_tokens": self.steps * self.batch,
        }
