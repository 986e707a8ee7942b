"""The static gate: what the machine code of every GPU kernel may cost, on every architecture.

No card is needed and the counts have no noise. About 40 s on two cores the first time, a second
from what an earlier session has kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from bench.cli.audited import row_of, shipped
from bench.kernels import private_cache
from bench.kernels.sha256d import audit as a
from bench.kernels.sha256d.cuda_source import SOURCE, VARIANTS
from bench.kernels.sha256d.toolchain import (
    CompileError,
    ToolMissingError,
    architectures,
    compile_cuda,
)


def _architectures() -> tuple[int, ...]:
    """What NVRTC compiles for; nothing, and so no test, where it is not installed."""
    try:
        return architectures()
    except ToolMissingError:
        return ()


ARCHITECTURES = _architectures()
USERS_OWN = private_cache.folder()
private_cache._CHOSEN.clear()
needs_nvrtc = pytest.mark.skipif(not ARCHITECTURES, reason="nvrtc is not installed")
SHARED_SCHEDULE_ON = (90, 120)
"""These compile twice as long; other architectures differ by 0.2 % at most."""


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    """What is compiled here costs too much to be lost with the session: its hash guards it."""
    private_cache.use(USERS_OWN)
    yield
    private_cache._CHOSEN.clear()


@pytest.fixture(scope="module")
def audits() -> dict[a.Target, a.Audit]:
    chosen = [
        target
        for target in a.targets()
        if target[0] != "cupy"
        or VARIANTS[target[1]].midstates == 1
        or target[2] in SHARED_SCHEDULE_ON
    ]
    try:
        told: list[int] = []
        found = a.audit_all(chosen, done=lambda: told.append(1))
        assert len(told) == len(chosen), "each is told of once, compiled now or before"
        return dict(zip(chosen, found, strict=True))
    except ToolMissingError as error:
        pytest.skip(str(error))


@needs_nvrtc
def test_every_architecture_from_turing_to_blackwell_is_offered() -> None:
    assert {75, 80, 86, 89, 90, 100, 120} <= set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", ["cupy", "numba-cuda"])
def test_plain_reaches_the_floor(
    audits: dict[a.Target, a.Audit], kernel: str, architecture: int
) -> None:
    counts = audits[kernel, "plain", architecture].counts
    assert 2440 <= counts.instructions <= 2475, "below the floor the path is not a whole hash"
    numba_on_turing = kernel == "numba-cuda" and architecture < 80
    assert counts.alu <= (2280 if numba_on_turing else 2230)
    assert counts.opcodes["SHF"] <= 1180
    assert counts.opcodes["LOP3"] <= 640


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ours_beats_the_best_public_kernel(
    audits: dict[a.Target, a.Audit], architecture: int
) -> None:
    """2270 ALU instructions a hash are the best public miner's, compiled alike for sm_90."""
    assert audits["cupy", "plain", architecture].per_hash.issue_slots <= 2225


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_balanced_fills_both_pipes(audits: dict[a.Target, a.Audit], architecture: int) -> None:
    audit = audits["cupy", "balanced", architecture]
    assert audit.counts.alu <= 1640
    assert audit.counts.fma_slots <= 1450
    assert audit.counts.instructions <= 2910
    assert audit.per_hash.issue_slots == audit.counts.alu


@pytest.mark.parametrize("architecture", SHARED_SCHEDULE_ON)
@pytest.mark.parametrize(
    ("variant", "bars"),
    [("two-midstate", (2270, 2050, 215)), ("two-midstate-balanced", (2715, 1460, 1450))],
)
def test_two_midstates_share_a_schedule(
    audits: dict[a.Target, a.Audit],
    variant: str,
    architecture: int,
    bars: tuple[int, int, int],
) -> None:
    instructions, alu, fma_slots = bars
    audit = audits["cupy", variant, architecture]
    assert audit.midstates == 2
    assert 2 * audit.per_hash.instructions == audit.counts.instructions
    assert 0.98 * instructions <= audit.per_hash.instructions <= instructions
    assert 0.98 * alu <= audit.per_hash.alu <= alu
    assert 0.95 * fma_slots <= audit.per_hash.fma_slots <= fma_slots


def test_no_kernel_spills_or_touches_memory(audits: dict[a.Target, a.Audit]) -> None:
    for target, audit in audits.items():
        assert audit.registers <= 48, target
        assert (audit.stack_bytes, audit.spill_bytes) == (0, 0), target
        counts = audit.counts
        touched = (counts.global_memory, counts.shared_memory, counts.local_memory)
        assert touched == (0, 0, 0), target
        assert counts.other == 0, (target, counts.opcodes)
        assert counts.control <= 12, target
        assert counts.constant_loads <= 30, target


def test_the_parts_are_the_whole(audits: dict[a.Target, a.Audit]) -> None:
    for target, audit in audits.items():
        counts = audit.counts
        assert sum(counts.opcodes.values()) == counts.instructions, target
        assert counts.alu + counts.fma_slots >= counts.instructions - 45, target


def test_what_ships_is_what_the_toolchain_counts(audits: dict[a.Target, a.Audit]) -> None:
    """Regenerate: remove the file, then bench gate --audit --baseline FILE writes it."""
    known = {(row.kernel, row.architecture): row for row in shipped()}
    pairs = [(row, known[row.kernel, row.architecture]) for row in map(row_of, audits.values())]
    same = [(row, kept) for row, kept in pairs if row.compiler == kept.compiler]
    assert same, "nothing was compiled by the pinned toolchain"
    for row, kept in same:
        assert row == kept


def test_workers_share_the_folder_of_who_started_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each would compile into a folder of its own where the user's cache is not to be had."""
    started = []

    class Pool:
        def __init__(self, workers: int, _context: object, begin: object, place: object) -> None:
            started.append((workers, begin, place))

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def map(self, _work: object, _targets: object) -> list[object]:
            raise BrokenProcessPool

    monkeypatch.setattr(a, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(private_cache, "_CHOSEN", {"cuda": tmp_path})
    with pytest.raises(CompileError, match="is memory short"):
        a._make_all([("cupy", "plain", 90)], 2, list)
    assert started == [(2, private_cache.use, (tmp_path,))]


def test_an_audit_is_json_and_the_same_from_the_cache(audits: dict[a.Target, a.Audit]) -> None:
    target = ("cupy", "plain", 90)
    assert a.audit(target) == audits[target]
    facts = json.loads(json.dumps(audits[target].to_json()))
    assert facts["per_hash"]["alu"] == audits[target].counts.alu
    assert facts["architecture"] == "sm_90"


@needs_nvrtc
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_log_speaks_of_the_scan_kernel(variant: str) -> None:
    log = compile_cuda(SOURCE.read_text(encoding="utf-8"), 90, VARIANTS[variant].options).log
    assert log.count("Used") == 2
    stack, stores, loads, registers = a._usage(log, "sha256d_scan")
    assert (stack, stores, loads) == (0, 0, 0)
    assert (
        f"Used {registers} registers" in log[log.index("Compiling entry function 'sha256d_scan'") :]
    )
    with pytest.raises(CompileError, match="no resource usage of 'other'"):
        a._usage(log, "other")
