"""Prefill and decode of one batch: the argmax is fed back on the device, nothing syncs the host.

Timing, marks and stopping belong to whoever drives the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .model import Decoder
from .routes import open_route

if TYPE_CHECKING:
    from .fused import Fused

PREFILL_TOKENS = 16384  # per forward pass: bounds the activations, far above what fills a device


@dataclass(frozen=True, slots=True)
class Held:
    """Where every row of a session was: tokens, positions and logits, and the host's places."""

    state: tuple[Tensor, ...]
    places: tuple[int, ...]


class Session:
    """``batch`` rows being decoded over one cache of ``capacity`` positions.

    ``history`` [B, capacity + 1] holds the token at every position, prompts included, −1 where
    none has been produced; ``logits`` [B, V] are those of the last prefill or step; ``made``
    counts steps on the device since ``clear``. The host knows how far each row is, never what it
    holds: positions follow from the prompts' lengths and the steps taken. ``route`` is one of
    ``ladder.ROUTES``; compiling and capturing happen here, over the empty cache.
    """

    def __init__(
        self, decoder: Decoder, batch: int, capacity: int, *, route: str = "eager"
    ) -> None:
        device = decoder.device
        self.decoder = decoder
        self.cache = decoder.cache(batch, capacity)
        self.tokens = torch.zeros(batch, dtype=torch.int64, device=device)
        self.positions = torch.zeros(batch, dtype=torch.int64, device=device)
        self.history = torch.full((batch, capacity + 1), -1, dtype=torch.int64, device=device)
        self.logits = torch.zeros(batch, decoder.config.vocab_size, device=device)
        self.made = torch.zeros((), dtype=torch.int64, device=device)
        self.lengths: tuple[int, ...] = ()
        self._places: list[int] = [0] * batch
        self._start = tuple(part.clone() for part in self._state)
        with torch.inference_mode():
            seats = self.cache.places[:-1]
            self._route, self._fallbacks = open_route(route, self._fed_back, seats, self._fused)
            for state in (*self._state, self.made):
                state.zero_()

    @torch.inference_mode()
    def prefill(self, prompts: Sequence[Sequence[int]]) -> int:
        """Cache one prompt per row and pick each row's first token; returns prompt tokens."""
        self.lengths = tuple(map(len, prompts))
        longest = max(self.lengths)
        padded = [[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts]
        tokens = self._send(padded)
        self.positions.copy_(self._send(self.lengths))
        rows = max(1, PREFILL_TOKENS // longest)
        for first in range(0, len(prompts), rows):
            part = slice(first, first + rows)
            last = self.positions[part] - 1
            self.logits[part] = self.decoder.prefill(tokens[part], last, self.cache, first)
        self._forget(tokens)
        self._pick()
        self._start = tuple(part.clone() for part in self._state)
        self._places = list(self.lengths)
        return sum(self.lengths)

    @torch.inference_mode()
    def refill(self, row: int, prompt: Sequence[int]) -> None:
        """Cache a new prompt in one row and pick its first token; the other rows are untouched.

        The device is not waited for. A later ``rewind`` takes this row back to the end of its new
        prompt. Raises ValueError when the prompt is empty or leaves no slot for a step.
        """
        length = len(prompt)
        if not 0 < length < self.cache.capacity:
            raise ValueError(f"a prompt of {length} tokens in {self.cache.capacity} slots")
        one = slice(row, row + 1)
        tokens = self._send([list(prompt)])
        self.positions[one] = length
        self.logits[one] = self.decoder.prefill(tokens, self.positions[one] - 1, self.cache, row)
        self.tokens[one] = self.logits[one].argmax(dim=-1)
        self.history[row] = -1
        self.history[row, :length] = tokens[0]
        self.history[row, length] = self.tokens[row]
        for start, now in zip(self._start, self._state, strict=True):
            start[one] = now[one]
        self.lengths = (*self.lengths[:row], length, *self.lengths[row + 1 :])
        self._places[row] = length

    @torch.inference_mode()
    def step(self) -> None:
        """Feed back the last tokens: one more token per row."""
        self._places = [place + 1 for place in self._places]
        if self._route.name == "eager":
            ragged = len(set(self._places)) > 1
            self._advance(self.span, ragged)
        else:
            self._route.advance(self.span)

    @torch.inference_mode()
    def rewind(self) -> None:
        """Back to the end of the prompts; the prefilled cache is still there."""
        for target, start in zip(self._state, self._start, strict=True):
            target.copy_(start)
        self._places = list(self.lengths)

    def hold(self) -> Held:
        """Where every row is now, to ``resume`` from."""
        return Held(tuple(part.clone() for part in self._state), tuple(self._places))

    @torch.inference_mode()
    def resume(self, held: Held) -> None:
        """Back to where ``hold`` was called; no row may have been refilled since."""
        for target, kept in zip(self._state, held.state, strict=True):
            target.copy_(kept)
        self._places = list(held.places)

    @torch.inference_mode()
    def turn_to(self, places: Sequence[int]) -> None:
        """Take each row to a place that it has been at since its prompt; logits stay behind.

        The cache still holds what was decoded there, and decoding on makes the same tokens again.
        """
        self.positions.copy_(self._send(places))
        self.tokens.copy_(self.history.gather(1, self.positions[:, None])[:, 0])
        self._places = list(places)

    @torch.inference_mode()
    def assume(self, lengths: Sequence[int]) -> None:
        """Take each row to hold so many tokens, whatever its slots hold: to time steps, no more."""
        self.lengths = tuple(lengths)
        self.positions.copy_(self._send(self.lengths))
        self._start = tuple(part.clone() for part in self._state)
        self._places = list(lengths)

    @torch.inference_mode()
    def clear(self) -> None:
        """Rewind, and forget every produced token but the first, which is the prefill's."""
        self.rewind()
        self.made.zero_()
        beyond = torch.arange(self.history.shape[1], device=self.decoder.device)
        self.history.masked_fill_(beyond > self.positions[:, None], -1)

    @property
    def span(self) -> int:
        """Slots that the longest row fills."""
        return max(self._places)

    @property
    def _state(self) -> tuple[Tensor, ...]:
        return self.tokens, self.positions, self.logits

    @property
    def steps_left(self) -> int:
        """Steps until the longest row has filled the cache."""
        return self.cache.capacity - self.span

    def produced(self, row: int) -> list[int]:
        """Tokens of a row after its prompt, the prefill's first one included."""
        tokens: list[int] = self.history[row, self.lengths[row] :].tolist()
        return tokens[: tokens.index(-1)] if -1 in tokens else tokens

    def _send(self, numbers: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        """Whole numbers on the device; from pinned memory, or the host would wait for the copy."""
        sent = torch.tensor(numbers)
        if self.decoder.device.type == "cuda":
            sent = sent.pin_memory()
        return sent.to(self.decoder.device, non_blocking=True)

    def facts(self) -> dict[str, Any]:
        """What really runs: the route, why not a faster one, and how often it was replayed."""
        route = self._route
        return {
            "route": route.name,
            "fallbacks": list(self._fallbacks),
            "graph_replays": route.replays,
            "steps": int(self.made),
            "recompiles": route.recompiles,
            "compile_s": route.compile_s,
            "threads": route.threads if self.decoder.device.type == "cpu" else None,
            "span_bucket": route.padded(self.span),
        }

    @property
    def bucket(self) -> int:
        """Of which number the spans that steps read are multiples, until the cache ends."""
        return self._route.bucket

    def _fused(self) -> Fused:
        from .fused import Fused, State

        held = (self.tokens, self.positions, self.history, self.logits, self.made)
        return Fused(self.decoder, self.cache, State(*held))

    def _fed_back(self, seats: Tensor) -> None:
        """A step over as many slots as there are seats; rows see no slot beyond their own."""
        self._advance(len(seats), ragged=True)

    def _advance(self, span: int, ragged: bool) -> None:
        logits = self.decoder.step(self.tokens, self.positions, self.cache, span, ragged)
        self.logits.copy_(logits)
        self.positions.add_(1)
        self.made.add_(1)
        self._pick()

    def _pick(self) -> None:
        self.tokens.copy_(self.logits.argmax(dim=-1))
        self.history.scatter_(1, self.positions[:, None], self.tokens[:, None])

    def _forget(self, prompts: Tensor) -> None:
        self.history.fill_(-1)
        places = torch.arange(prompts.shape[1], device=prompts.device)
        self.history[:, : prompts.shape[1]] = prompts.masked_fill(
            places >= self.positions[:, None], -1
        )
