"""A server that lies, breaks off, floods or points elsewhere: named failures, never a crash."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from bench.kernels.endpoint.workload import EndpointWorkload

from .conftest import MODELS, OK, Answer, Body, Fake, good, last, piece

START = Callable[..., Fake]
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """These servers compute nothing, so there is no processor time to wait for."""
    from bench.kernels.endpoint import probes

    monkeypatch.setattr(probes, "LOOK_S", 0.01)
    monkeypatch.setattr(probes, "CALM_S", 0.01)


def workload(server: Fake, **changes: Any) -> EndpointWorkload:
    known = {"prompt": 16, "output": 4, "concurrency": 2, "timeout_s": 0.5}
    return EndpointWorkload(server.url, **{**known, **changes})


def streams(*parts: bytes) -> Answer:
    """A server that lists its model and answers every request with these bytes."""

    async def answer(path: str, _body: Body) -> AsyncGenerator[bytes, None]:
        if path.endswith("/models"):
            yield MODELS
            return
        for part in parts:
            yield part

    return answer


def listing(body: bytes) -> Answer:
    async def answer(path: str, asked: Body) -> AsyncGenerator[bytes, None]:
        if path.endswith("/models"):
            yield body
            return
        async for part in good(path, asked):
            yield part

    return answer


def ran(subject: EndpointWorkload, ticks: int = 12) -> tuple[list[int], dict[str, Any]]:
    """The units marked over a run of so many looks at stop(), and the facts by name."""
    units: list[int] = []
    left = iter(range(ticks))
    subject.run(lambda _t, n: units.append(n), lambda: next(left, None) is None)
    return units, {str(fact["name"]): fact["data"] for fact in subject.facts()}


def test_an_honest_server_passes(fake: START) -> None:
    server = fake()
    subject = workload(server)
    subject.prepare()
    assert all(passed for _, passed, _ in subject.verify())
    units, facts = ran(subject)
    assert units == sorted(units)
    assert 0 < units[-1] == facts["requests"]["counted"]
    assert facts["requests"]["failed"] == 0
    assert all(passed for _, passed, _ in subject.check())
    config = subject.describe()["config"]
    assert (config["model"], config["engine"], config["server"]) == ("toy", "tests", "fake/1")
    assert config["exact_output"] is True


def test_every_request_is_new_greedy_and_long_enough(fake: START) -> None:
    server = fake()
    subject = workload(server)
    subject.prepare()
    begun = len(server.asked)
    ran(subject)
    bodies = [body for _, body, _ in server.asked[begun:]]
    assert len({body["prompt"].split()[0] for body in bodies}) == len(bodies)
    assert {body["max_tokens"] for body in bodies} == {2, 4}  # one opening answer is halfway
    assert all(body["min_tokens"] == body["max_tokens"] for body in bodies)
    assert all(body["temperature"] == 0 and body["ignore_eos"] for body in bodies)
    full = [len(b["prompt"].split()) for b in bodies if b["max_tokens"] == 4]
    assert set(full) <= {8, 9}  # 16 tokens at two a word, as usage taught; 17 for the opening


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (streams(OK + piece("a")), "ends before the answer"),
        (streams(OK + piece("a") + b"data: [DONE]\n\n"), "without usage"),
        (streams(OK + last(1, -1)), "counts nothing"),
        (streams(OK + b"data: {\n\n"), "no JSON"),
        (streams(OK + b"data: " + b"x" * (2 << 20)), "beyond|line"),
        (streams(OK, *[piece("ab" * 999)] * 200), "beyond what was asked"),
        (streams(OK + piece("a") + last(1, 1, "abort")), "gave|ended the answer: abort"),
        (streams(OK + b'data: {"error": {"message": "no \\u001b[31mmemory"}}\n\n'), "no .*memory"),
        (streams(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"0" * 9999)),
         "ends before the answer"),
        (streams(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "no HTTP|Bad"),
        (streams(b""), "disconnected|reset"),
        (streams(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 99_999 + b"\r\n\r\n"), "no HTTP"),
        (streams(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + piece("a")), "broke amid"),
        (streams(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n"), "redirects"),
        (streams(b"HTTP/1.1 401 No\r\n\r\n" + json.dumps({"error": {"message": KEY}}).encode()),
         "repeats the key"),
        (streams(b"HTTP/1.1 503 Busy\r\n\r\nnot \x1b[2Jyet\n"), "503: not .*yet"),
        (streams(b"HTTP/1.1 400 Bad\r\n\r\n" + b'{"message": "too long"}'), "too long"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused_in_one_line(
    fake: START, answer: Answer, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    subject = workload(fake(answer))
    with pytest.raises(ValueError, match=words) as caught:
        subject.prepare()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert KEY not in str(caught.value)


def test_silence_ends(fake: START) -> None:
    async def silent(path: str, body: Body) -> AsyncGenerator[bytes, None]:
        yield MODELS if path.endswith("/models") else OK
        if body:
            await asyncio.sleep(60.0)

    with pytest.raises(ValueError, match="silent for too long"):
        workload(fake(silent), timeout_s=0.1).prepare()


def test_nobody_there() -> None:
    subject = EndpointWorkload("http://127.0.0.1:1")
    with pytest.raises(ConnectionError, match="start it or correct --endpoint"):
        subject.prepare()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "lists no model"),
        ([{"id": "a"}, {"id": "b"}], "several models.*: a, b"),
        ([{"id": "a\x1b[31m"}], "unprintable"),
        ("x", "lists no model"),
    ],
)
def test_lists_that_settle_no_model(fake: START, data: Any, words: str) -> None:
    body = OK + json.dumps({"data": data}).encode()
    with pytest.raises(ValueError, match=words):
        workload(fake(listing(body))).prepare()


def test_a_model_that_is_not_there(fake: START) -> None:
    with pytest.raises(ValueError, match="no model other; it lists toy"):
        workload(fake(), model_id="other").prepare()


def test_a_server_without_a_list_may_be_asked_by_name(fake: START) -> None:
    subject = workload(fake(listing(b"HTTP/1.1 404 Not Found\r\n\r\n")), model_id="toy")
    subject.prepare()
    assert "not listed (status 404" in subject.verify()[0][2]


def test_fields_that_a_server_refuses_are_left_out(fake: START) -> None:
    async def strict(path: str, body: Body) -> AsyncGenerator[bytes, None]:
        if "min_tokens" in body or "ignore_eos" in body:
            yield b"HTTP/1.1 422 No\r\n\r\n" + b'{"detail": "unexpected"}'
            return
        async for part in good(path, body):
            yield part

    subject = workload(fake(strict))
    subject.prepare()
    config = subject.describe()["config"]
    assert config["extensions"] == ["stream_options"]
    assert config["exact_output"] is False


def test_more_pieces_than_tokens_fail_the_verification(fake: START) -> None:
    async def stingy(path: str, body: Body) -> AsyncGenerator[bytes, None]:
        if path.endswith("/models"):
            yield MODELS
            return
        yield OK
        for _ in range(body["max_tokens"]):
            yield piece("a")
        yield last(2 * len(body["prompt"].split()), 1)

    subject = workload(fake(stingy))
    subject.prepare()
    failed = [name for name, passed, _ in subject.verify() if not passed]
    assert failed == ["usage agrees with the stream"]


def test_remembered_prompts_and_answers_are_seen(fake: START) -> None:
    seen: set[str] = set()

    async def caching(path: str, body: Body) -> AsyncGenerator[bytes, None]:
        if path.endswith("/models"):
            yield MODELS
            return
        yield OK
        tokens = 2 * len(body["prompt"].split())
        cached = tokens - 1 if body["prompt"] in seen else 0
        seen.add(body["prompt"])
        for _ in range(body["max_tokens"]):
            yield piece("the same")
        details = {"prompt_tokens_details": {"cached_tokens": cached}}
        yield last(tokens, body["max_tokens"], **details)

    subject = workload(fake(caching))
    subject.prepare()
    said = subject.describe()
    assert said["prefix_cache"]["kept"] is True
    assert said["prefix_cache"]["repeat_cached_tokens"] == 15
    assert said["data_profile"]["degenerate"] == ["only 25% of the answers differ"]
    _, facts = ran(subject)
    assert facts["requests"]["cached_tokens"] == 0  # no prompt of the run is ever repeated


def test_a_server_that_fails_now_and_then(fake: START) -> None:
    count = 0

    async def moody(path: str, body: Body) -> AsyncGenerator[bytes, None]:
        nonlocal count
        count += bool(body)
        if count > 40 and count % 2:
            yield OK + piece("a")
            return
        async for part in good(path, body):
            yield part

    subject = workload(fake(moody))
    subject.prepare()
    count = 40
    _, facts = ran(subject, 40)
    requests = facts["requests"]
    assert requests["faults"] == {"truncated": requests["failed"]}
    assert requests["failed"] > 0
    assert requests["completed"] > 0
    assert all(passed for _, passed, _ in subject.check())


def test_a_server_that_goes_away_ends_the_run(fake: START) -> None:
    gone = False

    async def leaving(path: str, body: Body) -> AsyncGenerator[bytes, None]:
        if gone:
            yield b"HTTP/1.1 500 Gone\r\n\r\n"
            return
        async for part in good(path, body):
            yield part

    subject = workload(fake(leaving))
    subject.prepare()
    gone = True
    with pytest.raises(ConnectionError, match=r"every request fails: .*status 500"):
        subject.run(lambda _t, _n: None, lambda: False)


def test_poisson_arrivals_do_not_wait_for_answers(fake: START) -> None:
    async def slow(path: str, body: Body) -> AsyncGenerator[bytes, None]:
        if body.get("max_tokens") == 4 and measuring:
            await asyncio.sleep(60.0)
        async for part in good(path, body):
            yield part

    measuring = False
    subject = workload(fake(slow), load="poisson", rate_hz=400.0, timeout_s=60.0)
    subject.prepare()
    measuring = True
    _, facts = ran(subject, 25)
    assert facts["requests"]["sent"] > 20
    assert facts["requests"]["hung_up"] == facts["requests"]["sent"]
    assert facts["requests"]["late_p99_s"] >= 0
    assert facts["request_latency"] == {"ttft": {"n": 0}, "tpot": {"n": 0}}


def test_chat_is_asked_in_messages(fake: START) -> None:
    server = fake()
    subject = workload(server, api="chat")
    subject.prepare()
    paths = {path for path, body, _ in server.asked if body}
    assert paths == {"/v1/chat/completions"}
    assert all(b["messages"][0]["role"] == "user" for _, b, _ in server.asked if b)


def test_the_key_goes_into_one_header_alone(fake: START, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:1")
    server = fake()
    subject = workload(server)
    subject.prepare()
    assert all(f"Authorization: Bearer {KEY}" in head for *_, head in server.asked)
    assert KEY not in json.dumps(subject.describe())
    monkeypatch.setenv("OPENAI_API_KEY", "two\nlines")
    with pytest.raises(ValueError, match="printable") as caught:
        workload(server).prepare()
    assert "two" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"concurrency": 0}, "concurrency must be"),
        ({"prompt": True}, "prompt must be"),
        ({"output": 1.5}, "output must be"),
        ({"load": "bursty"}, "load must be closed or poisson"),
        ({"api": "responses"}, "api must be"),
        ({"tier": "T9"}, "tier must be"),
        ({"load": "poisson"}, "a rate goes with"),
        ({"rate_hz": 1.0}, "a rate goes with"),
        ({"load": "poisson", "rate_hz": float("nan")}, "rate_hz must be"),
        ({"timeout_s": 0.0}, "timeout_s must be"),
    ],
)
def test_arguments_that_no_server_could_serve(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EndpointWorkload("http://127.0.0.1:8000", **changes)


def test_without_the_client_library_one_line_says_what_to_install(
    fake: START, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "bench.kernels.endpoint.client", raising=False)
    monkeypatch.delitem(sys.modules, "bench.kernels.endpoint.load", raising=False)
    monkeypatch.delitem(sys.modules, "bench.kernels.endpoint.probes", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'joulemark\[endpoint\]'"):
        workload(fake()).prepare()
