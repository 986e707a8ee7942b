from collections.abc import Callable

import pytest
import torch

from bench.kernels.decoder import gate
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder

from .conftest import advance, expected

Build = Callable[..., Decoder]
Prompts = list[list[int]]


@pytest.mark.parametrize("flags", [{}, {"sliding_window": 12}], ids=str)
def test_a_row_is_refilled_while_the_others_decode_on(
    build: Build, prompts: Prompts, flags: dict[str, int]
) -> None:
    decoder = build(**flags)
    session = Session(decoder, 3, 80)
    session.prefill(prompts)
    gate.poison(session)
    advance(session, 9)
    new = prompts[2][:23]
    session.refill(1, new)
    assert session.lengths == (5, 23, 40)
    assert session.span == 49
    advance(session, 12)
    assert session.produced(0) == expected(decoder, prompts[0], 22)
    assert session.produced(1) == expected(decoder, new, 13)
    assert session.produced(2) == expected(decoder, prompts[2], 22)
    assert session.positions.tolist() == [26, 35, 61]
    assert int(session.made) == 21


def test_a_rewind_after_a_refill_returns_to_the_new_prompt(build: Build, prompts: Prompts) -> None:
    decoder = build()
    session = Session(decoder, 3, 64)
    session.prefill(prompts)
    advance(session, 3)
    session.refill(2, prompts[0])
    advance(session, 4)
    once = session.history.clone()
    session.clear()
    assert session.positions.tolist() == [5, 17, 5]
    assert session.steps_left == 64 - 17
    advance(session, 7)
    assert session.produced(2) == expected(decoder, prompts[0], 8)
    assert torch.equal(session.history[:2], once[:2])


@pytest.mark.parametrize("length", [0, 64])
def test_a_prompt_without_room_for_a_step_is_refused(build: Build, length: int) -> None:
    session = Session(build(), 2, 64)
    session.prefill([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match=f"a prompt of {length} tokens in 64 slots"):
        session.refill(0, [7] * length)
    assert session.lengths == (2, 2)
