"""Bytes of a server become pieces or a named fault, whatever they are."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.endpoint.wire import (
    LINE_BYTES,
    Events,
    Usage,
    WireError,
    plain,
    read_json,
    read_piece,
    read_usage,
)

STREAM = b': hello\ndata: {"a": 1}\r\n\r\nevent: x\ndata:two\ndata: lines\n\n\n\ndata: [DONE]\n\n'
CUT = ['{"a": 1}', "two\nlines", "[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_wherever_the_network_cuts(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    events = Events(1000)
    found = []
    for start, end in itertools.pairwise(edges):
        found += events.feed(STREAM[start:end])
    assert found == CUT


def test_a_stream_beyond_its_limit_is_endless() -> None:
    events = Events(100)
    assert list(events.feed(b"x" * 100)) == []
    with pytest.raises(WireError, match="beyond") as caught:
        list(events.feed(b"x"))
    assert caught.value.kind == "endless"


def test_a_line_without_end_is_endless() -> None:
    events = Events(3 * LINE_BYTES)
    half = b"x" * (LINE_BYTES // 2 + 1)
    assert list(events.feed(half)) == []
    with pytest.raises(WireError, match="line"):
        list(events.feed(half))


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"text": "ab"}, "ab"),
        ({"delta": {"content": "ab"}}, "ab"),
        ({"delta": {"reasoning_content": "a", "content": "b"}}, "ab"),
        ({"delta": {"reasoning": "ab", "content": None}}, "ab"),
        ({"delta": {"role": "assistant", "content": ""}}, ""),
        ({"text": 7}, ""),
        ({}, ""),
    ],
)
def test_the_text_of_a_piece(choice: dict[str, object], text: str) -> None:
    assert read_piece(json.dumps({"choices": [choice]})).text == text


def test_usage_may_come_in_an_event_without_choices() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": None}
    piece = read_piece(json.dumps({"choices": [], "usage": usage}))
    assert piece.usage == Usage(5, 3, None)
    usage["prompt_tokens_details"] = {"cached_tokens": 4}
    assert read_usage(usage).cached == 4


@pytest.mark.parametrize("count", [-1, 1.5, True, "7", None, 10**12, [1], float("nan")], ids=repr)
def test_counts_that_count_nothing(count: object) -> None:
    with pytest.raises(WireError) as caught:
        read_usage({"prompt_tokens": 1, "completion_tokens": count})
    assert caught.value.kind == "usage"


def test_more_cached_than_asked_is_no_count() -> None:
    said = {"prompt_tokens": 1, "completion_tokens": 1}
    with pytest.raises(WireError, match="cached"):
        read_usage({**said, "prompt_tokens_details": {"cached_tokens": 2}})


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": NaN}', "[1e", "[" * 100_000, "9" * 5000, '{"a": Infinity}', "\x00"],
    ids=["empty", "open", "nan", "cut", "deep", "long", "infinity", "control"],
)
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(WireError) as caught:
        read_json(text)
    assert caught.value.kind == "malformed"
    assert caught.value.text.isprintable()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("[]", "malformed"),
        ("7", "malformed"),
        ('{"choices": 7}', "malformed"),
        ('{"choices": [7]}', "malformed"),
        ('{"usage": []}', "usage"),
        ('{"error": {"message": "out of \\u001b[31mmemory\\n"}}', "failing"),
    ],
)
def test_events_of_another_shape(data: str, kind: str) -> None:
    with pytest.raises(WireError) as caught:
        read_piece(data)
    assert caught.value.kind == kind
    assert caught.value.text.isprintable()


@given(st.binary().map(lambda data: data.decode("latin-1")) | st.just("\ud800\u202e\U000e0041x"))
def test_any_text_becomes_one_short_printable_line(text: str) -> None:
    shown = plain(text, 40)
    assert len(shown) <= 40
    assert shown.isprintable()
    shown.encode()


@given(st.binary(max_size=300))
def test_any_bytes_are_pieces_or_a_fault(data: bytes) -> None:
    events = Events(1000)
    for each in events.feed(b"data: " + data + b"\n\n"):
        with contextlib.suppress(WireError):
            assert read_piece(each).text is not None
