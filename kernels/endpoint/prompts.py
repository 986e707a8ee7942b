"""Prompts that no cache has seen: seeded words behind a first word that never comes twice.

A warm prefix cache or a remembered answer would sell prefill work that was never done, so not
even a second run with the same seed against the same server repeats a beginning.
"""

from __future__ import annotations

import itertools
import random
import string
from dataclasses import dataclass

SYLLABLES = tuple(a + b for a, b in itertools.product("bdfgklmnprstvz", "aeiou"))
SPREAD = 0x9E3779B1  # odd, so that multiplying by it modulo 2³² repeats nothing (Knuth's golden)
SPACE = 1 << 32
LETTERS = 7  # 26⁷ > 2³²


@dataclass(frozen=True, slots=True)
class Scale:
    """How many tokens a prompt of n words has: ``overhead + per_word · n``."""

    overhead: float = 0.0
    per_word: float = 2.0

    def words(self, tokens: float) -> int:
        """Words for a prompt of so many tokens, at least one."""
        return max(1, round((tokens - self.overhead) / self.per_word))


class Prompts:
    """An endless supply of distinct prompts; ``nonce`` sets this process apart from earlier ones.

    The words after the first follow from ``seed`` alone.
    """

    def __init__(self, seed: int, nonce: int) -> None:
        self._draw = random.Random(seed)
        self._nonce = nonce % SPACE
        self._made = 0

    def of_words(self, words: int) -> str:
        """A new prompt of so many words, at least one."""
        first = _letters((self._made * SPREAD + self._nonce) % SPACE)
        self._made += 1
        drawn = self._draw.choices(SYLLABLES, k=2 * (words - 1))
        rest = (a + b for a, b in zip(drawn[::2], drawn[1::2], strict=True))
        return " ".join((first, *rest))


def fit(small: tuple[int, int], large: tuple[int, int]) -> Scale:
    """The scale through two (words, tokens); ValueError when more words are not more tokens."""
    per_word = (large[1] - small[1]) / (large[0] - small[0])
    if per_word <= 0:
        raise ValueError(
            f"the server counts {large[1]} prompt tokens for {large[0]} words and {small[1]} for"
            f" {small[0]}: its usage counts no prompt"
        )
    return Scale(small[1] - per_word * small[0], per_word)


def _letters(number: int) -> str:
    letters = []
    for _ in range(LETTERS):
        number, digit = divmod(number, 26)
        letters.append(string.ascii_lowercase[digit])
    return "".join(letters)
