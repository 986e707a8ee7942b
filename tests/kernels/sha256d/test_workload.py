"""The workload: its interface to the harness, its choice of shares, and work that never repeats."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d import workload as w
from bench.kernels.sha256d.cpu_variants import FORMS
from bench.kernels.sha256d.provenance import source_digests
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError

Marks = list[tuple[float, int]]


def _stop_after(calls: int) -> Callable[[], bool]:
    counter = itertools.count()
    return lambda: next(counter) >= calls


@pytest.fixture(scope="module")
def cpu() -> Iterator[w.Sha256dWorkload]:
    workload = w.Sha256dWorkload(window_s=0.5, threads=2, seed=7)
    workload.prepare()
    yield workload
    workload.close()


@pytest.mark.parametrize(
    ("kwargs", "line"),
    [
        ({"kernel": "opencl"}, "kernel: 'opencl' is none of numba-cpu, cupy, numba-cuda"),
        ({"kernel": "cupy"}, "kernel: 'cupy' runs on 'cuda', not on 'cpu'"),
        ({"device": "cuda"}, "kernel: 'numba-cpu' runs on 'cpu', not on 'cuda'"),
        ({"device": "tpu"}, "kernel: 'numba-cpu' runs on 'cpu', not on 'tpu'"),
        ({"window_s": 0.0}, "window_s: must be positive, not 0.0"),
        (
            {"kernel": "numba-cpu:mmx"},
            "kernel: numba-cpu has no variant 'mmx', only " + ", ".join(FORMS),
        ),
        (
            {"device": "cuda", "kernel": "cupy:mmx"},
            "kernel: cupy has no variant 'mmx', only " + ", ".join(w.variants("cupy")),
        ),
    ],
)
def test_a_bad_choice_is_one_clear_line(kwargs: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match="^" + line.replace(".", r"\.") + "$"):
        w.Sha256dWorkload(**kwargs)


@pytest.mark.parametrize(
    ("rate_hz", "window_s", "enough"),
    [
        (7e9, 60, 16384),
        (15e6, 60, 16384),
        (15e6, 10, 16384 / 6),
        (15e6, 2.5, 16384 / 24),
        (10e9, 600, 240_000),
    ],
)
def test_the_rarest_share_that_still_suffices(
    rate_hz: float, window_s: float, enough: float
) -> None:
    bits = w.share_bits(rate_hz, window_s)
    assert rate_hz * window_s / 2**bits >= enough > rate_hz * window_s / 2 ** (bits + 1)


def test_share_bits_have_ends() -> None:
    assert w.share_bits(100.0, 60) == 8
    assert w.share_bits(1e15, 60) == 32


def test_headers_differ_and_belong_to_their_seed() -> None:
    some = [raw for (raw,) in itertools.islice(w.headers(1, 1), 2 * 7200 + 1)]
    assert len(set(some)) == len(some)
    assert [[raw] for raw in some[:3]] == list(itertools.islice(w.headers(1, 1), 3))
    assert [some[0]] != next(w.headers(2, 1))
    assert len({h.Header.parse(raw).version for raw in some}) == 3
    block, first = h.Header.parse(REAL_HEADERS[-1]), h.Header.parse(some[0])
    assert (first.prev, first.merkle, first.bits) == (block.prev, block.merkle, block.bits)
    assert (first.version ^ block.version) & ~(0xFFFF << 13) == 0, "BIP 320 bits alone roll"
    assert h.prepare_work(some[0])[:8] == h.prepare_work(some[1])[:8], "time keeps the midstate"


@pytest.mark.parametrize("midstates", [2, 3, 4])
def test_headers_come_in_siblings_of_which_none_comes_twice(
    monkeypatch: pytest.MonkeyPatch, midstates: int
) -> None:
    monkeypatch.setattr(w, "_TIME_ROLLS", 2)
    groups = list(w.headers(3, midstates))
    assert all(len({raw[4:76] for raw in group}) == 1 for group in groups[:1000])
    everything = [raw for group in groups for raw in group]
    assert len(everything) == len(set(everything)) == 2 * (65536 - 65536 % midstates)


def test_describe(cpu: w.Sha256dWorkload) -> None:
    facts = cpu.describe()
    assert (facts["name"], facts["unit"], facts["backend"]) == ("sha256d", "hash", "numba-cpu")
    assert facts["tier"] is None
    assert facts["data_profile"] is None
    assert "device_uuid" not in facts
    config = facts["config"]
    assert config["kernel"] == "numba-cpu"
    assert config["threads"] == 2
    assert 8 <= config["share_bits"] <= 32
    assert config["launch_nonces"] % config["lanes"] == 0
    assert config["variant"] == w.variants("numba-cpu")[0]
    assert config["midstates"] == FORMS[config["variant"]].midstates
    assert len(bytes.fromhex(config["base_header_hex"])) == 80
    assert facts["sources"] == source_digests()
    assert {"sha256d.cuh", "numba_cpu.py", "workload.py"} <= set(facts["sources"])


def test_verify_passes_in_time(cpu: w.Sha256dWorkload) -> None:
    checks = cpu.verify()
    assert all(passed for _, passed, _ in checks), checks
    assert "32 random ranges, 262144 hashes" in checks[-1][2]


def test_runs_count_what_they_did_and_never_repeat(cpu: w.Sha256dWorkload) -> None:
    marks: tuple[Marks, Marks] = ([], [])
    shares = []
    for run in marks:
        cpu.run(lambda t, n, run=run: run.append((t, n)), _stop_after(20))  # type: ignore[misc]
        shares += cpu.facts()
    config = cpu.describe()["config"]
    piece = config["launch_nonces"] * config["midstates"]
    for run in marks:
        assert run[0][1] == 0
        assert run == sorted(run)
        assert 20 * piece <= run[-1][1] <= 24 * piece, "what was in flight at the stop is counted"
    assert len({share["header_hex"] for share in shares}) == len(shares) > 0
    for share in shares:
        raw = bytes.fromhex(share["header_hex"])
        assert h.meets_mask(raw, share["mask"])
        assert h.Header.parse(raw).nonce == share["nonce"]
    checks = cpu.check()
    assert all(passed for _, passed, _ in checks), checks
    assert str(sum(run[-1][1] for run in marks)) in checks[-1][2]


def test_stop_is_honoured_and_marks_are_rare(cpu: w.Sha256dWorkload) -> None:
    marks: Marks = []
    ends_s = time.monotonic() + 0.4
    cpu.run(lambda t, n: marks.append((t, n)), lambda: time.monotonic() > ends_s)
    assert time.monotonic() - ends_s < 0.5  # 50 ms on an idle machine
    assert 2 <= len(marks) <= 20 * (marks[-1][0] - marks[0][0]) + 2


def test_a_piece_that_overflows_fails_the_run_and_does_not_end_it(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(*_: Any) -> Callable[[], list[list[int]]]:
        def collect() -> list[list[int]]:
            raise FoundOverflowError("131073 nonces met the mask")

        return collect

    workload = w.Sha256dWorkload()
    workload.prepare()
    monkeypatch.setattr(recorder, "submit", submit)
    marks: list[int] = []
    workload.run(lambda _, hashes: marks.append(hashes), _stop_after(3))
    failed = {name for name, passed, _ in workload.check() if not passed}
    assert "lists-whole" in failed
    assert marks[-1] > 0


def test_unprepared_and_closed_work_is_refused() -> None:
    workload = w.Sha256dWorkload()
    with pytest.raises(RuntimeError, match="prepare"):
        workload.describe()
    workload.close()


class Recorder:
    """A GPU in name: two slots, instant answers, everything asked of it on record."""

    parallel, midstates, granule, config, device_uuid = 1, 2, 1 << 20, {"blocks": 1}, "GPU-x"

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], int, int]] = []
        self.in_flight = 0
        self.left_alone = 0

    def submit(
        self, works: list[tuple[int, ...]], first: int, count: int, _mask: int
    ) -> Callable[[], list[list[int]]]:
        assert len(set(works)) == 2
        self.asked.append((works[0], first, count))
        self.in_flight += 1
        assert self.in_flight <= 2

        def collect() -> list[list[int]]:
            self.in_flight -= 1
            self.left_alone += self.in_flight == 0
            return [[], []]

        return collect

    def close(self) -> None:
        pass


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(w, "_open", lambda *_: recorder)
    monkeypatch.setattr(w, "_probe", lambda *_: 7e9)
    return recorder


def test_the_device_is_never_left_alone_and_nonces_never_repeat(recorder: Recorder) -> None:
    workload = w.Sha256dWorkload(device="cuda", kernel="cupy")
    workload.prepare()
    for _ in range(2):
        workload.run(lambda *_: None, _stop_after(150))
    assert recorder.left_alone == 2, "only the last piece of each run leaves nothing behind it"
    spans: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for work, first, count in recorder.asked:
        spans.setdefault(work, []).append((first, first + count))
    assert len(spans) >= 3, "the header rolls when its nonces are used up"
    for pieces in list(spans.values())[:-1]:
        assert pieces[0][0] == 0
        assert pieces[-1][1] == h.NONCES
        assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces)), "no gap, no overlap"
    assert workload.describe()["device_uuid"] == "GPU-x"


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize("group_s", [None, 0.1382, 0.0618, 0.005])
def test_launches_are_short_and_fill_a_group(group_s: float | None) -> None:
    workload = w.Sha256dWorkload(device="cuda", kernel="numba-cuda")
    workload.prepare(group_s=group_s)
    launch_s = 2 * workload.describe()["config"]["launch_nonces"] / 7e9
    assert launch_s == workload.describe()["launch_s"]
    assert launch_s <= 0.013
    if group_s:
        launches = group_s / launch_s
        assert launches == pytest.approx(round(launches), rel=0.02)


def test_preparing_again_changes_the_launches_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = w.Sha256dWorkload(window_s=0.1, threads=1)
    before = threading.active_count()
    workload.prepare()
    monkeypatch.setattr(w, "_probe", lambda *_: pytest.fail("probed again"))
    seen: list[set[str]] = []
    said = []
    for group_s in (None, 0.002):
        workload.prepare(group_s=group_s)
        workload.run(lambda *_: None, _stop_after(40))  # enough for some shares
        seen.append({share["header_hex"] for share in workload.facts()})
        said.append(dict(workload.describe()))
        assert threading.active_count() == before + 1
    assert all(passed for _, passed, _ in workload.check()), "shares of both runs are one ledger's"
    workload.close()
    assert threading.active_count() == before
    assert all(seen)
    assert not seen[0] & seen[1]
    changed = {k for k in said[0]["config"] if said[0]["config"][k] != said[1]["config"][k]}
    assert changed == {"launch_nonces"}
    assert said[1]["launch_s"] == pytest.approx(0.002, rel=0.2)
    assert said[0]["launch_s"] == pytest.approx(w.PIECE_S, rel=0.1)


@pytest.mark.usefixtures("recorder")
def test_launches_regrouped_in_mid_header_leave_no_nonce_out(recorder: Recorder) -> None:
    workload = w.Sha256dWorkload(device="cuda", kernel="cupy")
    for group_s in (None, 0.1382, 0.005):
        workload.prepare(group_s=group_s)
        workload.run(lambda *_: None, _stop_after(5))
    asked = [(first, first + count) for _, first, count in recorder.asked]
    assert asked[0][0] == 0
    assert all(a[1] == b[0] for a, b in itertools.pairwise(asked))
    assert len({end - first for first, end in asked}) == 3
    assert workload.describe()["launch_s"] == pytest.approx(0.005, rel=0.02)


def test_a_kernel_in_the_simulator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.kernels.sha256d import numba_cuda

    assert not w._simulated("numba-cuda")
    monkeypatch.setattr(numba_cuda, "simulated", True)
    assert w._simulated("numba-cuda")
    assert not w._simulated("numba-cpu")


def test_the_probe_ends_and_is_a_rate(cpu_scanner: Any) -> None:
    assert 1e5 < w._probe(cpu_scanner, next(w.headers(0, 1))[0]) < 1e9
