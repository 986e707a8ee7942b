"""No two prompts begin alike, in one run or two; their length follows the server's count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.endpoint.prompts import SPACE, Prompts, Scale, fit


def test_first_words_never_repeat() -> None:
    prompts = Prompts(0, 7)
    first = [prompts.of_words(3).split()[0] for _ in range(5000)]
    assert len(set(first)) == 5000
    assert len({word[:4] for word in first}) > 4000


def test_the_seed_gives_the_words_and_the_nonce_the_beginning() -> None:
    one, same, later = Prompts(1, 5), Prompts(1, 5), Prompts(1, 6)
    a, b, c = (prompts.of_words(20).split() for prompts in (one, same, later))
    assert a == b
    assert a[1:] == c[1:]
    assert a[0] != c[0]
    assert Prompts(2, 5).of_words(20).split()[1:] != a[1:]


@given(st.integers(1, 300), st.integers(0, SPACE - 1))
def test_a_prompt_has_the_words_asked_for(words: int, nonce: int) -> None:
    text = Prompts(0, nonce).of_words(words)
    assert len(text.split(" ")) == words
    assert text.isascii()


@given(st.integers(0, 200), st.floats(0.5, 8.0), st.integers(500, 5000))
def test_the_scale_hits_the_tokens_asked_for(overhead: int, per_word: float, tokens: int) -> None:
    counted = [(words, round(overhead + per_word * words)) for words in (8, 400)]
    words = fit(*counted).words(tokens)
    assert abs(overhead + per_word * words - tokens) <= 0.5 * per_word + 0.01 * tokens


def test_a_server_that_counts_no_prompt() -> None:
    with pytest.raises(ValueError, match="counts no prompt"):
        fit((8, 20), (100, 20))


def test_a_prompt_has_at_least_a_word() -> None:
    assert Scale(50.0, 2.0).words(10) == 1
