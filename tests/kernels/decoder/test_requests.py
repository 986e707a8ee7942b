import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.decoder.requests import SPREAD, Mix, Prompts
from bench.kernels.decoder.slots import Slots

TEXT = b"Call me Ishmael. Some years ago, never mind how long precisely. " * 3


@given(st.integers(16, 3000), st.integers(4, 3000), st.integers(-5, 2**70))
@settings(max_examples=25, deadline=None)
def test_ragged_lengths_keep_the_mean_and_the_spread(prompt: int, output: int, seed: int) -> None:
    mix = Mix(prompt, output, "ragged", seed)
    requests = [mix.request(number) for number in range(20)]
    assert sum(each.prompt_tokens for each in requests) == 20 * prompt
    assert sum(each.output_tokens for each in requests) == 20 * output
    most_in, most_out = mix.longest
    assert (most_in, most_out) == (prompt + int(SPREAD * prompt), output + int(SPREAD * output))
    assert all(2 * prompt - most_in <= each.prompt_tokens <= most_in for each in requests)
    assert all(2 * output - most_out <= each.output_tokens <= most_out for each in requests)
    assert [mix.request(number) for number in range(20)] == requests


def test_ragged_lengths_spread_over_the_whole_range() -> None:
    lengths = [Mix(64, 64, "ragged", 1).request(number).prompt_tokens for number in range(1000)]
    assert (min(lengths), max(lengths)) == (32, 96)
    assert len(set(lengths)) == 65


def test_fixed_lengths_are_all_the_same() -> None:
    requests = [Mix(64, 32, "fixed", 1).request(number) for number in range(9)]
    assert {(each.prompt_tokens, each.output_tokens) for each in requests} == {(64, 32)}


@pytest.mark.parametrize("kind", ["fixed", "ragged"])
def test_the_mean_context_is_that_of_a_long_course(kind: str) -> None:
    mix, batch, steps = Mix(50, 40, kind, 3), 8, 39 * 60
    books = Slots(mix, batch)
    total = 0
    for _ in range(steps):
        for row in books.finished():
            books.admit(row, books.take())
        total += sum(map(books.cached, range(batch)))
        books.step()
    rel = 1e-9 if kind == "fixed" else 0.02
    assert total / steps / batch == pytest.approx(mix.mean_context, rel=rel)


@given(st.integers(0, 2**64), st.sampled_from([None, TEXT]), st.integers(17, 400))
@settings(max_examples=20, deadline=None)
def test_no_two_prompts_share_more_than_a_part_of_their_head(
    seed: int, text: bytes | None, vocab: int
) -> None:
    prompts = Prompts(vocab, seed, text)
    drawn = [prompts.prompt(number, 24) for number in range(200)]
    assert len({tuple(prompt[:8]) for prompt in drawn}) == 200
    assert all(len(prompt) == 24 for prompt in drawn)
    allowed = set(range(vocab)) if text is None else set(text)
    assert set(itertools.chain(*drawn)) <= allowed
    assert drawn[7] == Prompts(vocab, seed, text).prompt(7, 24)


def test_far_apart_numbers_have_heads_of_their_own() -> None:
    prompts = Prompts(128256, 0, None)
    numbers = [*range(0, 2**32, 2**32 // 1000), 2**32 - 1]
    assert len({tuple(prompts.prompt(number, 2)) for number in numbers}) == len(numbers)


def test_a_prompt_of_text_is_text_behind_its_head() -> None:
    prompt = bytes(Prompts(256, 5, TEXT).prompt(3, 500))
    assert prompt[8:] in TEXT * 10


def test_a_prompt_without_room_for_its_head_is_refused() -> None:
    with pytest.raises(ValueError, match="a prompt of 3 tokens has no room for its head, 4"):
        Prompts(256, 0, None).prompt(0, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": 15}, "prompt must be at least 16 tokens, not 15"),
        ({"output": 3}, "output must be at least 4 tokens, not 3"),
        ({"output": 8.0}, "output must be a whole number above 0"),
        ({"prompt": True}, "prompt must be a whole number above 0"),
        ({"kind": "mixed"}, "mix must be fixed or ragged, not 'mixed'"),
    ],
)
def test_an_impossible_mix_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Mix(**{"prompt": 64, "output": 32, "kind": "fixed", "seed": 0, **change})


def test_a_record_says_how_ragged_a_mix_is() -> None:
    said = {"in_tokens": 64, "out_tokens": 32, "kind": "ragged", "spread": 0.5}
    assert Mix(64, 32, "ragged", 0).facts() == said
