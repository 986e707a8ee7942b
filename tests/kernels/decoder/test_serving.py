from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.decoder import gate, reference, weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder
from bench.kernels.decoder.pace import Pacer
from bench.kernels.decoder.requests import Mix, Prompts
from bench.kernels.decoder.serving import Event, Server, refilled
from bench.kernels.decoder.slots import Refill, Slots, Step, Watch

Build = Callable[..., Decoder]


def serve(decoder: Decoder, mix: Mix, batch: int) -> Server:
    session = Session(decoder, batch, sum(mix.longest))
    return Server(session, Slots(mix, batch), Prompts(decoder.config.vocab_size, mix.seed, None))


def run(server: Server, way: str, things: int) -> list[Event]:
    """So many turns of a phase; what happened, in order."""
    events: list[Event] = []
    calls = iter(range(things + 1))
    pacer: Pacer[Event] = Pacer(
        torch.device("cpu"), lambda *_: None, lambda _, event: events.append(event)
    )
    getattr(server, way)(pacer, lambda: next(calls) == things)
    pacer.finish()
    return events


def choices(decoder: Decoder, sequence: Sequence[int], start: int) -> list[int]:
    """What the reference would have said at each place from ``start`` on: by induction, equal
    to the sequence there means equal to its own greedy continuation.
    """
    logits = reference.logits(
        decoder.config, decoder.named_weights(), torch.tensor([sequence[:-1]]), start=start - 1
    )
    return logits[0].argmax(dim=-1).tolist()


def small(**changes: int) -> Decoder:
    config = ModelConfig.from_mapping(
        {
            "name": "small", "n_layers": 2, "d_model": 32, "n_heads": 4, "n_kv_heads": 2,
            "head_dim": 8, "d_ffn": 48, "vocab_size": 256, "max_context": 128, **changes,
        }
    )  # fmt: skip
    decoder = Decoder(config, torch.device("cpu"), torch.float32)
    weights.initialise(decoder.named_weights(), config.n_layers, seed=3)
    return decoder


MIXES = st.builds(
    Mix,
    prompt=st.integers(16, 40),
    output=st.integers(4, 24),
    kind=st.sampled_from(["fixed", "ragged", "ragged"]),
    seed=st.integers(0, 999),
)


@given(MIXES, st.integers(1, 5), st.sampled_from([{}, {"sliding_window": 12}]))
@settings(max_examples=8, deadline=None)
def test_every_token_is_the_references_whatever_was_refilled_when(
    mix: Mix, batch: int, flags: dict[str, int]
) -> None:
    decoder = small(**flags)
    server = serve(decoder, mix, batch)
    session, refill = server.session, server.session.refill
    with torch.inference_mode():
        gate.poison(session)
    prompts = [tuple(given) for given in server.opening]
    finished: list[tuple[list[int], int]] = []

    def watched(row: int, new: Sequence[int]) -> None:
        start, last = session.lengths[row], server.slots.end(row)
        finished.append((session.history[row, : last + 1].tolist(), start))
        prompts.append(tuple(new))
        refill(row, new)

    session.refill = watched  # type: ignore[method-assign]
    run(server, "serve", 36)
    assert len(finished) >= batch * 36 // mix.longest[1] >= batch
    for sequence, start in finished:
        assert sequence[start:] == choices(decoder, sequence, start)
    for row in range(batch):
        sequence = session.history[row, : server.slots.cached(row) + 1].tolist()
        start = session.lengths[row]
        assert sequence[start:] == choices(decoder, sequence, start)
    assert len({given[:4] for given in prompts}) == len(prompts), "a prompt came twice"


def test_the_slots_open_where_the_books_have_them(build: Build) -> None:
    server = serve(build(), Mix(20, 13, "fixed", 0), 4)
    assert server.session.lengths == (20, 23, 26, 29)
    assert server.session.positions.tolist() == [20, 23, 26, 29]
    assert server.made() == 4, "first tokens"


def test_the_device_counts_what_was_served(build: Build) -> None:
    server = serve(build(), Mix(20, 13, "ragged", 5), 4)
    before = server.made()
    events = run(server, "serve", 50)
    refills = sum(isinstance(event, Refill) for event in events)
    assert refills >= 12
    assert server.made() - before == 4 * 50 + refills
    assert server.distinct()[1] is True
    numbers = [sample.number for sample in server.samples]
    assert len(numbers) == len(set(numbers)) == 3
    server.forget()
    assert server.samples == []


