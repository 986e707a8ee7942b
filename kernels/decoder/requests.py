"""What is asked of a server: a mix of request lengths, and prompts of which no two are alike.

Both are pure functions of a seed and a request's number; nothing here needs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .opened import require_counts

MEAN = 1024  # tokens in and tokens out of a request, where a model can hold them
SPREAD = 0.5  # a ragged length lies within its mean ± this share of it
SHORTEST = 16  # mean prompt tokens: half of it must still hold a prompt's own head
PROMPTS = 1 << 32  # how many a head can tell apart, at least
_LENGTHS, _TEXT = 0, 1  # streams of one seed


@dataclass(frozen=True, slots=True)
class Request:
    """The ``number``-th request: tokens in, tokens out (the prefill's own first one included)."""

    number: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Mix:
    """Mean ``prompt`` and ``output`` tokens of a request; ``kind`` is "fixed" or "ragged".

    Ragged lengths are uniform within ± SPREAD of the mean; requests 2n and 2n + 1 lie as far
    above it as below, so that the mean is kept exactly. Raises ValueError for an impossible mix.
    """

    prompt: int
    output: int
    kind: str
    seed: int

    def __post_init__(self) -> None:
        require_counts(prompt=self.prompt, output=self.output)
        if self.prompt < SHORTEST:
            raise ValueError(f"prompt must be at least {SHORTEST} tokens, not {self.prompt}")
        if self.output < 4:
            raise ValueError(f"output must be at least 4 tokens, not {self.output}")
        if self.kind not in ("fixed", "ragged"):
            raise ValueError(f"mix must be fixed or ragged, not {self.kind!r}")

    @property
    def longest(self) -> tuple[int, int]:
        """Most prompt and most output tokens of any request."""
        return self.prompt + _reach(self, self.prompt), self.output + _reach(self, self.output)

    @property
    def mean_context(self) -> float:
        """Cached tokens of a slot before a step, mean over steps: long outputs count for more.

        With n = output − 1 steps of a request: E[prompt] + E[n(n − 1) / 2] / E[n]; a uniform
        whole number within ± r has variance r(r + 1) / 3.
        """
        steps, reach = self.output - 1, _reach(self, self.output)
        return self.prompt + (steps - 1 + reach * (reach + 1) / 3 / steps) / 2

    def request(self, number: int) -> Request:
        """The lengths of one request."""
        if self.kind == "fixed":
            return Request(number, self.prompt, self.output)
        random = _random(self.seed, _LENGTHS, number // 2)
        reaches = np.array([_reach(self, self.prompt), _reach(self, self.output)])
        more, longer = random.integers(-reaches, reaches, endpoint=True).tolist()
        side = 1 if number % 2 == 0 else -1
        return Request(number, self.prompt + side * more, self.output + side * longer)

    def facts(self) -> dict[str, Any]:
        """For the record."""
        facts = {"in_tokens": self.prompt, "out_tokens": self.output, "kind": self.kind}
        return facts if self.kind == "fixed" else facts | {"spread": SPREAD}


class Prompts:
    """A seeded stream of prompts: slices of ``text``, or random tokens below ``vocab`` without it.

    Each opens with a head of its own, its number written in scrambled digits, so that no two of
    the first ``PROMPTS`` share a prefix longer than a part of a head: no cache of prefixes can
    serve one by another.
    """

    def __init__(self, vocab: int, seed: int, text: bytes | None) -> None:
        self._vocab, self._seed, self._text = vocab, seed, text
        self._letters = sorted(set(text)) if text else range(vocab)
        base = len(self._letters)
        self._head = math.ceil(math.log(PROMPTS, base))
        self._heads = base**self._head
        self._stride = next(
            stride for stride in range(int(0.618 * self._heads), self._heads)
            if math.gcd(stride, self._heads) == 1
        )  # fmt: skip

    def prompt(self, number: int, length: int) -> list[int]:
        """The ``number``-th prompt, cut or drawn to ``length`` tokens."""
        if length < self._head:
            raise ValueError(f"a prompt of {length} tokens has no room for its head, {self._head}")
        rest = length - self._head
        random = _random(self._seed, _TEXT, number)
        if self._text is None:
            body: list[int] = random.integers(self._vocab, size=rest).tolist()
            return self._head_of(number) + body
        start = int(random.integers(len(self._text)))
        rounds = self._text * (1 + (start + rest) // len(self._text))
        return self._head_of(number) + list(rounds[start : start + rest])

    def _head_of(self, number: int) -> list[int]:
        place = number * self._stride % self._heads
        digits = []
        for _ in range(self._head):
            place, digit = divmod(place, len(self._letters))
            digits.append(self._letters[digit])
        return digits


def _reach(mix: Mix, mean: int) -> int:
    return 0 if mix.kind == "fixed" else int(SPREAD * mean)


def _random(seed: int, stream: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed % 2**64, stream, number])
