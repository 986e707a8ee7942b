import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.decoder.requests import Mix, Request
from bench.kernels.decoder.slots import Refill, Slots, Step, Watch, mean_span

KINDS = st.sampled_from(["fixed", "ragged"])


@given(st.integers(4, 60), st.integers(1, 9), KINDS, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_request_has_its_tokens_and_no_more(
    output: int, batch: int, kind: str, seed: int
) -> None:
    books = Slots(Mix(32, output, kind, seed), batch)
    tokens = {row: books.cached(row) - books.request(row).prompt_tokens + 1 for row in range(batch)}
    assert all(0 < tokens[row] < books.request(row).output_tokens for row in range(batch))
    served: Counter[int] = Counter()
    for event in books.course(3 * output):
        if isinstance(event, Refill):
            assert tokens[event.row] == -1, "the slot is free"
            served[event.request.number] += 1
            tokens[event.row] = 1
            continue
        assert min(tokens.values()) > 0, "a slot stood idle"
        tokens = {row: count + 1 for row, count in tokens.items()}
        for row in event.ended:
            assert tokens[row] == books.request(row).output_tokens
            assert books.cached(row) == books.end(row)
            tokens[row] = -1
    assert max(served.values()) == 1, "no request twice"
    numbers = sorted(served)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_fixed_requests_end_evenly() -> None:
    books, ends = Slots(Mix(32, 41, "fixed", 0), 8), []
    for index, event in enumerate(each for each in books.course(80) if isinstance(each, Step)):
        ends += [index] * len(event.ended)
    assert [later - earlier for earlier, later in itertools.pairwise(ends)] == [5] * 15


def test_long_ragged_requests_hold_slots_more_often_than_they_come() -> None:
    mix, batch = Mix(32, 100, "ragged", 0), 1000
    books = Slots(mix, batch)
    held = sum(books.request(row).output_tokens for row in range(batch)) / batch
    assert held == pytest.approx(100 + 50**2 / 3 / 100, rel=0.03), "biased by length"


def test_a_request_given_up_leaves_the_others_as_they_were() -> None:
    books = Slots(Mix(32, 41, "fixed", 0), 4)
    for _ in books.course(3):
        pass
    row = books.next_to_end()
    assert row == 3, "the oldest"
    others = [books.cached(each) for each in range(3)]
    books.replace(row, books.take())
    assert books.cached(row) == 32
    assert [books.cached(each) for each in range(3)] == others
    assert books.next_to_end() == 2


def test_a_step_reads_as_many_slots_as_the_longest_row() -> None:
    assert mean_span(Mix(32, 41, "fixed", 0), 1, 1, 89) == 32 + 20.5, "33 … 72, each once"
    assert mean_span(Mix(32, 41, "fixed", 0), 40, 1, 89) == 32 + 40, "one of 40 rows is at its end"
    assert mean_span(Mix(32, 41, "fixed", 0), 40, 64, 128) == 128
    assert mean_span(Mix(32, 41, "fixed", 0), 40, 64, 89) == 89


def test_a_row_alone_reads_what_is_cached_and_its_own_token() -> None:
    fixed, ragged = (Mix(64, 33, kind, 1) for kind in ("fixed", "ragged"))
    assert mean_span(fixed, 1, 1, 999) == fixed.mean_context + 1
    assert mean_span(ragged, 1, 1, 999) == pytest.approx(ragged.mean_context + 1, rel=0.05)


def test_waits_are_counted_from_the_moment_they_begin() -> None:
    watch = Watch(batch=3)
    watch(1.0, Step((0, 2)))
    watch(1.5, Refill(0, Request(7, 20, 3)))
    watch(2.5, Refill(2, Request(8, 30, 4)))
    assert watch.ttft_s == [0.5, 1.5], "the second waits for the first"
    watch(3.5, Step(()))
    assert sorted(watch.gaps) == [(1.0, 1), (1.0, 3), (2.0, 1), (2.5, 1)]
    watch(4.5, Step((0,)))
    assert watch.tpot_s == [(4.5 - 1.5) / 2]
    watch(5.0, Refill(0, Request(9, 40, 5)))
    watch(6.0, Step((2,)))
    assert watch.tpot_s == [1.5, (6.0 - 2.5) / 3]
    assert watch.whole_requests == 2
    assert watch.phases() == {
        "prefill_s": 2.0,
        "decode_s": 4.0,
        "prefill_tokens": 90,
        "decode_tokens": 12,
    }


def test_a_course_too_short_for_a_request_tells_of_its_part() -> None:
    watch = Watch(batch=2)
    assert watch.tpot_s == []
    watch(1.0, Step((1,)))
    watch(3.0, Refill(1, Request(2, 20, 9)))
    watch(4.0, Step(()))
    assert watch.whole_requests == 0
    assert watch.tpot_s == [2.0], "of row 0, the other's prefill included"