def test_served_again_from_a_cache_is_caught(build: Build) -> None:
    server = serve(build(), Mix(20, 13, "fixed", 0), 2)
    server.prompts.prompt = lambda _, length: [7] * length  # type: ignore[method-assign]
    run(server, "serve", 60)
    name, passed, detail = server.distinct()
    assert (name, passed) == ("distinct outputs", False)
    assert detail == "3 of 9 finished requests differ in their output"


@pytest.mark.parametrize("kind", ["fixed", "ragged"])
@pytest.mark.parametrize("before", [0, 7])
def test_decode_alone_leaves_every_slot_where_it_was(build: Build, kind: str, before: int) -> None:
    mix = Mix(20, 25, kind, 2)
    one, other = serve(build(), mix, 3), serve(build(), mix, 3)
    for server in (one, other):
        run(server, "serve", before)
    made = one.stepped()
    events = run(one, "decode", 33)
    assert events == [Step(())] * 33
    assert one.stepped() - made == 33 * 3
    assert torch.equal(one.session.positions, other.session.positions)
    for server in (one, other):
        run(server, "serve", 40)
    assert torch.equal(one.session.history, other.session.history)


def test_decode_alone_passes_every_context_of_a_request(build: Build) -> None:
    server = serve(build(), Mix(20, 25, "fixed", 2), 4)
    run(server, "serve", 3)
    seen: list[int] = []
    step = server.session.step

    def watched() -> None:
        seen.extend(server.session.positions.tolist())
        step()

    server.session.step = watched  # type: ignore[method-assign]
    run(server, "decode", 12)
    assert sorted(seen) == sorted([*range(20, 44)] * 2)
    assert sum(seen) / len(seen) == server.slots.mix.mean_context


def test_prefill_alone_leaves_a_sound_state(build: Build) -> None:
    server = serve(build(), Mix(20, 25, "ragged", 2), 3)
    run(server, "serve", 9)
    places = server.session.positions.tolist()
    row = server.slots.next_to_end()
    events = run(server, "prefill", 5)
    assert [type(event) for event in events] == [Refill] * 5
    tokens = [event.request.prompt_tokens for event in events if isinstance(event, Refill)]
    assert server.cached() == sum(tokens)
    now = server.session.positions.tolist()
    assert now[row] == tokens[-1]
    assert [now[each] for each in range(3) if each != row] == [
        places[each] for each in range(3) if each != row
    ]
    run(server, "serve", 60)
    decoder = server.session.decoder
    for sample in server.samples:
        name, passed, _ = gate.retrace(decoder, sample.tokens, sample.start, str(sample.number))
        assert passed, name


def test_nothing_happens_in_a_phase_that_is_stopped_at_once(build: Build) -> None:
    server = serve(build(), Mix(20, 25, "fixed", 2), 3)
    state = server.session.positions.tolist()
    for way in ("prefill", "decode", "serve"):
        assert run(server, way, 0) == []
    assert server.session.positions.tolist() == state
    assert server.slots.take().number == 3


def test_a_refill_among_others_is_gated_and_leaves_no_trace(build: Build) -> None:
    decoder = build()
    server = serve(decoder, Mix(20, 25, "fixed", 2), 3)
    history = server.session.history.clone()
    traces = refilled(server)
    assert [len(trace.tokens) for trace in traces] == [8, 8]
    assert all(passed for _, passed, _ in gate.judge(decoder, traces, "refilled"))
    assert torch.equal(server.session.history, history)
    assert server.session.positions.tolist() == [20, 28, 36]


def test_a_refill_that_wrote_to_another_row_fails_the_gate(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = build()
    server = serve(decoder, Mix(20, 25, "fixed", 2), 3)
    prefill = decoder.prefill
    monkeypatch.setattr(
        decoder, "prefill", lambda tokens, last, cache, _: prefill(tokens, last, cache, 0)
    )
    assert not all(passed for _, passed, _ in gate.judge(decoder, refilled(server), "refilled"))


def test_what_was_watched_is_what_was_counted(build: Build) -> None:
    server = serve(build(), Mix(20, 13, "fixed", 0), 4)
    watch = Watch(4)
    for index, event in enumerate(run(server, "serve", 30)):
        watch(float(index + 1), event)
    figures = watch.phases()
    assert figures["decode_tokens"] == 120
    assert figures["prefill_tokens"] == 20 * len(watch.ttft_s) == 180
    assert figures["prefill_s"] + figures["decode_s"] == 39.0
    assert watch.whole_requests == 6
