"""Counting, with arrival times made by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.endpoint.tally import Answer, Ratio, Tally, disagrees
from bench.kernels.endpoint.wire import Piece, Usage, WireError


def text(*texts: str) -> list[Piece]:
    return [Piece(each, None, None, None) for each in texts]


def usage(completion: int, prompt: int = 10, cached: int | None = None) -> list[Piece]:
    return [Piece("", "length", Usage(prompt, completion, cached), None)]


def answered(tally: Tally, pieces: int, tokens: int, start_s: float = 0.0) -> Answer:
    """A whole answer, a piece a second."""
    answer = tally.begin(tokens, start_s)
    for index in range(pieces):
        tally.heard(answer, start_s + 1 + index, text("a"))
    tally.heard(answer, start_s + 1 + pieces, usage(tokens))
    tally.end(answer)
    return answer


def test_an_answer_of_a_token_a_piece() -> None:
    tally = Tally(Ratio(), steady_s=0.0)
    answered(tally, 5, 5)
    assert tally.units() == 5
    assert list(tally.ttft_s) == [1.0]
    assert list(tally.gaps_s) == [1.0] * 4
    assert list(tally.tpot_s) == [1.0]
    facts = tally.facts()
    assert (facts["completed"], facts["failed"], facts["produced_tokens"]) == (1, 0, 5)
    assert facts["cached_tokens"] is None


def test_pieces_of_several_tokens_are_credited_as_whole_answers_taught() -> None:
    ratio = Ratio()
    answered(Tally(ratio), 10, 30)
    tally = Tally(ratio)
    answer = tally.begin(30, 0.0)
    tally.heard(answer, 1.0, text("abc"))
    assert tally.units() == 3
    assert tally.counted() == pytest.approx(3.0)


def test_one_arrival_of_several_pieces_is_one_gap() -> None:
    tally = Tally(Ratio(), steady_s=0.0)
    answer = tally.begin(9, 0.0)
    tally.heard(answer, 1.0, text("a"))
    tally.heard(answer, 3.0, text("b", "c"))
    tally.heard(answer, 3.5, text(""))
    assert list(tally.gaps_s) == [2.0]
    assert tally.units() == 3


def test_a_failure_takes_its_tokens_back_but_no_mark() -> None:
    tally = Tally(Ratio())
    answer = tally.begin(9, 0.0)
    tally.heard(answer, 1.0, text("a", "b"))
    assert tally.units() == 2
    tally.fail(answer, WireError("truncated", "cut"))
    assert tally.units() == 2
    answered(tally, 3, 3)
    assert tally.units() == 3
    assert tally.counted() == 3
    assert tally.facts()["faults"] == {"truncated": 1}


def test_an_answer_without_usage_is_a_failure() -> None:
    tally = Tally(Ratio())
    answer = tally.begin(1, 0.0)
    tally.heard(answer, 1.0, text("a"))
    tally.end(answer)
    assert answer.fault is not None
    assert answer.fault.kind == "usage"
    assert (tally.completed, tally.counted()) == (0, 0)


def test_what_is_under_way_at_the_end_keeps_its_tokens() -> None:
    tally = Tally(Ratio(), steady_s=0.0)
    answer = tally.begin(9, 0.0)
    for t_s in (1.0, 2.0, 4.0):
        tally.heard(answer, t_s, text("a"))
    assert tally.hang_up() == 1
    assert tally.counted() == 3
    assert list(tally.tpot_s) == [1.5]


def test_latencies_count_once_every_opening_answer_has_begun() -> None:
    tally = Tally(Ratio(), opening=2)
    one, two = (tally.begin(9, 0.0, opening=True) for _ in range(2))
    tally.heard(one, 1.0, text("a"))
    tally.heard(one, 5.0, text("a"))
    assert tally.steady_s is None
    tally.fail(two, WireError("timeout", "silent"))
    assert tally.steady_s == 0.0
    tally.heard(one, 6.0, text("a"))
    tally.heard(one, 6.5, text("a"))
    assert list(tally.gaps_s) == [0.5]
    assert not tally.ttft_s


def test_cached_tokens_add_up() -> None:
    tally = Tally(Ratio())
    for cached in (None, 4, 6):
        answer = tally.begin(1, 0.0)
        tally.heard(answer, 1.0, [*text("a"), *usage(1, cached=cached)])
        tally.end(answer)
    assert tally.facts()["cached_tokens"] == 10
    assert tally.facts()["input_tokens"] == 30


@pytest.mark.parametrize(
    ("pieces", "tokens", "wrong"),
    [
        (5, 5, False),
        (5, 50, False),
        (7, 5, False),
        (8, 5, True),
        (1000, 985, False),
        (1000, 900, True),
    ],
)
def test_more_pieces_than_tokens_disagree(pieces: int, tokens: int, wrong: bool) -> None:
    assert disagrees(pieces, Usage(1, tokens, None)) is wrong


def test_only_failures_for_a_while_are_hopeless() -> None:
    tally = Tally(Ratio())
    for _ in range(9):
        tally.fail(tally.begin(1, 0.0), WireError("failing", "no"))
    assert not tally.hopeless(1)
    tally.fail(tally.begin(1, 0.0), WireError("failing", "no"))
    assert tally.hopeless(5)
    assert not tally.hopeless(6)
    answered(tally, 1, 1)
    assert not tally.hopeless(1)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40), st.booleans()), max_size=30))
def test_units_never_fall_and_sums_are_those_of_usage(
    answers: list[tuple[int, int, bool]],
) -> None:
    tally, shown, whole = Tally(Ratio()), [0], 0
    for pieces, tokens, fails in answers:
        answer = tally.begin(tokens, 0.0)
        for index in range(pieces):
            tally.heard(answer, float(index), text("a"))
            shown.append(tally.units())
        if fails:
            tally.fail(answer, WireError("truncated", "cut"))
        else:
            tally.heard(answer, 99.0, usage(tokens))
            tally.end(answer)
            whole += tokens
        shown.append(tally.units())
    assert shown == sorted(shown)
    assert tally.counted() == whole
