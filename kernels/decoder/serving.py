"""Continuous batching over one session: a slot whose request ends is refilled at once.

The books are the host's (slots.py), the tokens the device's; nothing is read back while serving.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .gate import Trace, poison
from .loops import Session
from .opened import Check
from .pace import Pacer
from .requests import Prompts
from .slots import Refill, Slots, Step

Event = Refill | Step
Stop = Callable[[], bool]

DISTINCT = 0.5  # share of outputs that must differ, as of the rows of a data profile
REFILLED_STEPS = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """A finished request as the device left it: its tokens, and where the output starts."""

    number: int
    sequence: Tensor
    start: int

    @property
    def tokens(self) -> list[int]:
        """The sequence on the host."""
        tokens: list[int] = self.sequence.tolist()
        return tokens


class Server:
    """A session in the steady state of its slots.

    ``opening`` holds each row's prompt, longer than its request's by what the request would have
    produced already: its cache comes from a real prefill, and serving starts in the steady state.
    ``tally`` counts on the device the tokens of requests that have left their slots, ``prompted``
    those of the prompts that ``prefill`` cached; ``samples`` are the first, the last and a random
    request finished since ``forget``.
    """

    def __init__(self, session: Session, slots: Slots, prompts: Prompts) -> None:
        self.session, self.slots, self.prompts = session, slots, prompts
        self.tally = torch.zeros((), dtype=torch.int64, device=session.decoder.device)
        self.prompted = torch.zeros_like(self.tally)
        generator = torch.Generator().manual_seed(slots.mix.seed)
        weights = torch.randint(1 << 62, (slots.mix.longest[1],), generator=generator)
        self._weights = weights.to(self.tally.device)
        self._random = random.Random(slots.mix.seed)
        self.open()

    def open(self) -> None:
        """Prefill every slot to where the books have it; whatever was in flight is dropped."""
        self.opening = [
            self.prompts.prompt(self.slots.request(row).number, self.slots.cached(row))
            for row in range(self.slots.batch)
        ]
        self.session.prefill(self.opening)
        self.forget()

    def forget(self) -> None:
        """Drop what is known of finished requests."""
        self._fingerprints: list[Tensor] = []
        self._kept: dict[str, Sample] = {}

    @property
    def samples(self) -> list[Sample]:
        """Each one once, though it be first and last."""
        return list({sample.number: sample for sample in self._kept.values()}.values())

    def serve(self, pacer: Pacer[Event], stop: Stop) -> None:
        """Decode and refill until stop(); units are generated tokens, a refill's first included."""
        while not stop():
            for row in self.slots.finished():
                pacer.queued(self._refill(row), 1)
            pacer.queued(self._step(), self.slots.batch)

    def decode(self, pacer: Pacer[Event], stop: Stop) -> None:
        """Step every slot, refilling none, and leave each where it was; units are tokens.

        All slots go back to where the youngest had its first token, step until the oldest ends,
        and go back again: evenly staggered, they pass every context as often as when serving.
        """
        session, slots = self.session, self.slots
        places = [slots.cached(row) for row in range(slots.batch)]
        ends = [slots.end(row) for row in range(slots.batch)]
        back = min(place - length for place, length in zip(places, session.lengths, strict=True))
        most = max(1, back + min(end - place for end, place in zip(ends, places, strict=True)))
        session.turn_to([place - back for place in places])
        held, steps = session.hold(), 0
        while not stop():
            if steps == most:
                session.resume(held)
                steps = 0
            session.step()
            steps += 1
            pacer.queued(Step(()), slots.batch)
        session.turn_to(places)

    def prefill(self, pacer: Pacer[Event], stop: Stop) -> None:
        """Refill one slot over and over, no slot decoding; units are prompt tokens.

        It is the slot that is next to end: its request is given up, the last new one stays in it,
        and every other slot is where it was.
        """
        row, request = self.slots.next_to_end(), None
        while not stop():
            request = self.slots.take()
            self._prefill(row, request.number, request.prompt_tokens)
            self.prompted.add_((self.session.history[row, : request.prompt_tokens] >= 0).sum())
            pacer.queued(Refill(row, request), request.prompt_tokens)
        if request is not None:
            self.slots.replace(row, request)

    @torch.inference_mode()
    def made(self) -> int:
        """Tokens on the device: of the requests that left, and of those in flight. Waits for it."""
        session = self.session
        places = torch.arange(session.history.shape[1], device=session.history.device)
        starts = torch.tensor(session.lengths, device=places.device)[:, None]
        inside = (places >= starts) & (places <= session.positions[:, None])
        return int(self.tally) + int((inside & (session.history >= 0)).sum())

    def stepped(self) -> int:
        """Tokens of all steps so far, by the device's counter. Waits for it."""
        return int(self.session.made) * self.slots.batch

    def cached(self) -> int:
        """Prompt tokens that ``prefill`` cached so far, by the device's counter. Waits for it."""
        return int(self.prompted)

    def distinct(self) -> Check:
        """Whether the outputs of requests finished since ``forget`` differ, as a whole."""
        prints = torch.stack(self._fingerprints).tolist() if self._fingerprints else []
        different = len(set(prints))
        detail = f"{different} of {len(prints)} finished requests differ in their output"
        return ("distinct outputs", different >= DISTINCT * len(prints), detail)

    def _refill(self, row: int) -> Refill:
        self._leave(row)
        request = self.slots.take()
        self._prefill(row, request.number, request.prompt_tokens)
        return self.slots.admit(row, request)

    def _prefill(self, row: int, number: int, length: int) -> None:
        self.session.refill(row, self.prompts.prompt(number, length))

    def _step(self) -> Step:
        self.session.step()
        return self.slots.step()

    @torch.inference_mode()
    def _leave(self, row: int) -> None:
        """Count and remember what a slot produced, before its history is written over."""
        start, end = self.session.lengths[row], self.slots.cached(row) + 1
        sequence = self.session.history[row, :end].clone()
        output = sequence[start:]
        self.tally.add_((output >= 0).sum())
        self._fingerprints.append((output * self._weights[: len(output)]).sum())
        sample = Sample(self.slots.request(row).number, sequence, start)
        self._kept.setdefault("first", sample)
        self._kept["last"] = sample
        if self._random.randrange(len(self._fingerprints)) == 0:
            self._kept["random"] = sample


@torch.inference_mode()
def refilled(server: Server) -> list[Trace]:
    """The last slot refilled while the others decode on: its trace and the first slot's.

    The server must be as opened, and is left so.
    """
    session, row = server.session, server.slots.batch - 1
    request = server.slots.take()
    new = server.prompts.prompt(request.number, request.prompt_tokens)
    session.clear()
    session.step()
    session.refill(row, new)
    poison(session)
    seen = []
    for _ in range(min(REFILLED_STEPS, session.steps_left)):
        session.logits.fill_(torch.nan)
        session.step()
        seen.append(session.logits[[0, row]].clone())
    scores = torch.stack(seen, dim=1)
    traces = []
    for index, (which, prompt) in enumerate({0: server.opening[0], row: new}.items()):
        produced = session.produced(which)
        known = [*prompt, *produced[: -len(seen)]]
        traces.append(Trace(tuple(known), tuple(produced[-len(seen) :]), scores[index]))
    session.refill(row, server.opening[row])
    session.clear()
    return traces
